# Owns the look at all files of a node without changing any: whether each is whole, and whether what
# the newest checkpoint and the log refer to is there.
"""Check of the files of a data directory."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow
import pyarrow.parquet

from engine.damage import DamageBook
from engine.errors import EngineError
from engine.ids import Position
from engine.ingest.state import ServerState
from engine.ingest.state_image import decode_image
from engine.paths import DataPaths
from engine.store.manifest import FileEntry
from engine.wal import checkpoint
from engine.wal.log import DurableFrame
from engine.wal.segment_series import Segment
from lp_core import LpCoreError, SegmentReader

_NOT_YET = Position(0)


class Fault(msgspec.Struct, frozen=True):
    """Something that is not as it should be.

    Attributes:
        path: Which file.
        text: What is wrong with it.
        hint: What to do.
        is_harmless: Whether a start of the server mends it and nothing is lost.
    """

    path: Path
    text: str
    hint: str
    is_harmless: bool = False


class FileCheck:
    """Goes over the files of a node once; afterwards it tells how many they were.

    With `is_running` a server may change them meanwhile: what is missing or unfinished is not held
    against them. With `deep`, Parquet files are read, not only their footers. What `book` knows to
    be lost from the log is no fault any more.
    """

    def __init__(self, paths: DataPaths, book: DamageBook, *, is_running: bool, deep: bool) -> None:
        self._paths = paths
        self._book = book
        self._is_running = is_running
        self._deep = deep
        self.checkpoints = 0
        self.segments = 0
        self.frames = 0
        self.parquet_files = 0
        # As a start would have it, in memory; as far as it is known.
        self._state = ServerState()
        # Whether all of the log could be followed: only then is it known which files there must be.
        self._is_followed = not is_running

    def faults(self) -> Iterator[Fault]:
        """What is wrong.

        Raises:
            OSError: A file cannot be read.
        """
        image = None
        for path in reversed(self._paths.checkpoints()):
            try:
                _, payload = checkpoint.decode(path.read_bytes())
                found = decode_image(payload)
            except FileNotFoundError:
                continue
            except (checkpoint.CheckpointDamagedError, msgspec.DecodeError) as error:
                yield Fault(
                    path,
                    f"the checkpoint is damaged: {error}",
                    "the next start takes the one before it; look at the disk",
                )
            else:
                self.checkpoints += 1
                image = image or found
        if image is not None:
            self._state.restore(image)
        yield from self._log_faults(self._state.position, self._state.persisted)
        yield from self._parquet_faults()

    def _log_faults(self, covered: Position, persisted: Position) -> Iterator[Fault]:
        segments = self._paths.segments()
        first = int(segments[0].stem) if segments else persisted + 1
        if first > persisted + 1:
            self._is_followed = False
            if not self._book.knows_gap(persisted, Position(first)):
                yield Fault(
                    segments[0],
                    f"the log begins at position {first}, and rows are in files only up to "
                    f"{persisted}",
                    "restore the log files before it from a backup",
                )
        last: Position | None = None
        for index, path in enumerate(segments):
            is_last = index == len(segments) - 1
            try:
                size = path.stat().st_size
                # A server may cut a mapped file, and memory behind its end must not be touched.
                segment = Segment(path, size) if size and not self._is_running else None
                reader = segment.reader if segment else SegmentReader(path.read_bytes())
            except FileNotFoundError:
                continue
            except LpCoreError as error:
                yield self._log_fault(path, f"its header is damaged: {error}", is_last=is_last)
                continue
            self.segments += 1
            for frame in reader.scan():
                if last is not None and frame.position != last + 1:
                    self._is_followed = False
                    if not self._book.knows_gap(last, Position(frame.position)):
                        yield Fault(
                            path,
                            f"position {frame.position} at byte {frame.offset} follows {last}",
                            "restore the log files between them from a backup",
                        )
                last = Position(frame.position)
                self.frames += 1
                if segment is not None and frame.position > persisted:
                    self._follow(DurableFrame(segment, frame), covered)
            tail = reader.tail
            if tail is not None and not (is_last and self._is_running):
                yield self._log_fault(path, str(tail), is_last=is_last)

    def _log_fault(self, path: Path, text: str, *, is_last: bool) -> Fault:
        if is_last:
            return Fault(
                path,
                f"its end is torn: {text}",
                "nothing: the next start cuts it off and keeps it aside; it was never acknowledged",
                is_harmless=True,
            )
        self._is_followed = False
        return Fault(path, text, "restore it from a backup before the next start, or lose its rows")

    def _follow(self, durable: DurableFrame, covered: Position) -> None:
        """Take over a frame as a start does."""
        if not self._is_followed:
            return
        try:
            if durable.position <= covered:
                self._state.add_rows(durable)
            else:
                self._state.apply(durable)
        except (EngineError, LpCoreError, msgspec.DecodeError):
            # It builds on what is missing, which is a fault that was found.
            self._is_followed = False

    def _parquet_faults(self) -> Iterator[Fault]:
        for database in self._state.store.databases():
            for table in database.tables():
                for entry in table.files:
                    path = self._paths.parquet_dir / entry.path
                    text = self._parquet_fault(path, entry)
                    if text is not None and (path.exists() or self._is_followed):
                        yield Fault(path, text, "restore it from a backup")

    def _parquet_fault(self, path: Path, entry: FileEntry) -> str | None:
        try:
            size = path.stat().st_size
            if size != entry.size_bytes:
                return f"it has {size} bytes and should have {entry.size_bytes}"
            with pyarrow.parquet.ParquetFile(path) as file:
                if file.metadata.num_rows != entry.rows:
                    return f"it has {file.metadata.num_rows} rows and should have {entry.rows}"
                if self._deep:
                    for _ in file.iter_batches():
                        pass
        except FileNotFoundError:
            return f"it is missing, with {entry.rows} rows"
        except (pyarrow.ArrowException, OSError) as error:
            return f"it is damaged: {error}"
        self.parquet_files += 1
        return None
