# Owns what is kept of databases and tables after their deletion until their rows go, and the names
# that they are shown under.
"""Deleted databases and tables."""

from collections.abc import Callable
from datetime import UTC, datetime

from engine.catalog.model import Deleted
from engine.errors import AlreadyDeletedError
from engine.ids import DatabaseId

# How long rows are kept after a deletion that does not say it, as the reference system does.
KEPT_NS_DEFAULT = 72 * 3_600 * 1_000_000_000


class DeletedList:
    """What was deleted and is still kept, by id."""

    def __init__(self) -> None:
        self._by_id: dict[DatabaseId, Deleted] = {}

    def all(self) -> list[Deleted]:
        """In the order of the deletions; any thread may ask."""
        return list(self._by_id.values())

    def restore(self, deleted: tuple[Deleted, ...]) -> None:
        """Take over what a checkpoint has kept."""
        self._by_id = {one.id: one for one in deleted}

    def add(self, deleted: Deleted) -> None:
        """Keep what was just deleted."""
        self._by_id[deleted.id] = deleted

    def remove(self, deleted_id: DatabaseId) -> None:
        """Its rows are gone."""
        self._by_id.pop(deleted_id, None)

    def named(self, name: str, *, database: str | None = None) -> Deleted | None:
        """What is shown under `name`: a database, or a table of `database`."""
        return next(
            (
                one
                for one in self._by_id.values()
                if one.name == name
                and (one.table is None if database is None else one.database == database)
                and (database is None or one.table is not None)
            ),
            None,
        )

    def refuse(self, name: str, *, database: str | None = None) -> None:
        """Refuse to do anything with what is shown under `name`.

        Raises:
            AlreadyDeletedError: Something is.
        """
        if self.named(name, database=database) is not None:
            raise AlreadyDeletedError(
                f"attempted to modify resource that was already deleted: {name}",
                hint="only the moment at which its rows go can be brought forward: delete it with "
                "hard_delete_at=now",
            )

    def due(self, now_ns: int) -> list[Deleted]:
        """Those whose rows are to go by now."""
        return [
            one
            for one in self._by_id.values()
            if one.hard_delete_ns is not None and one.hard_delete_ns <= now_ns
        ]


def free_name(name: str, deleted_ns: int, is_taken: Callable[[str], bool]) -> str:
    """The name that something called `name` gets by its deletion."""
    moment = datetime.fromtimestamp(deleted_ns // 1_000_000_000, UTC)
    wanted = f"{name}-{moment:%Y%m%dT%H%M%S}"
    found, number = wanted, 1
    while is_taken(found):
        number += 1
        found = f"{wanted}-{number}"
    return found
