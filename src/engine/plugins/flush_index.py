# Owns the notes that the dispatcher keeps of each durable frame: which database, tables and origin,
# and where its bytes lie. From them it decides, without touching the data, which trigger a flush
# concerns. Pure state.
"""Index of the log's unprocessed frames."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import msgspec

from engine.catalog.changes import DeleteTable, HideTable, decode_change
from engine.catalog.model import Deleted
from engine.ids import Position
from engine.wal.log import DurableFrame
from lp_core import FrameKind


class Note(msgspec.Struct):
    """Frames that lie one behind the other, of the same database, tables and origin."""

    database: str
    tables: frozenset[str]
    origin: str
    hops: int
    path: str
    start_offset: int
    end_offset: int
    first_position: Position
    last_position: Position
    num_rows: int
    # When the first of them was written.
    time_ns: int = 0
    # Whether a table of the database was deleted just before: its name may have other columns now.
    is_behind_deletion: bool = False

    def takes(self, other: "Note") -> bool:
        """Whether `other` continues this note."""
        return (
            not other.is_behind_deletion
            and self.end_offset == other.start_offset
            and self.path == other.path
            and self.database == other.database
            and self.origin == other.origin
            and self.hops == other.hops
            and self.tables == other.tables
        )


class Interest(msgspec.Struct, frozen=True, kw_only=True):
    """What a WAL trigger wants to see."""

    database: str
    table: str | None
    # Identity whose frames are not delivered (the trigger's own output); None delivers all.
    skip_origin: str | None
    hops_max: int

    def wants(self, note: Note) -> bool:
        """Whether `note` concerns the trigger, the hop limit left aside."""
        return (
            note.database == self.database
            and (self.table is None or self.table in note.tables)
            and note.origin != self.skip_origin
        )


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is handed: notes, and the positions (`start`, `end`] that it finishes."""

    start: Position
    end: Position
    notes: list[Note]
    hops: int
    # Notes left out because their data went through too many triggers.
    over_hop_limit: int


# A run takes whole notes: their size is how closely its row limit can be kept.
NOTE_ROWS_MAX = 10_000


class FlushIndex:
    """Notes by database, in log order."""

    def __init__(self, note_rows_max: int = NOTE_ROWS_MAX) -> None:
        """Frames that lie together share a note up to `note_rows_max` rows."""
        self.note_rows_max = note_rows_max
        self._notes: dict[str, list[Note]] = {}
        # Databases of which a table was deleted behind their last note.
        self._changed: set[str] = set()
        self._flushed = Position(0)
        # Per database, up to where notes may have been dropped, and for all where they begin.
        self._floors: dict[str, Position] = {}
        self._beginning = Position(0)

    def begin_at(self, position: Position) -> None:
        """Frames up to `position` will not be noted: the log is read from there on."""
        self._beginning = position

    def add(self, durable: DurableFrame) -> None:
        """Note the sections of a WRITE or COMMIT frame, and where tables were deleted."""
        frame = durable.frame
        if frame.kind == FrameKind.CATALOG:
            match decode_change(frame.control):
                case DeleteTable(database=name) | HideTable(deleted=Deleted(database=name)):
                    self._changed.add(name)
            return
        for section in frame.sections:
            note = Note(
                section.database,
                frozenset(section.batch),
                section.origin,
                section.hops,
                str(durable.segment.path),
                frame.offset,
                frame.offset + frame.nbytes,
                Position(frame.position),
                Position(frame.position),
                section.batch.num_rows,
                section.ingest_time_ns,
                section.database in self._changed,
            )
            self._changed.discard(section.database)
            notes = self._notes.setdefault(section.database, [])
            last = notes[-1] if notes else None
            # Notes that were part of a flush already may have been handed out: those stay as they
            # are.
            if (
                last is not None
                and last.first_position > self._flushed
                and last.num_rows + note.num_rows <= self.note_rows_max
                and last.takes(note)
            ):
                last.end_offset = note.end_offset
                last.last_position = note.last_position
                last.num_rows += note.num_rows
            else:
                notes.append(note)

    def flush(self, position: Position) -> dict[str, frozenset[str]]:
        """Everything up to `position` may be handed out; return the tables concerned."""
        touched: dict[str, frozenset[str]] = {}
        for database, notes in self._notes.items():
            fresh = notes[bisect_right(notes, self._flushed, key=lambda note: note.last_position) :]
            if fresh:
                touched[database] = frozenset().union(*(note.tables for note in fresh))
        self._flushed = position
        return touched

    def waiting(
        self, interest: Interest, low: Position, done: Sequence[tuple[Position, Position]]
    ) -> tuple[int, int | None]:
        """Rows behind `low` and outside the ranges `done` that concern `interest`, about.

        The second value is when the first of them was written. May be called from any thread.
        """
        notes = list(self._notes.get(interest.database, ()))
        rows, since_ns = 0, None
        for note in notes[bisect_right(notes, low, key=lambda note: note.last_position) :]:
            if not interest.wants(note) or any(
                start < note.first_position and note.last_position <= end for start, end in done
            ):
                continue
            rows += note.num_rows
            since_ns = note.time_ns if since_ns is None else since_ns
        return rows, since_ns

    def forget_database(self, database: str) -> None:
        """The database is gone."""
        self._notes.pop(database, None)
        self._changed.discard(database)
        self._floors.pop(database, None)

    def prune(self, passed: Mapping[str, Position], flushed: Position) -> None:
        """Drop what every trigger has passed.

        `passed` has a position for each database with WAL triggers; nobody wants to see what was
        flushed of the others.
        """
        for database, notes in self._notes.items():
            position = passed.get(database, flushed)
            self._floors[database] = max(self.floor(database), position)
            keep = bisect_right(notes, position, key=lambda note: note.last_position)
            del notes[:keep]

    def drop_until(self, position: Position) -> None:
        """Drop what the log does not have any more, whoever wants to see it."""
        self._beginning = max(self._beginning, position)
        for database, notes in self._notes.items():
            self._floors[database] = max(self.floor(database), position)
            del notes[: bisect_right(notes, position, key=lambda note: note.last_position)]

    def floor(self, database: str) -> Position:
        """All frames of `database` behind this position are noted."""
        return self._floors.get(database, self._beginning)

    def nothing_until(self, database: str, low: Position, end: Position) -> Position:
        """The last position up to `end` with nothing of `database` behind `low` before it."""
        if low < self.floor(database):
            return low
        notes = self._notes.get(database, [])
        index = bisect_right(notes, low, key=lambda note: note.last_position)
        if index == len(notes):
            return max(low, end)
        return max(low, Position(notes[index].first_position - 1))

    def notes_of(self, database: str) -> list[Note]:
        """The notes of a database, in log order."""
        return list(self._notes.get(database, ()))

    def restore(self, database: str, notes: Sequence[Note], floor: Position) -> None:
        """Take back dropped notes, those between `floor` and the floor there was."""
        self._notes[database] = [*notes, *self._notes.get(database, ())]
        self._floors[database] = floor

    def select(
        self, interest: Interest, start: Position, end: Position, *, rows_max: int
    ) -> Selection:
        """Notes in (`start`, `end`] that concern `interest`: one, and more up to `rows_max` rows.

        When the row limit cuts the range, the selection's end lies behind the last note taken; a
        frame is never split. Nor are rows on both sides of a table's deletion taken together:
        columns of one name may have two types. The first and the last note may reach beyond the
        range: after a restart notes span the flushes, and with them the cursors, of the time
        before. Whoever reads them goes by positions.
        """
        taken: list[Note] = []
        rows = hops = over_limit = 0
        is_behind_deletion = False
        stop = end
        notes = self._notes.get(interest.database, [])
        for note in notes[bisect_right(notes, start, key=lambda note: note.last_position) :]:
            if note.first_position > end:
                break
            is_behind_deletion = (is_behind_deletion or note.is_behind_deletion) and bool(taken)
            if not interest.wants(note):
                continue
            if note.hops >= interest.hops_max:
                over_limit += 1
                continue
            if (
                taken
                and (is_behind_deletion or rows + note.num_rows > rows_max)
                and note.first_position > taken[-1].last_position
            ):
                stop = min(taken[-1].last_position, end)
                break
            taken.append(note)
            rows += note.num_rows
            hops = max(hops, note.hops)
        return Selection(start=start, end=stop, notes=taken, hops=hops, over_hop_limit=over_limit)
