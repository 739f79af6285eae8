# Owns the shape of the `system` tables: column names and types. The records come from whoever has
# them, through the small protocols here; this module keeps nothing.
"""System tables."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import pyarrow

from engine.catalog.model import INTERNAL_DATABASE
from engine.catalog.trigger_permissions import permissions_of

SYSTEM_TABLE_NAMES = (
    "damage",
    "distinct_caches",
    "last_caches",
    "parquet_files",
    "plugin_files",
    "processing_engine_dead_letters",
    "processing_engine_logs",
    "processing_engine_trigger_arguments",
    "processing_engine_triggers",
    "queries",
)

# Only the internal database has these.
INTERNAL_TABLE_NAMES = ("databases", "tables", "tokens")

_TEXT = pyarrow.utf8()
_TIME = pyarrow.timestamp("ns")
_SPAN = pyarrow.duration("ns")

_TRIGGERS = pyarrow.schema(
    [
        ("trigger_name", _TEXT),
        ("plugin_filename", _TEXT),
        ("trigger_specification", _TEXT),
        ("disabled", pyarrow.bool_()),
        ("error_behavior", _TEXT),
        # What the reference system does not show.
        ("disabled_reason", _TEXT),
        ("run_async", pyarrow.bool_()),
        ("permissions", _TEXT),
        ("cursor", pyarrow.int64()),
        ("lag_rows", pyarrow.int64()),
        ("lag_seconds", pyarrow.float64()),
        ("runs", pyarrow.int64()),
        ("errors", pyarrow.int64()),
        ("retries", pyarrow.int64()),
        ("parked_rows", pyarrow.int64()),
        ("is_backfilling", pyarrow.bool_()),
        ("backfilled_rows", pyarrow.int64()),
        ("skipped", _TEXT),
        ("last_error", _TEXT),
        ("last_error_time", _TIME),
        ("last_run_seconds", pyarrow.float64()),
        ("mean_run_seconds", pyarrow.float64()),
        ("max_run_seconds", pyarrow.float64()),
        ("last_dispatch_seconds", pyarrow.float64()),
        ("worker_pid", pyarrow.int64()),
        ("worker_memory_bytes", pyarrow.int64()),
        ("worker_cpu_seconds", pyarrow.float64()),
    ]
)
_STATUS_NAMES = (
    *("cursor", "lag_rows", "lag_seconds", "runs", "errors", "retries", "parked_rows"),
    *("is_backfilling", "backfilled_rows"),
    "skipped",
    *("last_error", "last_run_seconds", "mean_run_seconds", "max_run_seconds"),
    "last_dispatch_seconds",
    *("worker_pid", "worker_memory_bytes", "worker_cpu_seconds"),
)
_ARGUMENTS = pyarrow.schema(
    [("trigger_name", _TEXT), ("argument_key", _TEXT), ("argument_value", _TEXT)]
)
_LOGS = pyarrow.schema(
    [
        ("event_time", _TIME),
        ("trigger_name", _TEXT),
        ("log_level", _TEXT),
        ("log_text", _TEXT),
        ("time", _TIME),
    ]
)
_PLUGIN_FILES = pyarrow.schema(
    [
        ("plugin_name", _TEXT),
        ("file_name", _TEXT),
        ("file_path", _TEXT),
        ("size_bytes", pyarrow.int64()),
        ("last_modified", pyarrow.int64()),
    ]
)
_QUERIES = pyarrow.schema(
    [
        ("id", _TEXT),
        ("phase", _TEXT),
        ("issue_time", _TIME),
        ("query_type", _TEXT),
        ("query_text", _TEXT),
        ("partitions", pyarrow.int64()),
        ("parquet_files", pyarrow.int64()),
        ("plan_duration", _SPAN),
        ("permit_duration", _SPAN),
        ("execute_duration", _SPAN),
        ("end2end_duration", _SPAN),
        ("compute_duration", _SPAN),
        ("max_memory", pyarrow.int64()),
        ("success", pyarrow.bool_()),
        ("running", pyarrow.bool_()),
        ("cancelled", pyarrow.bool_()),
        ("trace_id", _TEXT),
    ]
)

_DURATION_PART = re.compile(r"(\d+)\s*([a-z]+)", re.ASCII)
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "sec": 1_000_000_000,
    "m": 60_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "hr": 3_600_000_000_000,
    "hour": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "day": 86_400_000_000_000,
    "w": 604_800_000_000_000,
    "week": 604_800_000_000_000,
}


def system_table_names(database: str) -> tuple[str, ...]:
    """The system tables of `database`, by name."""
    return SYSTEM_TABLE_NAMES + (INTERNAL_TABLE_NAMES if database == INTERNAL_DATABASE else ())


class TriggerRecord(Protocol):
    """A trigger as far as the system tables show it."""

    @property
    def name(self) -> str:
        """Trigger name."""

    @property
    def plugin_filename(self) -> str:
        """Plugin file, relative to the plugin directory."""

    @property
    def spec(self) -> str:
        """Specification as users write it, such as ``every:10s``."""

    @property
    def arguments(self) -> Mapping[str, str] | None:
        """Trigger arguments."""

    @property
    def disabled(self) -> bool:
        """Whether it is off."""

    @property
    def error_behavior(self) -> str:
        """What follows an error: log, retry or disable."""

    @property
    def disabled_reason(self) -> str:
        """Why it is off; empty when a person asked for it."""

    @property
    def run_async(self) -> bool:
        """Whether runs may overlap."""

    @property
    def permissions(self) -> tuple[str, ...] | msgspec.UnsetType:
        """What it may do, as it is stored."""


class StatusRecord(Protocol):
    """How a trigger is; besides this it has an attribute for each name in `_STATUS_NAMES`."""

    @property
    def last_error_time_ns(self) -> int | None:
        """When it failed last."""


class LogRecord(Protocol):
    """One line of a plugin's log."""

    @property
    def time_ns(self) -> int:
        """When it was written."""

    @property
    def trigger_name(self) -> str:
        """Which trigger wrote it."""

    @property
    def level(self) -> str:
        """INFO, WARN or ERROR."""

    @property
    def text(self) -> str:
        """The line."""

    @property
    def database(self) -> str:
        """The trigger's database."""


class PluginFileRecord(Protocol):
    """One file of a trigger's plugin."""

    @property
    def trigger_name(self) -> str:
        """Whose it is."""

    @property
    def file_name(self) -> str:
        """Its path within the plugin."""

    @property
    def file_path(self) -> str:
        """Its path on the server."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    @property
    def modified_ms(self) -> int:
        """When it was changed, milliseconds since the epoch."""


class QueryRecord(Protocol):
    """One query, running or done."""

    @property
    def id(self) -> str:
        """Unique id."""

    @property
    def phase(self) -> str:
        """How far it is: received, success, fail or cancel."""

    @property
    def issue_time_ns(self) -> int:
        """When it came in."""

    @property
    def query_type(self) -> str:
        """Its language."""

    @property
    def query_text(self) -> str:
        """Its text."""

    @property
    def end2end_duration_ns(self) -> int | None:
        """How long it took; None while it runs."""


def triggers_table(triggers: Iterable[tuple[TriggerRecord, StatusRecord]]) -> Any:
    """``system.processing_engine_triggers``, each trigger with its status."""
    return pyarrow.Table.from_pylist(
        [
            {
                "trigger_name": trigger.name,
                "plugin_filename": trigger.plugin_filename,
                "trigger_specification": specification_json(trigger.spec),
                "disabled": trigger.disabled,
                "error_behavior": str(trigger.error_behavior).lower(),
                "disabled_reason": trigger.disabled_reason,
                "run_async": trigger.run_async,
                "permissions": ", ".join(permissions_of(trigger)),
                "last_error_time": status.last_error_time_ns,
                **{name: getattr(status, name) for name in _STATUS_NAMES},
            }
            for trigger, status in triggers
        ],
        _TRIGGERS,
    )


def trigger_arguments_table(triggers: Iterable[TriggerRecord]) -> Any:
    """``system.processing_engine_trigger_arguments``."""
    return pyarrow.Table.from_pylist(
        [
            {"trigger_name": trigger.name, "argument_key": key, "argument_value": str(value)}
            for trigger in triggers
            for key, value in (trigger.arguments or {}).items()
        ],
        _ARGUMENTS,
    )


def logs_table(entries: Iterable[LogRecord], database: str) -> Any:
    """``system.processing_engine_logs``: the lines of one database, in ``_internal`` of all."""
    shown = [entry for entry in entries if database in (INTERNAL_DATABASE, entry.database)]
    times = pyarrow.array([entry.time_ns for entry in shown], pyarrow.int64()).cast(_TIME)
    columns = [
        times,
        pyarrow.array([entry.trigger_name for entry in shown], _TEXT),
        pyarrow.array([str(entry.level) for entry in shown], _TEXT),
        pyarrow.array([entry.text for entry in shown], _TEXT),
        times,
    ]
    return pyarrow.Table.from_arrays(columns, schema=_LOGS)


def plugin_files_table(files: Iterable[PluginFileRecord]) -> Any:
    """``system.plugin_files``: one row per trigger and file of its plugin."""
    rows = [
        {
            "plugin_name": file.trigger_name,
            "file_name": file.file_name,
            "file_path": file.file_path,
            "size_bytes": file.size_bytes,
            "last_modified": file.modified_ms,
        }
        for file in files
    ]
    return pyarrow.Table.from_pylist(rows, _PLUGIN_FILES)


def queries_table(queries: Iterable[QueryRecord]) -> Any:
    """``system.queries``."""
    rows = [
        {
            "id": query.id,
            "phase": query.phase,
            "issue_time": query.issue_time_ns,
            "query_type": query.query_type,
            "query_text": query.query_text,
            "end2end_duration": query.end2end_duration_ns,
            "success": query.phase == "success",
            "running": query.end2end_duration_ns is None,
            "cancelled": query.phase == "cancel",
        }
        for query in queries
    ]
    return pyarrow.Table.from_pylist(rows, _QUERIES)


def table_of_rows(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Any:
    """Records as a table with these columns; without records, columns of text."""
    if not rows:
        return pyarrow.schema([(column, _TEXT) for column in columns]).empty_table()
    return pyarrow.table({column: [row.get(column) for row in rows] for column in columns})


def specification_json(spec: str) -> str:
    """A trigger specification in the JSON form in which the reference system shows it."""
    word, _, rest = spec.partition(":")
    word, rest = word.strip().lower().replace("-", "_"), rest.strip()
    if word in ("all_tables", "all_tables_wal_write"):
        shown: object = "all_tables_wal_write"
    elif word == "table":
        shown = {"single_table_wal_write": {"table_name": rest}}
    elif word in ("cron", "schedule"):
        shown = {"schedule": {"schedule": rest}}
    elif word == "every":
        seconds, nanos = divmod(_duration_ns(rest), 1_000_000_000)
        shown = {"every": {"duration": {"secs": seconds, "nanos": nanos}}}
    elif word in ("request", "path"):
        shown = {"request_path": {"path": rest}}
    else:
        shown = spec
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False)


def _duration_ns(text: str) -> int:
    total = 0
    for number, unit in _DURATION_PART.findall(text.lower()):
        factor = _UNIT_NS.get(unit) or _UNIT_NS.get(unit.removesuffix("s"), 0)
        total += int(number) * factor
    return total
