"""Data directories of earlier versions start, and their triggers go on."""

from pathlib import Path

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for_value

pytestmark = pytest.mark.e2e

# Written by the first version with triggers: a database, five triggers of which one was deleted and
# one disabled, three rows of which two were processed, and a kill.
FIRST_LOG = Path(__file__).parent / "golden" / "version-1.wal"

COPY = """
def process_writes(api, batches, args):
    for batch in batches:
        for row in batch["rows"]:
            api.write(LineBuilder("copy").int64_field("f", row["f"]).time_ns(row["time"]))
    api.state.put("n", api.state.get("n", 0) + 1)
"""
ASK = """
def process_request(api, query, headers, body, args):
    return "old " + args["a"]
"""


def test_a_log_of_the_first_version_is_carried_on(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.plugin("copy.py", COPY)
    server.plugin("tick.py", "def process_scheduled_call(api, time, args):\n    pass\n")
    server.plugin("ask.py", ASK)
    wal = server.data_dir / "node0" / "wal"
    wal.mkdir(parents=True)
    (wal / "00000000000000000001.wal").write_bytes(FIRST_LOG.read_bytes())
    try:
        server.start()
        assert server.request("GET", "/api/v3/engine/ask").body == b"old 1"
        triggers = server.query(
            "db",
            "SELECT trigger_name, disabled FROM system.processing_engine_triggers ORDER BY 1",
        )
        assert triggers == [
            {"trigger_name": "ask", "disabled": False},
            {"trigger_name": "copy", "disabled": False},
            {"trigger_name": "tick", "disabled": True},
        ]
        wait_for_value(
            lambda: server.query("db", "SELECT count(*) AS n, sum(f) AS f FROM copy"),
            [{"n": 3, "f": 6}],
            "the row that was not processed is",
        )
        server.kill()
        server.start()
        assert server.query("db", "SELECT count(*) AS n FROM copy") == [{"n": 3}]
        assert server.stop() == 0
    finally:
        server.kill()
