"""What one sees of a trigger: in the system table and among the metrics."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = pytest.mark.e2e

STRICT = """
def process_writes(api, batches, args):
    for row in batches[0]["rows"]:
        if row["f"] < 0:
            raise ValueError("negative")
"""


def status(server: ServerProcess) -> dict[str, Any]:
    (row,) = server.query("db", "SELECT * FROM system.processing_engine_triggers")
    found: dict[str, Any] = row
    return found


def gauges(server: ServerProcess) -> dict[str, float]:
    text = server.request("GET", "/metrics").body.decode()
    found = re.findall(r'^headrace_trigger_(\w+)\{database="db",trigger="t"\} (\S+)$', text, re.M)
    return {name: float(number) for name, number in found}


def test_status_of_a_trigger_from_lag_to_parked_rows(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server("--plugin-retries", "1").start()
    server.plugin("strict.py", STRICT)
    server.cli("create", "database", "db")
    settings = {"error_behavior": "retry"}
    assert server.create_trigger("db", "t", "table:m", "strict.py", **settings).status == 200
    fresh = status(server)
    assert (fresh["lag_rows"], fresh["runs"], fresh.get("last_error")) == (0, 0, None)
    assert "worker_pid" not in fresh

    assert server.cli("disable", "trigger", "-d", "db", "t").returncode == 0
    assert (
        server.write("db", "m f=1i 1\nm f=-2i 2\nm f=3i 3\nother f=1i 1", precision="ns").status
        == 204
    )
    wait_for(lambda: status(server)["lag_rows"] == 4, "the lag of a trigger that is off")
    wait_for(lambda: status(server)["lag_seconds"] > 0.05, "the lag grows")
    assert gauges(server)["lag_rows"] == 4
    assert gauges(server)["lag_seconds"] > 0.05
    server.kill()
    server.start()
    assert status(server)["lag_rows"] == 4

    before = status(server)["cursor"]
    assert server.cli("enable", "trigger", "-d", "db", "t").returncode == 0
    wait_for_value(lambda: status(server)["parked_rows"], 1, "the row is parked", timeout_s=30)
    wait_for_value(lambda: status(server)["lag_rows"], 0, "nothing waits")
    now = status(server)
    assert now["cursor"] > before
    assert now["lag_seconds"] == 0.0
    assert now["last_error"] == "ValueError: negative"
    assert now["last_error_time"] > "2020"
    assert now["runs"] > now["errors"] >= 2
    assert now["retries"] == 1
    assert 0 < now["mean_run_seconds"] <= now["max_run_seconds"]
    assert now["last_run_seconds"] <= now["max_run_seconds"]
    assert 0 < now["last_dispatch_seconds"] < 30
    assert now["worker_memory_bytes"] > 1_000_000
    assert now["worker_cpu_seconds"] >= 0.0
    shown = gauges(server)
    assert shown["dead_letter_rows"] == 1
    assert shown["parked_rows_total"] == 1
    assert shown["errors_total"] == now["errors"]
    assert shown["worker_memory_bytes"] > 1_000_000

    assert server.cli("delete", "trigger", "-d", "db", "t", "--force").returncode == 0
    assert gauges(server) == {}
    assert server.create_trigger("db", "t", "table:m", "strict.py").status == 200
    assert status(server)["runs"] == 0
