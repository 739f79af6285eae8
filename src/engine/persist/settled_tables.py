# Owns which tables need no look: with thousands of them a look at each takes longer than a merge,
# and most have the files that they had at the last one. For compactor and rewriter.
"""Tables in which there is nothing to do."""

from typing import NamedTuple
from weakref import WeakKeyDictionary

from engine.ids import Position
from engine.store.live_table import LiveTable
from engine.store.manifest import FileEntry


class _Look(NamedTuple):
    """What was looked at, and whether for all that there may be to do."""

    files: tuple[FileEntry, ...]
    cuts: tuple[Position, ...]
    in_full: bool


class SettledTables:
    """Tables that were looked at in vain."""

    def __init__(self) -> None:
        self._looks: WeakKeyDictionary[LiveTable, _Look] = WeakKeyDictionary()

    def has(
        self,
        table: LiveTable,
        files: tuple[FileEntry, ...],
        cuts: tuple[Position, ...],
        *,
        in_full: bool = True,
    ) -> bool:
        """Whether there is nothing to do with the `files` of a table between these `cuts`.

        Without `in_full`, a look for less is enough to tell.
        """
        if len(files) < 2:
            return True
        look = self._looks.get(table)
        return (
            look is not None
            and (look.files is files and look.cuts == cuts)
            and (look.in_full or not in_full)
        )

    def add(
        self,
        table: LiveTable,
        files: tuple[FileEntry, ...],
        cuts: tuple[Position, ...],
        *,
        in_full: bool = True,
    ) -> None:
        """There was nothing to do: `in_full`, or in what was looked for."""
        self._looks[table] = _Look(files, cuts, in_full)
