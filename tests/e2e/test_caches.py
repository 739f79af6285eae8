"""Caches of tables, as users make and ask them."""

import json
import time

import pytest

from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e


def test_caches_from_their_creation_to_their_end(server: ServerProcess) -> None:
    now = time.time_ns()
    server.write("db", f"cpu,host=a,region=x usage=1,idle=5i {now - 60_000_000_000}\n")
    server.write("db", f"cpu,host=b,region=x usage=2 {now - 50_000_000_000}\n")
    created = server.cli(
        *("create", "last_cache", "-d", "db", "-t", "cpu"),
        *("--key-columns", "host", "--value-columns", "usage", "--ttl", "1 hour"),
    )
    assert created.returncode == 0, created.stderr
    said = "new cache created: "
    assert created.stdout.startswith(said)
    batch = json.loads(created.stdout.removeprefix(said))["catalog_batch"]["Database"]
    (operation,) = batch["ops"]
    assert batch["database_name"] == "db"
    assert operation["CreateLastCache"]["cache_name"] == "cpu_host_last_cache"
    assert operation["CreateLastCache"]["ttl"] == 3600
    again = server.cli("create", "last_cache", "-d", "db", "-t", "cpu", "--key-columns", "host")
    assert again.returncode == 1
    assert "already exists" in again.stderr
    assert server.cli(
        *("create", "distinct_cache", "hosts", "-d", "db", "-t", "cpu"), "--columns", "host,region"
    ).stdout.startswith(said)

    # What was there before, and what comes, are one.
    last = "SELECT host, usage FROM last_cache('cpu') ORDER BY host"
    server.write("db", f"cpu,host=a,region=x usage=3 {now}\n")
    assert server.query("db", last) == [{"host": "a", "usage": 3.0}, {"host": "b", "usage": 2.0}]
    distinct = "SELECT * FROM distinct_cache('cpu', 'hosts') ORDER BY host DESC"
    hosts = [{"host": "b", "region": "x"}, {"host": "a", "region": "x"}]
    assert server.query("db", distinct) == hosts

    server.kill()
    server.start()
    assert server.query("db", last) == [{"host": "a", "usage": 3.0}, {"host": "b", "usage": 2.0}]
    assert server.query("db", distinct) == hosts
    (row,) = server.query("db", "SELECT * FROM system.last_caches")
    assert row == {
        "table": "cpu",
        "name": "cpu_host_last_cache",
        "key_column_ids": [1],
        "key_column_names": ["host"],
        "value_column_ids": [3],
        "value_column_names": ["usage"],
        "count": 1,
        "ttl": 3600,
    }
    shown = server.cli("show", "distinct_caches", "-d", "db", "--format", "json")
    assert json.loads(shown.stdout)[0]["max_age_seconds"] == 86_400

    for noun, name in (("last_cache", "cpu_host_last_cache"), ("distinct_cache", "hosts")):
        gone = server.cli("delete", noun, name, "-d", "db", "-t", "cpu")
        assert gone.stdout == f"{noun.replace('_', ' ')} deleted successfully\n"
        gone = server.cli("delete", noun, name, "-d", "db", "-t", "cpu")
        assert (gone.returncode, "not found" in gone.stderr) == (1, True)
    refused = server.ask("db", "SELECT * FROM last_cache('cpu')")
    assert refused.status == 400
    assert "last cache not found for table 'cpu'" in refused.json()["error"]


def test_deletes_reach_caches_and_tables_take_theirs_with_them(server: ServerProcess) -> None:
    now = time.time_ns()
    for age_s, usage in ((60, 1), (30, 2)):
        server.write("db", f"cpu,host=a usage={usage} {now - age_s * 1_000_000_000}\n")
    server.write("db", f"mem,host=a used=1 {now}\n")
    for table in ("cpu", "mem"):
        assert server.cli("create", "last_cache", "-d", "db", "-t", table).returncode == 0
    last = "SELECT host, usage FROM last_cache('cpu')"
    points = "SELECT last_value(usage ORDER BY time) AS usage FROM cpu GROUP BY host"
    assert server.query("db", last) == [{"host": "a", "usage": 2.0}]
    assert server.query("db", points) == [{"usage": 2.0}]
    rows = {"db": "db", "table": "cpu", "from": str(now - 40_000_000_000)}
    deleted = server.request(
        "DELETE",
        "/api/v3/configure/table/rows",
        json.dumps(rows).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert deleted.status == 200, deleted.body
    gone = server.cli("delete", "table", "mem", "-d", "db", "--yes")
    assert gone.returncode == 0, gone.stderr
    server.write("db", f"mem,host=b used=9 {now}\n")
    for is_again in (False, True):
        assert server.query("db", last) == [{"host": "a", "usage": 1.0}]
        assert server.query("db", points) == [{"usage": 1.0}]
        refused = server.ask("db", "SELECT * FROM last_cache('mem')")
        assert "last cache not found for table 'mem'" in refused.json()["error"]
        tables = server.query("db", 'SELECT "table" FROM system.last_caches')
        assert tables == [{"table": "cpu"}]
        if not is_again:
            server.kill()
            server.start()
    assert server.cli("delete", "database", "db", "--yes").returncode == 0
    server.write("other", f"cpu,host=b usage=2 {now}\n")
    assert server.query("other", "SELECT name FROM system.last_caches") == []
    assert server.ask("db", last).status == 404


def test_wrong_caches_are_refused(server: ServerProcess) -> None:
    server.write("db", "cpu,host=a usage=1 1\n")
    path = "/api/v3/configure/last_cache"
    for body, status in (
        ({"db": "none", "table": "cpu"}, 404),
        ({"db": "db", "table": "none"}, 404),
        ({"db": "db", "table": "cpu", "key_columns": ["usage"]}, 400),
        ({"db": "db", "table": "cpu", "count": -1}, 400),
        ({"db": "db"}, 400),
    ):
        answer = server.request(
            "POST", path, json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        assert answer.status == status, answer.body
        assert answer.json()["error"]
    wrong = server.cli("create", "last_cache", "-d", "db", "-t", "cpu", "--ttl", "soon")
    assert (wrong.returncode, "--ttl: 'soon' is not a duration" in wrong.stderr) == (1, True)
