# Owns the positions at which files end, so that what a trigger is handed of the past is whole
# files: where each WAL trigger begins. A value; who makes and who minds it is elsewhere.
"""Cuts between the rows of before a trigger and those of behind."""

from collections.abc import Iterable, Mapping

from engine.ids import Position


class Cuts:
    """Positions that no file has rows on both sides of, by database and table."""

    def __init__(self, starts: Iterable[tuple[str, str | None, Position]] = ()) -> None:
        """Take over databases, tables (None for all of a database), and positions."""
        self._of_all: dict[str, set[Position]] = {}
        self._of_tables: dict[str, dict[str, set[Position]]] = {}
        for database, table, position in starts:
            if table is None:
                self._of_all.setdefault(database, set()).add(position)
            else:
                tables = self._of_tables.setdefault(database, {})
                tables.setdefault(table, set()).add(position)
        self._sorted: Mapping[str, tuple[Position, ...]] = {
            database: tuple(sorted(positions)) for database, positions in self._of_all.items()
        }

    def of(self, database: str, table: str) -> tuple[Position, ...]:
        """The cuts of one table, rising."""
        own = self._of_tables.get(database, {}).get(table)
        if own is None:
            return self._sorted.get(database, ())
        return tuple(sorted(own | self._of_all.get(database, set())))
