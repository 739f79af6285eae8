"""Triggers: what they see, what they may write, what a bad plugin cannot do."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

ECHO = """
def process_writes(api, batches, args):
    for batch in batches:
        for row in batch["rows"]:
            line = LineBuilder("echo").tag("source", batch["table_name"]).time_ns(row["time"])
            line.string_field("row", repr(row))
            api.write(line)
"""


def answered(server: ServerProcess, database: str, sql: str) -> list[dict[str, object]]:
    answer = server.ask(database, sql)
    return answer.json() if answer.status == 200 else []


def test_rows_arrive_as_plain_dicts_in_write_order(server: ServerProcess) -> None:
    server.plugin("echo.py", ECHO)
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "echo", "all_tables", "echo.py").status == 200
    lines = 'm,t=x i=1i,u=2u,f=3,b=t,s="q" 10\nm,t=y i=5i 9\nm f=4 11\n'
    assert server.write("db", lines, precision="ns").status == 204
    sql = "SELECT row FROM echo ORDER BY time"
    rows = wait_for(lambda: answered(server, "db", sql), "echo")
    assert [row["row"] for row in rows] == [
        "{'t': 'y', 'i': 5, 'time': 9}",
        "{'t': 'x', 'i': 1, 'u': 2, 'f': 3.0, 'b': True, 's': 'q', 'time': 10}",
        "{'f': 4.0, 'time': 11}",
    ]


def test_a_trigger_does_not_see_its_own_output_but_others_do(server: ServerProcess) -> None:
    server.plugin(
        "copy.py",
        """
def process_writes(api, batches, args):
    for batch in batches:
        for row in batch["rows"]:
            api.write(LineBuilder(args["to"]).int64_field("f", row["f"]))
""",
    )
    server.cli("create", "database", "db")
    server.create_trigger("db", "first", "table:a", "copy.py", arguments={"to": "b"})
    server.create_trigger("db", "second", "table:b", "copy.py", arguments={"to": "c"})
    server.create_trigger("db", "own", "table:d", "copy.py", arguments={"to": "d"})
    server.write("db", "a f=1i\nd f=1i\n")
    wait_for(lambda: answered(server, "db", "SELECT * FROM c"), "the chain of two triggers")
    wait_for(
        lambda: answered(server, "db", "SELECT count(*) AS n FROM d") == [{"n": 2}], "one copy of d"
    )


def test_a_cycle_of_triggers_ends_at_the_hop_limit(server: ServerProcess) -> None:
    server.plugin(
        "ping.py",
        """
def process_writes(api, batches, args):
    for batch in batches:
        for row in batch["rows"]:
            api.write(LineBuilder(args["to"]).int64_field("f", row["f"] + 1))
""",
    )
    server.cli("create", "database", "db")
    server.create_trigger("db", "there", "table:a", "ping.py", arguments={"to": "b"})
    server.create_trigger("db", "back", "table:b", "ping.py", arguments={"to": "a"})
    server.write("db", "a f=0i\n")

    def stopped() -> bool:
        lines = server.logs("db", "there") + server.logs("db", "back")
        return any("cycle" in line["log_text"] for line in lines)

    wait_for(stopped, "the cycle is reported")
    rows = server.query("db", "SELECT max(f) AS m FROM a")
    assert rows == [{"m": 8}]


def test_plugin_calls_its_own_server_while_it_runs(server: ServerProcess) -> None:
    server.plugin(
        "outer.py",
        f"""
import urllib.request
def process_request(api, query, headers, body, args):
    url = "http://localhost:{server.port}/api/v3/engine/inner"
    inner = urllib.request.urlopen(url, timeout=60).read().decode()
    urllib.request.urlopen("http://127.0.0.1:{server.port}/api/v3/write_lp?db=db", b"via_http f=1i", timeout=60)
    return {{"inner": inner, "rows": api.query("SELECT f FROM via_http")}}
""",
    )
    server.plugin(
        "inner.py", "def process_request(api, query, headers, body, args):\n    return 'in'\n"
    )
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "outer", "request:outer", "outer.py").status == 200
    assert server.create_trigger("db", "inner", "request:inner", "inner.py").status == 200
    answer = server.request("GET", "/api/v3/engine/outer")
    assert answer.json() == {"inner": "in", "rows": [{"f": 1}]}


def test_write_sync_from_a_wal_trigger_does_not_deadlock(server: ServerProcess) -> None:
    server.plugin(
        "sync.py",
        """
def process_writes(api, batches, args):
    for no_sync in (True, False):
        api.write_sync(LineBuilder("synced").tag("n", str(no_sync)).int64_field("f", 1), no_sync)
    try:
        api.write_sync(type("Bad", (), {"build": lambda self: "not line protocol"})(), no_sync=False)
    except Exception as error:
        api.info("refused:", error)
""",
    )
    server.cli("create", "database", "db")
    server.create_trigger("db", "sync", "table:a", "sync.py")
    server.write("db", "a f=1i\n")
    wait_for(
        lambda: answered(server, "db", "SELECT count(*) AS n FROM synced") == [{"n": 2}],
        "both writes",
    )
    wait_for(
        lambda: any("refused:" in line["log_text"] for line in server.logs("db", "sync")), "refusal"
    )


def test_a_failed_write_back_is_a_failed_run_and_stores_nothing(server: ServerProcess) -> None:
    server.plugin(
        "half.py",
        """
def process_writes(api, batches, args):
    api.write(LineBuilder("out").int64_field("f", 1))
    api.write(type("Bad", (), {"build": lambda self: "out f="})())
""",
    )
    server.cli("create", "database", "db")
    server.create_trigger("db", "half", "table:a", "half.py")
    server.write("db", "a f=1i\n")
    wait_for(
        lambda: any(
            line["log_level"] == "ERROR" and "error writing back lines" in line["log_text"]
            for line in server.logs("db", "half")
        ),
        "the failure is reported",
    )
    assert server.ask("db", "SELECT * FROM out").status == 400


@pytest.mark.parametrize(
    ("name", "body", "report"),
    [
        ("endless", "while True: pass", "longer than 1 s"),
        ("exits", "import os; os._exit(1)", "exit"),
        ("segfault", "import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("hungry", "x = []\n    while True: x.append(bytearray(10_000_000))", "MemoryError"),
    ],
)
def test_a_hostile_plugin_hurts_nobody_else(
    server: ServerProcess, name: str, body: str, report: str
) -> None:
    server.plugin("hostile.py", f"def process_writes(api, batches, args):\n    {body}\n")
    server.plugin("echo.py", ECHO)
    server.cli("create", "database", "db")
    # Only one of them is to meet the time-out, however busy the machine is.
    timeout_s = 1.0 if name == "endless" else 20.0
    settings = {"timeout_s": timeout_s, "memory_max_bytes": 300_000_000}
    assert server.create_trigger("db", name, "table:a", "hostile.py", **settings).status == 200
    assert server.create_trigger("db", "echo", "table:a", "echo.py").status == 200
    for number in range(1, 4):
        assert server.write("db", f"a f={number}i {number}\n", precision="ns").status == 204
        wait_for(
            lambda expected=number: (
                answered(server, "db", "SELECT count(*) AS n FROM echo") == [{"n": expected}]
            ),
            "the other trigger goes on",
        )

    def reported() -> bool:
        lines = server.logs("db", name)
        return any(line["log_level"] == "ERROR" and report in line["log_text"] for line in lines)

    wait_for(reported, f"{report} is reported")


def test_a_plugin_that_kills_the_process_of_all_workers_costs_the_others_nothing(
    server: ServerProcess,
) -> None:
    server.plugin(
        "killer.py",
        """
import os, pathlib
def process_writes(api, batches, args):
    while not pathlib.Path(args["begun"]).exists(): pass
    os.kill(os.getppid(), 9)
    while True: pass
""",
    )
    server.plugin(
        "slow.py",
        """
import pathlib, time
def process_writes(api, batches, args):
    is_first = not pathlib.Path(args["begun"]).exists()
    pathlib.Path(args["begun"]).touch()
    while is_first: time.sleep(0.01)
    api.write(LineBuilder("slow").int64_field("rows", len(batches[0]["rows"])))
""",
    )
    server.cli("create", "database", "db")
    arguments = {"begun": str(server.data_dir / "begun")}
    for name, behavior in (("killer", "disable"), ("slow", "disable")):
        answer = server.create_trigger(
            "db", name, "table:a", f"{name}.py", arguments=arguments, error_behavior=behavior
        )
        assert answer.status == 200
    server.write("db", "a f=1i 1\na f=2i 2\n", precision="ns")
    wait_for(
        lambda: answered(server, "db", 'SELECT "rows" FROM slow') == [{"rows": 2}],
        "the run is repeated",
        timeout_s=30,
    )

    def disabled() -> dict[str, bool]:
        rows = server.request(
            "GET", "/api/v3/configure/processing_engine_trigger", parameters={"db": "db"}
        ).json()
        return {row["trigger_name"]: row["disabled"] for row in rows}

    wait_for(lambda: disabled()["killer"], "the killer is given up", timeout_s=60)
    assert not disabled()["slow"]


def test_triggers_with_wrong_definitions_are_refused(server: ServerProcess) -> None:
    server.plugin("ok.py", "def process_request(a, q, h, b, args):\n    return ''\n")
    server.plugin("syntax.py", "def process_writes(:\n")
    server.cli("create", "database", "db")
    for spec, filename, text in [
        ("sometimes", "ok.py", "failed to parse trigger"),
        ("every:0s", "ok.py", "every:0s"),
        ("request:x", "missing.py", "missing.py"),
        ("request:x", "../ok.py", "outside"),
        ("all_tables", "syntax.py", "syntax.py"),
        ("all_tables", "ok.py", "process_writes"),
    ]:
        answer = server.create_trigger("db", "t", spec, filename)
        assert answer.status == 400, (spec, filename, answer.body)
        assert text in answer.json()["error"], answer.body
    for settings in ({"timeout_s": 0}, {"timeout_s": 1e300}, {"memory_max_bytes": 1 << 70}):
        answer = server.create_trigger("db", "t", "request:x", "ok.py", **settings)
        assert answer.status == 400, (settings, answer.body)
    assert server.create_trigger("nowhere", "t", "request:x", "ok.py").status == 404
    assert server.create_trigger("db", "t", "request:x", "ok.py").status == 200
    assert server.create_trigger("db", "t", "request:y", "ok.py").status == 409
    assert server.create_trigger("db", "u", "request:x", "ok.py").status == 409
    refused = server.cli("delete", "trigger", "--database", "db", "t")
    assert refused.returncode == 1
    assert "Disable it first" in refused.stderr
    assert server.cli("disable", "trigger", "--database", "db", "t").returncode == 0
    assert server.request("GET", "/api/v3/engine/x").status == 404
    assert server.cli("delete", "trigger", "--database", "db", "t").returncode == 0


def test_a_disabled_trigger_stays_disabled_over_a_restart_and_catches_up(
    server: ServerProcess,
) -> None:
    server.plugin("echo.py", ECHO)
    server.cli("create", "database", "db")
    server.create_trigger("db", "echo", "table:a", "echo.py")
    assert server.cli("disable", "trigger", "--database", "db", "echo").returncode == 0
    server.write("db", "a f=1i 1\n", precision="ns")
    assert server.stop() == 0
    server.start()
    server.write("db", "a f=2i 2\n", precision="ns")
    (trigger,) = json.loads(server.cli("show", "triggers", "--format", "json").stdout)
    assert trigger["disabled"] is True
    server.cli("enable", "trigger", "--database", "db", "echo")
    sql = "SELECT count(*) AS n FROM echo"
    wait_for(lambda: answered(server, "db", sql) == [{"n": 2}], "both rows")


def test_a_disabled_trigger_stops_its_run_at_once_and_repeats_it_when_enabled(
    server: ServerProcess,
) -> None:
    server.plugin(
        "waits.py",
        """
import pathlib
def process_writes(api, batches, args):
    released, log = pathlib.Path(args["released"]), pathlib.Path(args["log"])
    try:
        with log.open("a") as file: file.write("begin\\n")
        api.write(LineBuilder("out").int64_field("rows", len(batches[0]["rows"])))
        while not released.exists():
            api.cache.get("nothing")
    finally:
        with log.open("a") as file: file.write("end\\n")
""",
    )
    server.cli("create", "database", "db")
    released, log = server.data_dir / "released", server.data_dir / "log"
    arguments = {"released": str(released), "log": str(log)}
    answer = server.create_trigger("db", "waits", "table:a", "waits.py", arguments=arguments)
    assert answer.status == 200
    server.write("db", "a f=1i 1\na f=2i 2\n", precision="ns")
    wait_for(lambda: log.exists() and log.read_text() == "begin\n", "the run begins")
    assert server.cli("disable", "trigger", "--database", "db", "waits").returncode == 0
    wait_for(lambda: log.read_text() == "begin\nend\n", "the run ends at its next use of the API")
    assert server.ask("db", "SELECT * FROM out").status == 400
    released.touch()
    assert server.cli("enable", "trigger", "--database", "db", "waits").returncode == 0
    wait_for(lambda: answered(server, "db", 'SELECT "rows" FROM out') == [{"rows": 2}], "its rows")


def test_limits_of_a_trigger_are_its_own(server: ServerProcess) -> None:
    server.plugin(
        "meets.py",
        """
import pathlib, threading, time
at_once, most, lock = 0, 0, threading.Lock()
def process_writes(api, batches, args):
    api.write(LineBuilder("sizes").int64_field("n", len(batches[0]["rows"])))
def process_request(api, query, headers, body, args):
    state = api.cache.get("state") or {"now": 0, "most": 0}
    api.cache.put("state", state)
    with lock:
        state["now"] += 1
        state["most"] = max(state["most"], state["now"])
    deadline = time.monotonic() + 20
    while state["most"] < 2 and time.monotonic() < deadline: time.sleep(0.001)
    state["now"] -= 1
    return {"most": state["most"]}
""",
    )
    server.cli("create", "database", "db")
    created = server.cli(
        *("create", "trigger", "-d", "db", "meets", "--trigger-spec", "request:meets"),
        *("--path", "meets.py", "--run-asynchronous", "--concurrency", "2"),
    )
    assert created.returncode == 0, created.stderr
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: server.request("GET", "/api/v3/engine/meets"), range(6)))
    assert [answer.json() for answer in answers] == [{"most": 2}] * 6

    created = server.cli(
        *("create", "trigger", "-d", "db", "sizes", "--trigger-spec", "table:m"),
        *("--path", "meets.py", "--batch-rows", "10", "--disabled"),
    )
    assert created.returncode == 0, created.stderr
    for start in range(0, 60, 5):
        lines = "".join(f"m f=1i {number}\n" for number in range(start, start + 5))
        assert server.write("db", lines, precision="ns").status == 204
    server.cli("enable", "trigger", "-d", "db", "sizes")
    # How many there are depends on where the flushes fell between the writes.
    total = "SELECT sum(n) AS total, max(n) AS most FROM sizes"
    wait_for(lambda: answered(server, "db", total) == [{"total": 60, "most": 10}], "batches of ten")


def test_limits_are_checked_when_a_trigger_is_created(server: ServerProcess) -> None:
    server.plugin("ok.py", "def process_request(a, q, h, b, args):\n    return ''\n")
    server.cli("create", "database", "db")
    for settings, text in [
        ({"concurrency": 2}, "only an asynchronous trigger has a concurrency"),
        ({"concurrency": 0, "run_async": True}, "between 1 and 1024"),
        ({"batch_rows": 0}, "between 1 and 100000000 rows"),
    ]:
        answer = server.create_trigger("db", "t", "request:x", "ok.py", **settings)
        assert answer.status == 400, (settings, answer.body)
        assert text in answer.json()["error"], answer.body


def test_requests_that_wait_for_a_trigger_do_not_run_after_its_end(server: ServerProcess) -> None:
    server.plugin(
        "slow.py",
        """
import time

def process_request(api, query, headers, body, args):
    api.info("called", query["n"])
    api.write(LineBuilder("called").string_field("n", query["n"]))
    if query["n"] == "fails":
        raise ValueError("not now")
    time.sleep(30)
""",
    )
    server.cli("create", "database", "db")
    server.create_trigger("db", "slow", "request:slow", "slow.py")
    server.create_trigger("db", "again", "request:again", "slow.py", error_behavior="retry")

    def call(path: str, number: str) -> int:
        return server.request("GET", f"/api/v3/engine/{path}?n={number}").status

    def calls(trigger: str) -> int:
        texts = [entry["log_text"] for entry in server.logs("db", trigger)]
        return sum(text.startswith(("called", "starting execution")) for text in texts)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(call, "slow", "1")]
        wait_for(lambda: calls("slow") == 2, "the first call")
        waiting += [pool.submit(call, "slow", "2")]
        # Runs at once twice, and then waits before the next run.
        waiting += [pool.submit(call, "again", "fails")]
        wait_for(lambda: calls("again") >= 4, "the second run of a call that fails")
        assert server.cli("delete", "trigger", "-d", "db", "slow", "--force").returncode == 0
        assert server.cli("disable", "trigger", "-d", "db", "again").returncode == 0
        runs = calls("again")
        assert {call.result(timeout=20) for call in waiting} == {503}
    assert calls("slow") == 2
    assert calls("again") == runs
    assert server.ask("db", "SELECT * FROM called").status != 200
