# Owns the cursor of one query. To make one takes as long as a part of an answer that needs none, so
# it is made when DuckDB is first asked; what stops the query may come before.
"""A cursor that is made when it is needed."""

from collections.abc import Callable

import duckdb


class LazyCursor:
    """The cursor of one query. Only `interrupt` may be called from other threads."""

    def __init__(self, make: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        self._make = make
        self._cursor: duckdb.DuckDBPyConnection | None = None

    def get(self) -> duckdb.DuckDBPyConnection:
        """The cursor, the same each time."""
        if self._cursor is None:
            self._cursor = self._make()
        return self._cursor

    def interrupt(self) -> None:
        """Interrupt what it does; nothing where it has not been made."""
        if self._cursor is not None:
            self._cursor.interrupt()

    def close(self) -> None:
        """Give it back."""
        if self._cursor is not None:
            self._cursor.close()
