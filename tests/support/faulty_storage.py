# Owns the storage of a server over a file system that fails: the log's own code writes the frames,
# in groups as the server does, so that a power cut finds it wherever it is.
"""Storage over a failing file system."""

import random
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from engine.errors import DiskFullError
from engine.ids import Position
from engine.persist.thread import PersistConfig
from engine.storage import referenced_files
from engine.store.manifest import FilesRecord
from engine.wal.log import DurableFrame
from engine.wal.segment_series import NoRoomError, SegmentSeries, UnplacedFrame
from lp_core import FrameKind, Section, encode_frame
from tests.support.faulty_filesystem import FaultyFileSystem
from tests.support.storage import HandClock, Storage


class FaultyStorage(Storage):
    """A storage that writes its log as a server does.

    Attributes:
        cuts_at_records: The power goes now and then just before or behind a record about files.
    """

    filesystem: FaultyFileSystem
    cuts_at_records = False

    def __init__(
        self,
        directory: Path,
        config: PersistConfig,
        choice: random.Random,
        *,
        segment_bytes_max: int,
        clock: HandClock,
        filesystem: FaultyFileSystem,
    ) -> None:
        super().__init__(directory, config, clock=clock, filesystem=filesystem)
        self._choice = choice
        self._series = SegmentSeries(self.paths, "node0", segment_bytes_max, filesystem, self.clock)

    def append_group(self, frames: Sequence[tuple[FrameKind, list[Section], bytes]]) -> int:
        """Make frames durable together, as a group commit does, and visible.

        Returns:
            How many the disk had room for, from the first one on.
        """
        group = []
        for number, (kind, sections, control) in enumerate(frames, 1):
            group.append(UnplacedFrame(encode_frame(kind, sections, control)))
            group[-1].position = Position(self._position + number)
        # It goes by the time that passed, and a history must be the same again.
        is_zero_filled = self._choice.random() < 0.5
        worth = "engine.wal.segment_series.is_worth_zeros"
        with mock.patch(worth, return_value=is_zero_filled):
            try:
                self._series.write(group)
            except NoRoomError as error:
                group = group[: error.durable]
        self._settle()
        self._position = Position(self._position + len(group))
        for one in group:
            assert one.segment is not None
            frame = one.segment.reader.frame(one.offset, verify=False)
            self._bytes += frame.nbytes
            durable = DurableFrame(one.segment, frame)
            self.state.apply(durable)
            self.index.add(durable)
        return len(group)

    def cut_power(self) -> None:
        """End at once, with all threads."""
        self.filesystem.cut_at = 0
        self._series._files._thread.shutdown(wait=True)
        self.close()

    def append(self, record: FilesRecord) -> None:
        """As Storage; what it names must be durable before it, what it ends be there until then."""
        for entry in referenced_files(self.state):
            assert (self.paths.parquet_dir / entry.path).exists(), "a file went before its record"
        disk = self.filesystem
        cuts = self.cuts_at_records and self._choice.random() < 0.2
        if cuts and self._choice.random() < 0.5:
            disk.cut_at = disk.steps + self._choice.randrange(3)
        super().append(record)
        if cuts:
            disk.cut_at = disk.steps + self._choice.randrange(2)

    def seal(self) -> None:
        """Let the next frame begin a file of the log."""
        self._series._seal()
        self._settle()

    def _frame(self, kind: FrameKind, sections: list[Section], control: bytes) -> None:
        if not self.append_group([(kind, sections, control)]):
            raise DiskFullError("the disk is full")

    def _settle(self) -> None:
        """Wait for what goes on beside: a history must be the same again."""
        self._series._files._thread.submit(int).result()
