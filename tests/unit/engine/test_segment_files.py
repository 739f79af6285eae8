"""Segment files: the next one is made ahead of need, and trouble with it costs nothing durable."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from engine.filesystem import FileSystem
from engine.paths import DataPaths
from engine.wal.segment_files import (
    ZERO_FILL_GROWTH_BYTES_PER_S_MAX,
    ZERO_PIECE_BYTES,
    SegmentFiles,
    is_worth_zeros,
)
from tests.unit.engine.test_log import Kit, frame

SIZE = 2 * ZERO_PIECE_BYTES + 4096


class Recorder(FileSystem):
    """Notes which files were created and renamed, and what was written where."""

    def __init__(self) -> None:
        self.created: list[str] = []
        self.renamed: list[str] = []
        self.written: list[tuple[int, int]] = []

    def create_preallocated(self, path: Path, size_bytes: int) -> int:
        descriptor = super().create_preallocated(path, size_bytes)
        self.created.append(path.name)
        return descriptor

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.renamed.append(target.name)

    def write_at(self, descriptor: int, buffers: list[memoryview], offset: int) -> int:
        written = super().write_at(descriptor, buffers, offset)
        self.written.append((offset, written))
        return written


@pytest.fixture
def paths(tmp_path: Path) -> DataPaths:
    paths = DataPaths(tmp_path, "node0")
    paths.wal_dir.mkdir(parents=True)
    return paths


def prepared(files: SegmentFiles, *, zero_filled: bool) -> None:
    files.prepare(SIZE, zero_filled=zero_filled)
    assert files._prepared is not None
    files._prepared.result(timeout=30)


@pytest.mark.parametrize("zero_filled", [False, True])
def test_a_prepared_file_becomes_the_next_segment(paths: DataPaths, zero_filled: bool) -> None:
    filesystem = Recorder()
    files = SegmentFiles(paths, filesystem)
    prepared(files, zero_filled=zero_filled)
    assert paths.segments() == []
    file = files.open(paths.segment(1), SIZE)
    assert file.is_zero_filled is zero_filled
    assert filesystem.created == ["next.prepared"]
    assert paths.segments() == [file.path]
    assert not paths.prepared_segment.exists()
    assert os.fstat(file.descriptor).st_size == SIZE
    assert sum(written for _, written in filesystem.written) == (SIZE if zero_filled else 0)
    assert file.path.read_bytes() == bytes(SIZE)
    files.seal(file, 128)
    files.close()
    assert file.path.stat().st_size == 128


def test_without_a_prepared_file_a_segment_is_made_at_once(paths: DataPaths) -> None:
    files = SegmentFiles(paths, FileSystem())
    file = files.open(paths.segment(1), SIZE)
    assert (file.path, file.is_zero_filled) == (paths.segment(1), False)
    files.seal(file, 64)
    files.close()


def test_a_file_of_another_size_stays_for_the_segment_after(paths: DataPaths) -> None:
    filesystem = Recorder()
    files = SegmentFiles(paths, filesystem)
    prepared(files, zero_filled=False)
    large = files.open(paths.segment(1), SIZE * 2)
    usual = files.open(paths.segment(2), SIZE)
    assert filesystem.created == ["next.prepared", paths.segment(1).name]
    for file in (large, usual):
        files.seal(file, 64)
    files.close()


def test_what_an_earlier_process_prepared_is_made_anew(paths: DataPaths) -> None:
    paths.prepared_segment.write_bytes(b"half made")
    files = SegmentFiles(paths, FileSystem())
    prepared(files, zero_filled=False)
    file = files.open(paths.segment(1), SIZE)
    assert file.path.read_bytes() == bytes(SIZE)
    files.seal(file, 64)
    files.close()


def test_a_segment_is_never_written_over_by_a_prepared_file(paths: DataPaths) -> None:
    paths.segment(1).write_bytes(b"frames")
    files = SegmentFiles(paths, FileSystem())
    prepared(files, zero_filled=False)
    with pytest.raises(FileExistsError):
        files.open(paths.segment(1), SIZE)
    assert paths.segment(1).read_bytes() == b"frames"
    files.close()


def test_closing_drops_the_prepared_file(paths: DataPaths) -> None:
    files = SegmentFiles(paths, FileSystem())
    files.prepare(SIZE, zero_filled=True)
    files.close()
    assert list(paths.wal_dir.iterdir()) == []


class FullDisk(FileSystem):
    """Has no room for a file that is prepared ahead."""

    def create_preallocated(self, path: Path, size_bytes: int) -> int:
        if path.name == "next.prepared":
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create_preallocated(path, size_bytes)


def test_the_log_goes_on_when_nothing_can_be_prepared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kit = Kit(tmp_path, filesystem=FullDisk(), segment_bytes_max=4096)
    asyncio.run(append(kit, 20))
    assert kit.recovered()[0] == list(range(1, 21))
    assert "the next log segment could not be prepared" in caplog.text


async def append(kit: Kit, count: int) -> None:
    log = kit.open()
    for number in range(count):
        await log.append(frame(number))
    await log.stop()


def test_the_log_rotates_into_prepared_files(tmp_path: Path) -> None:
    filesystem = Recorder()
    kit = Kit(tmp_path, filesystem=filesystem, segment_bytes_max=8192)

    async def scenario() -> None:
        log = kit.open()
        for number in range(40):
            await log.append(frame(number))
            if log._segments._files._prepared is not None:
                await asyncio.to_thread(log._segments._files._prepared.result)
        await log.stop()

    asyncio.run(scenario())
    assert filesystem.created.count("next.prepared") >= len(filesystem.renamed) > 2
    # Only the first segment had to be made while a commit waited.
    assert [name for name in filesystem.created if name != "next.prepared"] == [
        kit.paths.segment(1).name
    ]
    assert kit.recovered()[0] == list(range(1, 41))
    assert {path.name for path in kit.paths.wal_dir.iterdir()} == {
        path.name for path in kit.paths.segments()
    }


def test_a_segment_that_was_never_cut_is_read_like_one_that_was(tmp_path: Path) -> None:
    kit = Kit(tmp_path, segment_bytes_max=4096)
    asyncio.run(append(kit, 12))
    for path in kit.paths.segments():
        with path.open("ab") as file:
            file.truncate(100_000)
    kit.paths.prepared_segment.write_bytes(b"\0" * 4096)
    seen, report = kit.recovered()
    assert seen == list(range(1, 13))
    assert report.cut_bytes == 0


def test_zeros_are_written_ahead_only_for_a_log_that_grows_slowly() -> None:
    assert is_worth_zeros(ZERO_FILL_GROWTH_BYTES_PER_S_MAX, 1.0)
    assert not is_worth_zeros(ZERO_FILL_GROWTH_BYTES_PER_S_MAX + 1, 1.0)
    assert is_worth_zeros(0, 0.0)
