# Owns how the server's state comes back at start: the newest checkpoint, then what the log has
# behind it; and that what was found goes together.
"""Recovery of the state from checkpoint and log."""

import itertools
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.catalog.changes import DeleteDatabase
from engine.catalog.tokens import TokensImage
from engine.damage import Damage, DamageBook
from engine.errors import RecoveryError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.ingest.state import ServerState
from engine.ingest.state_image import decode_image
from engine.ingest.token_copy import TokenCopy
from engine.logs import keys
from engine.paths import DataPaths
from engine.store.file_faults import FileFaults
from engine.store.manifest import FileEntry
from engine.wal import checkpoint
from engine.wal.log import DurableFrame
from engine.wal.recovery import RecoveryReport, recover
from lp_core import FrameKind, SchemaConflictError

logger = logging.getLogger(__name__)

# How often the log says how far reading it has come.
_PROGRESS_S = 2.0


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        report: Of the log.
        checkpoint: Position of the checkpoint; 0 when there was none.
        read_from: Frames behind this position were read.
    """

    report: RecoveryReport
    checkpoint: Position
    read_from: Position


def recover_state(
    paths: DataPaths,
    filesystem: FileSystem,
    state: ServerState,
    on_frame: Callable[[DurableFrame], None],
    book: DamageBook,
) -> Recovered:
    """Bring `state`, which must be empty, to where the log ends; `on_frame` sees what was read.

    Damage goes into `book`; what is not damaged is taken.

    Raises:
        RecoveryError: Files are missing without which the rest makes no sense.
        OSError: Files cannot be read.
    """
    book.load()
    found = checkpoint.newest(paths, filesystem, decode_image)
    covered = Position(0)
    if found is not None:
        covered, image = found
        state.restore(image)
    read_from = state.persisted
    _check_beginning(paths, read_from, has_checkpoint=found is not None)
    copy = TokenCopy(paths, filesystem)
    progress = _Progress(_bytes_behind(paths, read_from))
    replay = _Replay(state, book, covered, on_frame, copy.read(), progress)
    report = recover(paths, filesystem, replay.apply, book, after=read_from)
    if report.last_position < covered and read_from < covered:
        _note_early_end(report, covered, book)
    report.last_position = max(report.last_position, covered)
    replay.end(copy)
    faults = FileFaults(paths, filesystem, book)
    _check_files(state, faults, is_in_doubt=bool(book.gaps_behind(covered)))
    return Recovered(report=report, checkpoint=covered, read_from=read_from)


def _note_early_end(report: RecoveryReport, covered: Position, book: DamageBook) -> None:
    """Note that the log ends before its checkpoint, if its last file was found torn or damaged."""
    if not report.cut_bytes and not report.damaged_files:
        raise RecoveryError(
            f"the log ends at position {report.last_position}, but the checkpoint says that it "
            f"went on to {covered}",
            hint="restore the files of the log from a backup, or move the checkpoint aside to "
            "start with what the older one and the log have",
        )
    cut_file = "" if report.cut_file is None else book.relative(Path(report.cut_file))
    book.note(
        Damage(
            kind="log",
            file=cut_file or "wal",
            reason="the log ends before its checkpoint",
            found_ns=book.now_ns(),
            size_bytes=report.cut_bytes,
            after_position=report.last_position,
            before_position=Position(covered + 1),
            content=("unknown",),
            kept=cut_file,
        )
    )


class _Replay:
    """Applies the frames of the log to the state, those behind lost ones with care."""

    def __init__(
        self,
        state: ServerState,
        book: DamageBook,
        covered: Position,
        on_frame: Callable[[DurableFrame], None],
        tokens: tuple[Position, TokensImage] | None,
        progress: "_Progress",
    ) -> None:
        self._state = state
        self._tokens = tokens
        # What the checkpoint knows is not older.
        self._copied = tokens if tokens is not None and tokens[0] > covered else None
        self._book = book
        self._covered = covered
        self._on_frame = on_frame
        self._progress = progress
        # Of databases that went behind the lost frames: their rows are not missed.
        self._deleted: set[str] = set()
        # Behind it frames are lost that the checkpoint does not know; and when that was looked up.
        self._doubt_after: Position | None = None
        self._notes_seen = -1

    def apply(self, durable: DurableFrame) -> None:
        """Take over one frame."""
        state = self._state
        if self._copied is not None and durable.position > self._copied[0]:
            self._take_tokens(self._copied[1])
        if durable.position <= self._covered:
            state.add_rows(durable)
        elif self._is_in_doubt(durable.position):
            self._apply_in_doubt(durable)
        else:
            state.apply(durable)
        self._on_frame(durable)
        self._progress.took(durable)

    def end(self, copy: TokenCopy) -> None:
        """Nothing more comes; `copy` gets the tokens that there are now."""
        if self._copied is not None:
            self._take_tokens(self._copied[1])
        tokens = self._state.catalog.tokens.image()
        if tokens != (TokensImage() if self._tokens is None else self._tokens[1]):
            copy.write(self._state.position, tokens)

    def _take_tokens(self, image: TokensImage) -> None:
        """Have the tokens that were kept apart, whatever the log has lost of them."""
        self._copied = None
        tokens = self._state.catalog.tokens
        if tokens.image() != image:
            tokens.restore(image)
            logger.error("the log has lost changes of tokens: taken from their copy")

    def _is_in_doubt(self, position: Position) -> bool:
        """Whether frames before `position` are lost that the checkpoint does not know."""
        # Asked for every frame of the log, so looked up only when there is something new.
        if self._book.num_notes != self._notes_seen:
            self._notes_seen = self._book.num_notes
            gaps = self._book.gaps_behind(self._covered)
            self._doubt_after = min(
                (gap.after_position for gap in gaps if gap.after_position is not None), default=None
            )
        return self._doubt_after is not None and self._doubt_after < position

    def _apply_in_doubt(self, durable: DurableFrame) -> None:
        """Apply a frame though one before it, that it may build on, is lost."""
        state = self._state
        for section in durable.frame.sections:
            name = section.database
            if state.store.database(name) is None and name not in self._deleted:
                # Its creation is lost, its rows need not be.
                state.create_lost_database(name, durable.position)
                logger.error(
                    "database without its creation, which the log has lost: created again",
                    extra=keys(database=name, position=durable.position),
                )
        try:
            change = state.apply(durable)
        except SchemaConflictError as error:
            self._book.note(
                Damage(
                    kind="log",
                    file=self._book.relative(durable.segment.path),
                    reason=f"does not fit without the lost frames before it: {error}",
                    found_ns=self._book.now_ns(),
                    offset_bytes=durable.frame.offset,
                    size_bytes=durable.frame.nbytes,
                    after_position=Position(durable.position - 1),
                    before_position=Position(durable.position + 1),
                    content=(FrameKind(durable.frame.kind).name.lower(),),
                )
            )
            return
        if isinstance(change, DeleteDatabase):
            self._deleted.add(change.name)


class _Progress:
    """Says now and then how far a long recovery has come."""

    def __init__(self, bytes_in_all: int) -> None:
        """Count up to `bytes_in_all`, of which files may have some that are no frame's."""
        self._bytes_in_all = bytes_in_all
        self._bytes = 0
        self._next_s = time.monotonic() + _PROGRESS_S

    def took(self, durable: DurableFrame) -> None:
        self._bytes += durable.frame.nbytes
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _PROGRESS_S
            share = min(1.0, self._bytes / max(1, self._bytes_in_all))
            logger.info(
                "reading the log",
                extra=keys(
                    position=durable.position,
                    bytes=self._bytes,
                    of_bytes=self._bytes_in_all,
                    percent=round(100 * share),
                ),
            )


def _bytes_behind(paths: DataPaths, read_from: Position) -> int:
    """Of the files of the log that have frames behind that position."""
    segments = paths.segments()
    followers = [int(path.stem) for path in segments[1:]]
    return sum(
        path.stat().st_size
        for path, follower in itertools.zip_longest(segments, followers)
        if follower is None or follower > read_from + 1
    )


def _check_beginning(paths: DataPaths, read_from: Position, *, has_checkpoint: bool) -> None:
    segments = paths.segments()
    first = int(segments[0].stem) if segments else read_from + 1
    if first <= read_from + 1:
        return
    if not has_checkpoint and any(paths.parquet_dir.glob("*/*/*.parquet")):
        raise RecoveryError(
            f"the log begins at position {first}, and the checkpoint of what was before is missing",
            hint=f"restore {paths.checkpoint_dir} from a backup",
        )


def _check_files(state: ServerState, faults: FileFaults, *, is_in_doubt: bool) -> None:
    """Note Parquet files that are missing or not whole, as far as size and end show it.

    When it `is_in_doubt` what the log has said about columns, those of each file are compared, too.
    """
    for database in state.store.databases():
        for table in database.tables():
            columns = database.columns(table.name) if is_in_doubt else None
            for entry in table.files:
                faults.look(database.name, table.name, entry, columns)


def referenced_files(state: ServerState) -> list[FileEntry]:
    """The Parquet files of all tables."""
    return [
        entry
        for database in state.store.databases()
        for table in database.tables()
        for entry in table.files
    ]


def remove_orphans(
    paths: DataPaths,
    filesystem: FileSystem,
    state: ServerState,
    book: DamageBook,
    recovered: Recovered,
) -> int:
    """Remove Parquet files that nothing refers to, and half-written checkpoints; return how many.

    A crash leaves them behind: written, but without the record that makes them part of a table, or
    replaced, but not removed yet. After damage the record may be what is lost: then they are kept.
    """
    known = {entry.path for entry in referenced_files(state)}
    orphans = [
        path
        for path in paths.parquet_dir.glob("*/*/*.parquet")
        if str(path.relative_to(paths.parquet_dir)) not in known
    ]
    halves = [*paths.checkpoint_dir.glob("*.tmp"), *paths.wal_dir.glob("*.tmp")]
    removed = len(orphans) + len(halves)
    is_missed = any(book.parquet(path) is not None for path in known)
    if is_missed or book.gaps_behind(recovered.checkpoint):
        for path in orphans:
            book.put_aside(path)
    else:
        halves += orphans
    for path in halves:
        filesystem.remove(path)
    return removed
