# Owns the replay of stored rows: reads tables over a stretch of time by SQL and deals them out as
# calls of process_writes would get them. For dry runs; nothing is stepped or stored.
"""Stored rows as batches."""

import asyncio
import heapq
from collections.abc import Iterator
from typing import Any

from engine.errors import PluginError, TableNotFoundError
from engine.plugins.ports import Questioner
from engine.plugins.result_rows import rows_from_stream
from engine.store.live import LiveDatabase, LiveStore
from lp_core import ColumnType

# They become dicts in the server, which has other things to do.
ROWS_MAX = 200_000
ROWS_PER_CALL = 10_000
# Of all tables, as Arrow; as dicts they take several times as much.
BYTES_MAX = 64 * 1024 * 1024

# One call: (table, rows) in order of first appearance.
Call = list[tuple[str, list[dict[str, Any]]]]


async def history_calls(
    questioner: Questioner,
    store: LiveStore,
    database: str,
    start_ns: int,
    end_ns: int,
    table: str | None,
) -> list[Call]:
    """The rows of [start, end), of one table or all, by time, in calls of at most so many rows.

    Raises:
        TableNotFoundError: There is no such table.
        PluginError: The times are the wrong way round, or there are too many rows.
    """
    if start_ns >= end_ns:
        raise PluginError("the stretch of time ends before it begins", hint="--from before --to")
    known = store.database(database)
    names = [] if known is None else known.table_names()
    if table is not None:
        if table not in names:
            raise TableNotFoundError(f"table '{table}' not found in database '{database}'")
        names = [table]
    assert known is not None or not names
    tables: list[tuple[str, list[dict[str, Any]]]] = []
    total = nbytes = 0
    for name in names:
        assert known is not None
        quoted = name.replace('"', '""')
        stream = await questioner.arrow_ipc(
            database,
            f'SELECT * FROM "{quoted}" WHERE time >= to_timestamp_nanos({start_ns}) '  # noqa: S608 - quoted, and ints
            f"AND time < to_timestamp_nanos({end_ns}) ORDER BY time LIMIT {ROWS_MAX + 1}",
            None,
        )
        nbytes += len(stream)
        if nbytes > BYTES_MAX:
            raise PluginError(
                f"the rows of that time take more than {BYTES_MAX} bytes",
                hint="try a shorter stretch, or one table",
            )
        rows = await asyncio.to_thread(_as_written, stream, _key_order(known, name))
        total += len(rows)
        if total > ROWS_MAX:
            raise PluginError(
                f"more than {ROWS_MAX} rows lie in that time",
                hint="try a shorter stretch, or one table",
            )
        tables.append((name, rows))
    return list(_dealt(tables))


def _key_order(database: LiveDatabase, table: str) -> list[str]:
    columns = database.columns(table)
    tags = [name for name, kind in columns if kind == ColumnType.TAG]
    return [*tags, *(name for name, kind in columns if kind != ColumnType.TAG), "time"]


def _as_written(stream: bytes, order: list[str]) -> list[dict[str, Any]]:
    """Rows as a write trigger gets them: tags, fields, time; absent what is null."""
    return [
        {name: row[name] for name in order if row.get(name) is not None}
        for row in rows_from_stream(stream)
    ]


def _dealt(tables: list[tuple[str, list[dict[str, Any]]]]) -> Iterator[Call]:
    streams = [
        [(row["time"], number, row) for row in rows] for number, (_, rows) in enumerate(tables)
    ]
    merged = heapq.merge(*streams, key=lambda item: item[0])
    call: dict[str, list[dict[str, Any]]] = {}
    count = 0
    for _, number, row in merged:
        call.setdefault(tables[number][0], []).append(row)
        count += 1
        if count == ROWS_PER_CALL:
            yield list(call.items())
            call, count = {}, 0
    if call:
        yield list(call.items())
