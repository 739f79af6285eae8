from types import SimpleNamespace

import pyarrow
import pytest

from engine.plugins.trigger_status import TriggerStatus
from engine.query.system_tables import (
    logs_table,
    queries_table,
    specification_json,
    trigger_arguments_table,
    triggers_table,
)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("all_tables", '"all_tables_wal_write"'),
        ("all-tables", '"all_tables_wal_write"'),
        ("table:cpu:x", '{"single_table_wal_write":{"table_name":"cpu:x"}}'),
        ("cron:0 0 8 * * *", '{"schedule":{"schedule":"0 0 8 * * *"}}'),
        ("schedule:0 0 8 * * *", '{"schedule":{"schedule":"0 0 8 * * *"}}'),
        ("every:10s", '{"every":{"duration":{"secs":10,"nanos":0}}}'),
        ("every:1h30m", '{"every":{"duration":{"secs":5400,"nanos":0}}}'),
        ("every:1500ms", '{"every":{"duration":{"secs":1,"nanos":500000000}}}'),
        ("request:my/path", '{"request_path":{"path":"my/path"}}'),
    ],
)
def test_specifications_are_shown_as_the_reference_system_does(spec, shown):
    assert specification_json(spec) == shown


def trigger(name, arguments):
    return SimpleNamespace(
        name=name,
        plugin_filename="p.py",
        spec="all_tables",
        arguments=arguments,
        disabled=False,
        permissions=("db:db:read", "db:other:write"),
        error_behavior="Log",
        disabled_reason="",
        run_async=True,
    )


def test_triggers_and_their_arguments():
    triggers = [trigger("a", {"x": "1", "y": "2"}), trigger("b", None)]
    status = TriggerStatus(cursor=7, lag_rows=3, last_error="E", last_error_time_ns=5_000)
    row = triggers_table((trigger, status) for trigger in triggers).to_pylist()[0]
    assert (row["cursor"], row["lag_rows"], row["runs"], row["worker_pid"]) == (7, 3, 0, None)
    assert (row["last_error"], row["last_error_time"].microsecond) == ("E", 5)
    assert dict(list(row.items())[:8]) == {
        "trigger_name": "a",
        "plugin_filename": "p.py",
        "trigger_specification": '"all_tables_wal_write"',
        "disabled": False,
        "error_behavior": "log",
        "disabled_reason": "",
        "run_async": True,
        "permissions": "db:db:read, db:other:write",
    }
    assert trigger_arguments_table(triggers).to_pylist() == [
        {"trigger_name": "a", "argument_key": "x", "argument_value": "1"},
        {"trigger_name": "a", "argument_key": "y", "argument_value": "2"},
    ]
    assert triggers_table([]).num_rows == 0


def test_logs_are_those_of_the_database_with_both_names_of_the_time():
    entries = [
        SimpleNamespace(time_ns=1, trigger_name="a", level="INFO", text="hello", database="db"),
        SimpleNamespace(time_ns=2, trigger_name="b", level="WARN", text="world", database="other"),
    ]
    table = logs_table(entries, "db")
    assert table.column_names == ["event_time", "trigger_name", "log_level", "log_text", "time"]
    assert table.column("time").cast(pyarrow.int64()).to_pylist() == [1]
    assert table.column("event_time") == table.column("time")
    assert logs_table(entries, "_internal").column("log_text").to_pylist() == ["hello", "world"]
    assert logs_table([], "db").num_rows == 0


def test_queries():
    record = SimpleNamespace(
        id="7",
        phase="success",
        issue_time_ns=1,
        query_type="sql",
        query_text="SELECT 1",
        end2end_duration_ns=5,
    )
    table = queries_table([record])
    assert table.column("success").to_pylist() == [True]
    assert table.column("running").to_pylist() == [False]
    assert table.column("end2end_duration").cast(pyarrow.int64()).to_pylist() == [5]
