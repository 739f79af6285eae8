# Owns the replay of stored rows: reads tables over a stretch of time, as backfills do, and deals
# them out as calls of process_writes would get them. For dry runs; nothing is stepped or stored.
"""Stored rows as batches."""

from contextlib import aclosing
from typing import Any

from engine.errors import PluginError, TableNotFoundError
from engine.plugins.past_rows import Past, Wanted
from engine.store.live import LiveStore
from engine.store.past import NOW

# They become dicts in the server, which has other things to do.
ROWS_MAX = 200_000
ROWS_PER_CALL = 10_000
# Text and values of all rows, about.
BYTES_MAX = 64 * 1024 * 1024
_VALUE_BYTES = 8

# One call: (table, rows) in order of first appearance.
Call = list[tuple[str, list[dict[str, Any]]]]


async def history_calls(
    past: Past,
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
    if table is not None and (known is None or known.table(table) is None):
        raise TableNotFoundError(f"table '{table}' not found in database '{database}'")
    wanted = Wanted(database=database, table=table, before=NOW, span=(start_ns, end_ns))
    calls: list[Call] = []
    call: dict[str, list[dict[str, Any]]] = {}
    count = nbytes = 0
    async with aclosing(past.rows(wanted)) as pieces:
        async for piece in pieces:
            for row in piece:
                if count % ROWS_PER_CALL == 0 and call:
                    calls.append(list(call.items()))
                    call = {}
                call.setdefault(row.table, []).append(row.row)
                count += 1
                nbytes += sum(
                    len(value) if isinstance(value, str) else _VALUE_BYTES
                    for value in row.row.values()
                )
            _check_size(count, nbytes)
    if call:
        calls.append(list(call.items()))
    return calls


def _check_size(count: int, nbytes: int) -> None:
    if count > ROWS_MAX:
        raise PluginError(
            f"more than {ROWS_MAX} rows lie in that time",
            hint="try a shorter stretch, or one table",
        )
    if nbytes > BYTES_MAX:
        raise PluginError(
            f"the rows of that time take more than {BYTES_MAX} bytes",
            hint="try a shorter stretch, or one table",
        )
