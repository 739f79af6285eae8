# Owns which files a backup consists of: those of one moment, taken between two steps of the persist
# thread, and held until the backup is over, whatever is removed meanwhile.
"""Files of a backup."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path

import msgspec

from engine.ids import Position
from engine.paths import PLUGIN_PATH_PARTS_MAX, DataPaths
from engine.persist.checkpointer import Checkpointer
from engine.persist.ports import LogPort, StatePort
from engine.store.file_faults import FileFaults
from engine.store.manifest import FileEntry
from engine.store.readers import Readers
from engine.wal.segment_series import Segment

# A frame ends at a multiple of this.
_BLOCK = bytes(64)


class FileKind(StrEnum):
    """Where a file of a backup belongs."""

    LOG = "wal"
    CHECKPOINT = "checkpoints"
    PARQUET = "parquet"
    FETCHED = "fetched-plugins"
    SECRET = "secrets"  # noqa: S105 - the name of a directory
    # In the plugin directory, all others in that of the node.
    PLUGIN = "plugins"


class BackupFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file.

    Attributes:
        kind: Where it belongs.
        path: Below the directory of its kind, with slashes.
        size_bytes: How long it is; of what may change meanwhile, how long it was.
        is_fixed: Whether a file of this kind, path and size never has another content.
        damage: Why it cannot be given, though it belongs to the backup; empty when it can.
    """

    kind: FileKind
    path: str
    size_bytes: int
    is_fixed: bool
    damage: str = ""


class BackupDirectories(msgspec.Struct, frozen=True):
    """Where the files are."""

    paths: DataPaths
    plugin_dir: Path

    def of(self, kind: FileKind) -> Path:
        """The directory of files of a kind."""
        return self.plugin_dir if kind is FileKind.PLUGIN else self.paths.node_dir / kind


class Collected(msgspec.Struct, kw_only=True):
    """The files of a backup, and what holds them."""

    position: Position
    files: list[BackupFile]
    # Of what the server may remove or write on meanwhile.
    descriptors: dict[tuple[str, str], int]
    hold: ExitStack
    # Database, table and entry of each Parquet file, by path.
    parquet: dict[str, tuple[str, str, FileEntry]] = {}


def collect(
    directories: BackupDirectories,
    checkpointer: Checkpointer,
    state: StatePort,
    log: LogPort,
    readers: Readers,
    faults: FileFaults,
    *,
    with_secrets: bool,
) -> Collected:
    """Take hold of all files; call it in the persist thread, `hold.close()` lets go.

    Parquet files that are missing or not whole are listed as such.

    Raises:
        OSError: A file cannot be read, or a checkpoint not be written.
    """
    with ExitStack() as stack:
        stack.enter_context(readers.reading())
        checkpointer.write()
        paths = directories.paths
        found = Collected(position=Position(0), files=[], descriptors={}, hold=ExitStack())

        def look() -> tuple[Position, list[tuple[str, str, FileEntry]], list[Path]]:
            parquet = [
                (database.name, table.name, entry)
                for database in state.store.databases()
                for table in database.tables()
                for entry in table.files
            ]
            return state.position, parquet, paths.segments()

        # The log may go on, files appear only in this thread: what the log has behind the
        # checkpoint tells of no file that is not among these.
        found.position, parquet, segments = log.call(look)
        found.parquet = {entry.path: (database, table, entry) for database, table, entry in parquet}
        found.files += [_parquet_file(*one, faults) for one in parquet]
        for path in paths.checkpoints()[-1:]:
            _open(found, stack, FileKind.CHECKPOINT, path, path.stat().st_size, is_fixed=True)
        for index, path in enumerate(segments):
            if int(path.stem) <= found.position:
                is_last = index == len(segments) - 1
                end = found.position if is_last else int(segments[index + 1].stem) - 1
                size = _log_size(path, min(found.position, Position(end)), is_last=is_last)
                _open(found, stack, FileKind.LOG, path, size, is_fixed=not is_last)
        kinds = [FileKind.FETCHED, FileKind.PLUGIN] + [FileKind.SECRET] * with_secrets
        for kind in kinds:
            found.files += _loose_files(directories.of(kind), kind)
        found.hold = stack.pop_all()
        return found


def _parquet_file(database: str, table: str, entry: FileEntry, faults: FileFaults) -> BackupFile:
    faults.look(database, table, entry)
    damage = faults.known(entry)
    return BackupFile(
        kind=FileKind.PARQUET,
        path=entry.path,
        size_bytes=entry.size_bytes,
        is_fixed=True,
        damage="" if damage is None else damage.reason,
    )


def _open(
    found: Collected, stack: ExitStack, kind: FileKind, path: Path, size: int, *, is_fixed: bool
) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    found.descriptors[kind, path.name] = descriptor
    found.files.append(BackupFile(kind=kind, path=path.name, size_bytes=size, is_fixed=is_fixed))


def _log_size(path: Path, last: Position, *, is_last: bool) -> int:
    """Where the frame of position `last` ends."""
    size = path.stat().st_size
    if not is_last:
        with path.open("rb") as file:
            file.seek(max(size - len(_BLOCK), 0))
            if file.read() != _BLOCK:
                return size
    # What was allocated ahead is not cut off yet. It may be at any moment: behind the last frame
    # nothing is touched, for memory behind the end of a mapped file must not be.
    segment = Segment(path, size)
    end = 0
    for frame in segment.reader.scan():
        end = frame.offset + frame.nbytes
        if frame.position >= last:
            break
    return end


def _loose_files(directory: Path, kind: FileKind) -> Iterator[BackupFile]:
    """Files that may change: all but links, and what is hidden or made by Python."""
    for place, names, files in os.walk(directory):
        if "pyvenv.cfg" in files:
            # An environment is made again from what was installed, it is not copied.
            names.clear()
            continue
        if len(Path(place).relative_to(directory).parts) >= PLUGIN_PATH_PARTS_MAX:
            names.clear()
        names[:] = sorted(
            name for name in names if not name.startswith(".") and name != "__pycache__"
        )
        for name in sorted(files):
            path = Path(place) / name
            if name.startswith(".") or name.endswith(".tmp") or path.is_symlink():
                continue
            yield BackupFile(
                kind=kind,
                path=path.relative_to(directory).as_posix(),
                size_bytes=path.stat().st_size,
                is_fixed=False,
            )
