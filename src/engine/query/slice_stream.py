# Owns the rows of several SELECTs that are run one after the other while a query reads them: what
# one of them needs of memory is given back before the next. DuckDB runs all parts of one query at
# once, or keeps what they have made until its end.
"""Rows of SELECTs, one after the other."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow

# Before and behind the message of what went wrong in a SELECT, which reaches the query through
# Arrow: with words of Arrow and of DuckDB before it, and the traceback of Python behind it.
_MARK, _END = "headrace slice: ", " :headrace slice"
# How Arrow goes on behind the message of an exception of Python.
_TRACEBACK = ". Detail: Python exception: "


class SliceStream:
    """What DuckDB scans as a table, however often; each time the SELECTs are run."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        selects: Sequence[str],
        views: Mapping[str, Any],
    ) -> None:
        """The rows of `selects`, which all have the same columns and may read `views`."""
        self._selects = selects
        self._views = views
        # The cursor of the query is busy when these are run, and refuses to make others then.
        self._maker = cursor.cursor()
        self._lock = threading.Lock()
        none = f"SELECT * FROM ({selects[0]}) LIMIT 0"  # noqa: S608 made by ourselves
        self._schema = self._cursor().sql(none).to_arrow_table().schema

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Begin anew; nothing is run before rows are asked for."""
        reader = pyarrow.RecordBatchReader.from_batches(self._schema, self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[Any]:
        cursor = self._cursor()
        try:
            for select in self._selects:
                yield from cursor.sql(select).to_arrow_reader()
        # What fails between two batches comes through Arrow, as an OSError.
        except (duckdb.Error, pyarrow.ArrowException, OSError, RuntimeError) as error:
            raise RuntimeError(f"{_MARK}{error}{_END}") from error
        finally:
            cursor.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            cursor = self._maker.cursor()
        for name, rows in self._views.items():
            cursor.register(name, rows)
        return cursor


def message_of(error: Exception) -> str:
    """What an error of a query says, be it of the query or of a SELECT that it reads."""
    message = str(error)
    said = message.partition(_MARK)[2].partition(_END)[0] or message
    # Should anything else fail in Python, nobody outside is to see where.
    return said.partition(_TRACEBACK)[0]
