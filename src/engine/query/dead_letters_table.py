# Owns the shape of `system.processing_engine_dead_letters`: rows that triggers could not process,
# with what went wrong.
"""The system table of dead letters."""

import json
from collections.abc import Iterable
from typing import Any

import pyarrow

from engine.store.dead_letters import DeadLetter
from engine.store.run_records import decode_rows

# Of one letter: those parked without a search may have very many.
ROWS_SHOWN_MAX = 1_000

_TEXT = pyarrow.utf8()
_SCHEMA = pyarrow.schema(
    [
        ("trigger_name", _TEXT),
        ("id", _TEXT),
        ("batch_id", _TEXT),
        ("num_rows", pyarrow.int64()),
        ("rows", _TEXT),
        ("error", _TEXT),
        ("traceback", _TEXT),
        ("tries", pyarrow.int64()),
        ("time", pyarrow.timestamp("ns")),
    ]
)


def dead_letters_table(letters: Iterable[tuple[str, DeadLetter]]) -> Any:
    """The table of `letters`, each with the name of its trigger."""
    return pyarrow.Table.from_pylist(
        [
            {
                "trigger_name": name,
                "id": letter.id,
                "batch_id": letter.parked.batch_id,
                "num_rows": letter.parked.num_rows,
                "rows": _rows_json(letter.parked.rows),
                "error": letter.parked.error,
                "traceback": letter.parked.traceback,
                "tries": letter.parked.tries,
                "time": letter.parked.time_ns,
            }
            for name, letter in letters
        ],
        _SCHEMA,
    )


def _rows_json(content: bytes) -> str:
    """The first rows as JSON, by table, as a plugin gets them."""
    shown = []
    left = ROWS_SHOWN_MAX
    for table, rows in decode_rows(content):
        if left > 0:
            shown.append({"table_name": table, "rows": rows[:left]})
            left -= len(rows)
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
