from typing import final

from lp_core._batch import WriteBatch
from lp_core.enums import ColumnType
from lp_core.schema import Schema

@final
class SchemaIndex:
    """The known tables of one database: their columns, and the greatest time of each series.

    It may change while other threads parse against it.
    """

    def tables(self) -> list[str]:
        """Return the names of all tables in order of first appearance."""
    def columns(self, table: str) -> Schema:
        """Return name and type of the columns in order of first appearance, without ``time``.

        Raises:
            KeyError: No such table.
        """
    def conflict(self, batch: WriteBatch) -> tuple[str, str, ColumnType, ColumnType] | None:
        """Return (table, column, expected type, type in the batch) if ``apply`` would fail."""
    def apply(self, batch: WriteBatch) -> bool:
        """Add the tables and columns of the batch; return whether any was new.

        Raises:
            SchemaConflictError: A column is known with another type; nothing has changed.
        """
    def add_column(self, table: str, name: str, column_type: ColumnType) -> None:
        """Add a column, and its table where that is new; a known one of that type is fine.

        Raises:
            SchemaConflictError: The column is known with another type.
            ValueError: It is the time column, which every table has.
        """
    def drop_table(self, table: str) -> None:
        """Forget a table and its series.

        Raises:
            KeyError: No such table.
        """
    def observe(self, batch: WriteBatch) -> dict[str, tuple[int, int]]:
        """Note the times of a batch; call it in the order of the log.

        Returns:
            By table, the least and greatest time of rows that are not later than all rows before
            them of the same series. A row that repeats an earlier one has a time in this range;
            tables without such a row are absent.
        """
    def series_count(self, table: str) -> int:
        """Return how many series of a table were observed."""
    def knows_all_series(self, table: str) -> bool:
        """Return whether every series with a row was observed or loaded, so that all are counted.

        Not so after `load_series` took a dump of a build that hashes differently.
        """
    def series(self, table: str, tags: dict[str, str]) -> tuple[int, int] | None:
        """Return number (from 1) and greatest time of the series with exactly these tags."""
    def dump_series(self, table: str) -> bytes:
        """Return what is known of the series of a table, for ``load_series``."""
    def load_series(self, table: str, content: bytes) -> None:
        """Take over a dump in place of what is known of the series of a table.

        Series get new numbers. A dump of a build that hashes differently leaves only its greatest
        time: then, rows of unknown series up to it are reported by ``observe`` as well.

        Raises:
            SeriesCorruptError: It is no dump that this build reads.
        """
