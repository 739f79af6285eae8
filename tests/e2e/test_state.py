"""influxdb3_local.state: durable, moved together with what a run writes, never lost, never twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = pytest.mark.e2e

COUNTER = """
def process_request(api, query, headers, body, args):
    number = api.state.get("number", 0) + 1
    api.state.put("number", number)
    if query.get("fail"):
        api.write(LineBuilder("counted").int64_field("number", -1))
        raise ValueError("on purpose")
    api.write(LineBuilder("counted").int64_field("number", number))
    return {"number": number, "items": api.state.items("num")}
"""


def call(server: ServerProcess, **parameters: str) -> object:
    answer = server.request("GET", "/api/v3/engine/count", parameters=parameters)
    return answer.json() if answer.status == 200 else answer.status


def test_state_survives_a_kill_and_a_failed_run_changes_nothing(server: ServerProcess) -> None:
    server.plugin("count.py", COUNTER)
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "count", "request:count", "count.py").status == 200
    assert call(server) == {"number": 1, "items": [["number", 1]]}
    assert call(server, fail="yes") == 500
    server.kill()
    server.start()
    assert call(server) == {"number": 2, "items": [["number", 2]]}
    rows = server.query("db", "SELECT number FROM counted ORDER BY time")
    assert rows == [{"number": 1}, {"number": 2}]


def test_a_refused_write_back_leaves_the_state_as_it_was(server: ServerProcess) -> None:
    server.plugin(
        "refused.py",
        """
def process_request(api, query, headers, body, args):
    seen = api.state.get("seen")
    api.state.put("seen", True)
    if query.get("bad"):
        api.write(type("Bad", (), {"build": lambda self: "not line protocol"})())
    return {"seen": seen}
""",
    )
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "t", "request:count", "refused.py").status == 200
    assert call(server, bad="yes") == 500
    assert call(server) == {"seen": None}
    assert call(server) == {"seen": True}


def test_the_state_goes_with_its_trigger_but_not_with_a_disable(server: ServerProcess) -> None:
    server.plugin("count.py", COUNTER)
    server.cli("create", "database", "db")
    for expected in (1, 1):
        assert server.create_trigger("db", "count", "request:count", "count.py").status == 200
        assert call(server) == {"number": expected, "items": [["number", expected]]}
        assert server.cli("disable", "trigger", "--database", "db", "count").returncode == 0
        assert server.cli("enable", "trigger", "--database", "db", "count").returncode == 0
        number = expected + 1
        assert call(server) == {"number": number, "items": [["number", number]]}
        assert server.cli("delete", "trigger", "-d", "db", "count", "--force").returncode == 0


def test_concurrent_runs_of_an_asynchronous_trigger_lose_no_update(server: ServerProcess) -> None:
    server.plugin("count.py", COUNTER)
    server.cli("create", "database", "db")
    answer = server.create_trigger("db", "count", "request:count", "count.py", run_async=True)
    assert answer.status == 200
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: call(server), range(40)))
    assert sorted(answer["number"] for answer in answers) == list(range(1, 41))
    rows = server.query("db", "SELECT number FROM counted ORDER BY number")
    assert [row["number"] for row in rows] == list(range(1, 41))


def test_what_cannot_be_stored_is_an_error_in_the_plugin(server: ServerProcess) -> None:
    server.plugin(
        "wrong.py",
        """
def process_request(api, query, headers, body, args):
    texts = []
    deep = []
    for _ in range(100_000): deep = [deep]
    for key, value in [
        ("a", object()), ("a", {1, 2}), ("a", {"x": [print]}), ("a", {(1,): 2}), ("a", 2**64),
        ("a", bytes(1024 * 1024)), ("k" * 513, 1), (1, 1), ("a", deep), ("a", "\\ud800"),
    ]:
        try:
            api.state.put(key, value)
            texts.append("stored")
        except (TypeError, ValueError) as error:
            texts.append(f"{type(error).__name__}: {error}")
    api.state.put("good", {"t": (1, 2), "b": b"x", 3: None})
    assert api.state.get("good") == {"t": [1, 2], "b": b"x", 3: None}
    api.state.get("good")["t"].append(3)
    assert api.state.get("good")["t"] == [1, 2]
    assert api.state.delete("good") and not api.state.delete("good")
    assert api.state.get("good", "gone") == "gone" and api.state.items() == []
    return texts
""",
    )
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "wrong", "request:count", "wrong.py").status == 200
    texts = call(server)
    assert isinstance(texts, list)
    for text, part in zip(
        texts,
        (
            "TypeError: the state value of 'a' holds a object",
            "TypeError: the state value of 'a' holds a set",
            "holds a builtin_function_or_method",
            "dict keys must be str or int",
            "ValueError: the state value of 'a' cannot be stored",
            "the limit is 1048576",
            "may take 512 bytes, this one takes 513",
            "TypeError: a state key must be a str",
            "nested too deeply",
            "ValueError",
        ),
        strict=True,
    ):
        assert part in text


def test_a_state_beyond_its_limit_is_refused(server: ServerProcess) -> None:
    server.plugin(
        "large.py",
        """
def process_request(api, query, headers, body, args):
    for number in range(int(query["from"]), int(query["to"])):
        api.state.put(f"key{number}", bytes(1_000_000))
    return str(len(api.state.items()))
""",
    )
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "large", "request:count", "large.py").status == 200

    def put(start: int, end: int) -> tuple[int, bytes]:
        parameters = {"from": str(start), "to": str(end)}
        answer = server.request("GET", "/api/v3/engine/count", parameters=parameters)
        return answer.status, answer.body

    status, body = put(0, 20)
    assert status == 500
    assert b"this call changes more than 16777216 bytes of state" in body
    assert put(0, 12) == (200, b"12")
    status, body = put(12, 20)
    assert status == 500
    assert b"the limit is 16777216" in body
    assert put(11, 14) == (200, b"14")


def test_a_wal_trigger_keeps_a_running_total_over_restarts(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server("--wal-flush-interval", "50ms").start()
    server.plugin(
        "total.py",
        """
def process_writes(api, batches, args):
    total = api.state.get("total", 0) + sum(row["f"] for row in batches[0]["rows"])
    api.state.put("total", total)
    api.write(LineBuilder("totals").int64_field("total", total))
""",
    )
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "total", "table:m", "total.py").status == 200

    def last() -> object:
        answer = server.ask("db", "SELECT max(total) AS total FROM totals")
        return answer.json()[0]["total"] if answer.status == 200 else None

    expected = 0
    for number in range(1, 6):
        assert server.write("db", f"m f={number}i {number}", precision="ns").status == 204
        expected += number
        if number % 2:
            server.kill()
            server.start()
        wait_for_value(last, expected, "the total")
    assert wait_for(lambda: server.stop() == 0, "an orderly stop")
