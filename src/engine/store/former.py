# Owns what is to be known of a database or table that was deleted while its rows are kept: which
# frames of the log are about it. Field names are part of the checkpoint's format.
"""Former databases and tables."""

import msgspec

from engine.ids import DatabaseId, Position


class Former(msgspec.Struct, frozen=True, kw_only=True):
    """What a hidden database holds.

    Attributes:
        origin: The id of the database whose rows they are; files written meanwhile name it.
        database: Its name in the log.
        table: The only table that is meant; None for all.
        created: The database begins behind this position.
        ended: Frames behind this position are about something else of that name.
    """

    origin: DatabaseId
    database: str
    table: str | None
    created: Position
    ended: Position

    def holds(self, database: str, position: Position) -> bool:
        """Whether rows of `database` at that position of the log may be here."""
        return database == self.database and self.created < position <= self.ended
