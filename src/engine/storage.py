# Owns how the server's state comes back at start: the newest checkpoint, then what the log has
# behind it; and that what was found goes together.
"""Recovery of the state from checkpoint and log."""

import logging
import time
from collections.abc import Callable

import msgspec

from engine.errors import RecoveryError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.ingest.state import ServerState
from engine.ingest.state_image import decode_image
from engine.logs import keys
from engine.paths import DataPaths
from engine.store.manifest import FileEntry
from engine.wal import checkpoint
from engine.wal.log import DurableFrame
from engine.wal.recovery import RecoveryReport, recover

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
) -> Recovered:
    """Bring `state`, which must be empty, to where the log ends; `on_frame` sees what was read.

    Raises:
        RecoveryError: Files are damaged or missing.
        OSError: Files cannot be read.
    """
    found = checkpoint.newest(paths, decode_image)
    covered = Position(0)
    if found is not None:
        covered, image = found
        state.restore(image)
    read_from = state.persisted
    _check_beginning(paths, read_from, has_checkpoint=found is not None)
    progress = _Progress()

    def apply(durable: DurableFrame) -> None:
        if durable.position <= covered:
            state.add_rows(durable)
        else:
            state.apply(durable)
        on_frame(durable)
        progress.came_to(durable.position)

    report = recover(paths, filesystem, apply, after=read_from)
    if report.last_position < covered and read_from < covered:
        raise RecoveryError(
            f"the log ends at position {report.last_position}, but the checkpoint says that it "
            f"went on to {covered}",
            hint="restore the files of the log from a backup, or move the checkpoint aside to "
            "start with what the older one and the log have",
        )
    report.last_position = max(report.last_position, covered)
    _check_files(paths, state)
    return Recovered(report=report, checkpoint=covered, read_from=read_from)


class _Progress:
    """Says now and then how far a long recovery has come."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + _PROGRESS_S

    def came_to(self, position: Position) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _PROGRESS_S
            logger.info("reading the log", extra=keys(position=position))


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
    # Somebody moved a damaged segment aside, as the error about it proposes.
    logger.error("rows are missing from the log", extra=keys(after=read_from, before=first))


def _check_files(paths: DataPaths, state: ServerState) -> None:
    for entry in referenced_files(state):
        path = paths.parquet_dir / entry.path
        size = path.stat().st_size if path.exists() else -1
        if size != entry.size_bytes:
            found = "is missing" if size < 0 else f"has {size} bytes"
            raise RecoveryError(
                f"{path} {found}, and should have {entry.size_bytes} bytes with {entry.rows} rows",
                hint="restore it from a backup",
            )


def referenced_files(state: ServerState) -> list[FileEntry]:
    """The Parquet files of all tables."""
    return [
        entry
        for database in state.store.databases()
        for table in database.tables()
        for entry in table.files
    ]


def remove_orphans(paths: DataPaths, filesystem: FileSystem, state: ServerState) -> int:
    """Remove Parquet files that nothing refers to, and half-written checkpoints; return how many.

    A crash leaves them behind: written, but without the record that makes them part of a table, or
    replaced, but not removed yet.
    """
    known = {entry.path for entry in referenced_files(state)}
    orphans = [
        path
        for path in paths.parquet_dir.glob("*/*/*.parquet")
        if str(path.relative_to(paths.parquet_dir)) not in known
    ]
    orphans += paths.checkpoint_dir.glob("*.tmp")
    for path in orphans:
        filesystem.remove(path)
    return len(orphans)
