"""Log lines of plugins: kept over restarts, and followed."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

SAYS = """
def process_request(api, query, headers, body, args):
    api.info("said", query["word"])
    if query["word"] == "two":
        api.warn("line one\\nline two")
    return "ok"
"""


def texts(server: ServerProcess, database: str = "db") -> list[str]:
    rows = server.query(
        database, "SELECT log_text FROM system.processing_engine_logs ORDER BY event_time"
    )
    return [row["log_text"] for row in rows if "execution" not in row["log_text"]]


def say(server: ServerProcess, word: str) -> None:
    assert server.request("GET", f"/api/v3/engine/say?word={word}").body == b"ok"


def prepared(server: ServerProcess) -> None:
    server.plugin("says.py", SAYS)
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "says", "request:say", "says.py").status == 200


def on_disk(server: ServerProcess) -> str:
    files = sorted((server.data_dir / "node0" / "plugin-logs").glob("*.jsonl"))
    return "".join(path.read_text() for path in files)


def test_lines_are_there_after_a_stop_and_after_a_kill(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server().start()
    prepared(server)
    say(server, "one")
    assert server.stop() == 0
    server.start()
    assert texts(server) == ["said one"]
    say(server, "two")
    wait_for(lambda: "line two" in on_disk(server), "the lines are written")
    server.kill()
    server.start()
    assert texts(server) == ["said one", "said two", "line one\nline two"]
    assert texts(server, "_internal") == texts(server)

    # They go with their database, and do not show up in a later one of its name.
    assert server.cli("delete", "database", "db", "--yes").returncode == 0
    prepared(server)
    assert texts(server) == []
    server.kill()
    server.start()
    assert texts(server) == []


def test_tail_prints_lines_as_they_come(server: ServerProcess) -> None:
    prepared(server)
    say(server, "one")
    say(server, "two")
    past = server.cli("trigger", "tail", "says", "-d", "db", "--no-follow", "-n", "2")
    assert past.returncode == 0, past.stderr
    first, second, third = past.stdout.splitlines()
    assert first.endswith("Z WARN  line one")
    assert second == "line two"
    assert "INFO  finished execution in" in third

    command = [sys.executable, "-m", "engine", "trigger", "tail", "says", "-d", "db"]
    command += ["--host", server.url, "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert "finished execution in" in tail.stdout.readline()  # it follows from here on
        say(server, "three")
        lines = [tail.stdout.readline() for _ in range(3)]
        tail.kill()
    assert "starting execution of request plugin." in lines[0]
    assert "INFO  said three" in lines[1]
    assert "finished execution in" in lines[2]

    missing = server.cli("trigger", "tail", "nix", "-d", "db", "--no-follow")
    assert missing.returncode == 1
    assert "has no trigger nix" in missing.stderr


def test_a_new_database_has_no_lines_of_an_older_one_of_its_name(server: ServerProcess) -> None:
    server.plugin(
        "slow.py",
        "import time\ndef process_writes(api, batches, args):\n"
        "    api.info('old')\n    time.sleep(60)\n",
    )
    server.cli("create", "database", "db")
    server.create_trigger("db", "t", "all_tables", "slow.py")
    server.write("db", "m f=1\n")
    wait_for(lambda: "old" in [entry["log_text"] for entry in server.logs("db", "t")], "the call")
    assert server.cli("delete", "database", "db", "--yes").returncode == 0
    wait_for(lambda: "trigger stopped" in server.log_text, "the end of the trigger")
    server.cli("create", "database", "db")
    assert server.logs("db", "t") == []
