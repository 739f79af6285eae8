"""Triggers with rights of their own: what the server refuses to their plugins, whatever these ask for."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

MakeServer = Callable[..., ServerProcess]
# Does what the request's parameters say, and answers with the error. To forge is to tell the server
# past the API, on the worker's own channel, what the run has written.
ANYTHING = """
from engine.plugins.channel import Response, RunDone

def process_request(api, query, headers, body, args):
    line = LineBuilder("m").int64_field("f", 1)
    try:
        if query["do"] == "read":
            return {"rows": api.query(query["sql"], database=query["db"])}
        if query["do"] == "write_sync":
            api.write_sync_to_db(query["db"], line, no_sync=query.get("no_sync") == "yes")
        elif query["do"] == "forge":
            writes = [(query["db"], b"m f=1i")]
            done = RunDone(
                run_id=api._run_id, ok=True, writes=writes, response=Response(200, [], b"{}")
            )
            api._calls._channel.send(done)
        else:
            api.write(line)
            api.write_to_db(query["db"], line)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {}
"""
COPY = """
def process_writes(api, batches, args):
    for batch in batches:
        for row in batch["rows"]:
            line = LineBuilder("copied").int64_field("f", row["f"]).time_ns(row["time"])
            api.write_to_db(args["to"], line)
"""
LISTED = "SELECT trigger_name, permissions FROM system.processing_engine_triggers ORDER BY 1"


def asked(server: ServerProcess, path: str, **query: str) -> Any:
    """What the plugin of a request trigger answers."""
    answer = server.request("GET", f"/api/v3/engine/{path}", parameters=query)
    content = answer.json()
    assert answer.status == (500 if content.get("code") else 200), content
    return content


def created(server: ServerProcess, name: str, spec: str, file: str, *flags: str) -> None:
    made = server.cli(
        *("create", "trigger", "-d", "mine", "--trigger-spec", spec, "--path", file, name), *flags
    )
    assert made.returncode == 0, made.stderr


def databases(server: ServerProcess) -> set[str]:
    shown = server.cli("show", "databases", "--format", "json")
    return {row["iox::database"] for row in json.loads(shown.stdout)}


def test_a_trigger_with_rights_gets_no_further_than_these(make_server: MakeServer) -> None:
    server = make_server().start()
    for name in ("mine", "theirs", "sink"):
        assert server.write(name, "m f=1i 1").status == 204
    server.plugin("anything.py", ANYTHING)
    rights = ("--database-rights", "mine:read,write", "--database-rights", "sink:write")
    for name, *flags in (["narrow"], ["overlapping", "--run-asynchronous"]):
        created(server, name, f"request:{name}", "anything.py", *rights, *flags)
    created(server, "free", "request:free", "anything.py")
    rows = "SELECT f FROM m"
    for name in ("narrow", "overlapping"):
        assert asked(server, name, do="read", db="mine", sql=rows) == {"rows": [{"f": 1}]}
        for database, sql in (
            ("theirs", rows),
            ("sink", rows),
            ("_internal", "SELECT * FROM system.tokens"),
            ("nowhere", rows),
        ):
            error = asked(server, name, do="read", db=database, sql=sql)["error"]
            missing = f"trigger '{name}' has no right to read database '{database}'"
            assert error.startswith(f"QueryError: {missing}. ")
        for database in ("theirs", "_internal", "created"):
            missing = f"trigger '{name}' has no right to write database '{database}'"
            for no_sync in ("no", "yes"):
                found = asked(server, name, do="write_sync", db=database, no_sync=no_sync)
                assert found["error"].startswith(
                    f"WriteError: error writing line protocol to {database}: Cannot write: {missing}"
                )
            for deed in ("write", "forge"):
                refused = asked(server, name, do=deed, db=database)["error"]
                assert refused.startswith(f"error writing back lines: {missing}")
        assert asked(server, name, do="write_sync", db="sink") == {}
    # What a refused run wrote into its own database is not stored either.
    counted = "SELECT count(*) AS n FROM m"
    assert server.query("mine", counted) == server.query("theirs", counted) == [{"n": 1}]
    assert databases(server) == {"mine", "theirs", "sink"}
    # System tables of a database are read with it.
    own = asked(server, "narrow", do="read", db="mine", sql=LISTED)
    assert [row["permissions"] for row in own["rows"]] == [
        "*:*:*",
        *["db:mine:read,write, db:sink:write"] * 2,
    ]
    # Without rights given: everything, as ever.
    assert asked(server, "free", do="read", db="theirs", sql=rows) == {"rows": [{"f": 1}]}
    assert asked(server, "free", do="write", db="created") == {}
    assert "created" in databases(server)


def test_rights_hold_for_committed_outputs_change_at_once_and_outlast_a_crash(
    make_server: MakeServer,
) -> None:
    server = make_server("--trigger-rights", "own").start()
    assert server.write("mine", "m f=0i 1").status == 204
    server.plugin("copy.py", COPY)
    server.plugin("anything.py", ANYTHING)
    flags = ("--trigger-arguments", "to=sink", "--error-behavior", "disable")
    created(server, "copy", "table:m", "copy.py", *flags)
    created(server, "all", "request:all", "anything.py", "--database-rights", "all")
    assert server.write("mine", "m f=1i 2").status == 204

    def copy() -> Any:
        (row,) = server.query(
            "mine",
            "SELECT permissions, disabled, disabled_reason FROM system.processing_engine_triggers "
            "WHERE trigger_name = 'copy'",
        )
        return row

    wait_for(lambda: copy()["disabled"], "the refused trigger to stop")
    assert "has no right to write database 'sink'" in copy()["disabled_reason"]
    assert copy()["permissions"] == "db:mine:read,write"
    assert databases(server) == {"mine"}
    server.kill()
    server.start()
    assert copy()["permissions"] == "db:mine:read,write"
    updated = server.cli(
        *("update", "trigger", "-d", "mine", "copy", "--database-rights", "sink:write")
    )
    assert updated.returncode == 0, updated.stderr
    assert server.cli("enable", "trigger", "-d", "mine", "copy").returncode == 0
    # The rows that failed were not stepped over.
    wait_for(lambda: server.ask("sink", "SELECT f FROM copied").status == 200, "the copy")
    assert server.query("sink", "SELECT f FROM copied") == [{"f": 1}]
    shown = json.loads(server.cli("show", "triggers", "-d", "mine", "--format", "json").stdout)
    assert {row["trigger_name"]: row["permissions"] for row in shown} == {
        "copy": "db:sink:write",
        "all": "*:*:*",
    }
    # A dry run has the rights that are given, those of the trigger, or those of a new one.
    for rights, is_refused in (
        (("--database-rights", "other:write"), True),
        (("--trigger", "copy"), False),
        ((), True),
    ):
        tried = server.cli(
            *("test", "wal_plugin", "-d", "mine", "--lp", "m f=2i 3", "--input-arguments"),
            *("to=sink", *rights, "copy.py"),
        )
        report = json.loads(tried.stdout)
        assert bool(report["errors"]) is is_refused, (rights, report)
