"""The log: group commit, rotation, failure, recovery."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.damage import DamageBook
from engine.errors import BackPressureError, DiskFullError, WalError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.paths import DataPaths
from engine.wal.log import DurableFrame, Log, LogConfig
from engine.wal.recovery import recover
from lp_core import (
    EncodedFrame,
    FrameKind,
    Section,
    SegmentReader,
    SegmentWriter,
    encode_frame,
    parse,
)
from tests.support.faulty_filesystem import FaultyFileSystem, PowerCut
from tests.support.waiting import wait_for


def frame(number: int, *, rows: int = 1) -> EncodedFrame:
    lines = "".join(f"m,n={number} f={row}i {row}\n" for row in range(rows))
    batch = parse(lines.encode(), precision="ns", now_ns=0).batch
    return encode_frame(FrameKind.WRITE, [Section("db", batch)])


class Kit:
    """A log in a directory, with what it reports."""

    def __init__(
        self, directory: Path, *, filesystem: FileSystem | None = None, **settings: int
    ) -> None:
        self.paths = DataPaths(directory, "node0")
        self.paths.wal_dir.mkdir(parents=True, exist_ok=True)
        self.filesystem = filesystem or FileSystem()
        self.settings = LogConfig(**{"segment_bytes_max": 1 << 20, **settings})
        self.durable: list[DurableFrame] = []
        self.book = DamageBook(self.paths, self.filesystem, SystemClock())

    def open(self, next_position: int = 1) -> Log:
        log = Log(
            self.paths,
            "node0",
            self.settings,
            self.filesystem,
            SystemClock(),
            next_position=Position(next_position),
            on_durable=self.durable.extend,
        )
        log.start()
        return log

    def recovered(self) -> tuple[list[int], object]:
        seen: list[int] = []
        self.book = DamageBook(self.paths, self.filesystem, SystemClock())
        self.book.load()
        report = recover(
            self.paths, self.filesystem, lambda durable: seen.append(durable.position), self.book
        )
        return seen, report


def test_frames_are_durable_in_order_before_they_are_acknowledged(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    async def scenario() -> None:
        log = kit.open()
        records = await asyncio.gather(*(log.append(frame(number)) for number in range(50)))
        assert [record.position for record in records] == list(range(1, 51))
        assert [record.position for record in kit.durable] == list(range(1, 51))
        assert log.durable_position == 50
        (section,) = records[7].frame.sections
        assert section.batch["m"].rows() == [{"n": "7", "f": 0, "time": 0}]
        await log.stop()

    asyncio.run(scenario())
    seen, report = kit.recovered()
    assert seen == list(range(1, 51))
    assert report.cut_bytes == 0


def test_segments_are_sealed_at_their_size_and_large_frames_get_their_own(tmp_path: Path) -> None:
    kit = Kit(tmp_path, segment_bytes_max=8192)

    async def scenario() -> None:
        log = kit.open()
        for number in range(20):
            await log.append(frame(number, rows=2000 if number == 9 else 1))
        await log.stop()

    asyncio.run(scenario())
    sizes = [path.stat().st_size for path in kit.paths.segments()]
    assert len(sizes) > 3
    assert max(sizes) > 8192
    assert kit.recovered()[0] == list(range(1, 21))


class FailingSync(FileSystem):
    """Fails every sync after the first `good` ones."""

    def __init__(self, good: int) -> None:
        self.good = good

    def sync_data(self, descriptor: int) -> None:
        self.good -= 1
        if self.good < 0:
            raise OSError(5, "Input/output error")
        super().sync_data(descriptor)


class Broken(FileSystem):
    """Raises what nobody expects."""

    def write_at(self, *arguments: object) -> int:
        raise ValueError("unexpected")


def test_an_unexpected_error_of_the_log_thread_fails_writes_instead_of_hanging_them(
    tmp_path: Path,
) -> None:
    kit = Kit(tmp_path, filesystem=Broken())

    async def scenario() -> None:
        log = kit.open()
        for number in range(2):
            with pytest.raises(WalError, match="ValueError: unexpected"):
                await asyncio.wait_for(log.append(frame(number)), 10)
        await log.stop()

    asyncio.run(scenario())


def test_a_record_that_cannot_be_applied_fails_the_log(tmp_path: Path) -> None:
    class Refusing(list[DurableFrame]):
        def extend(self, frames: object) -> None:
            raise RuntimeError("does not fit")

    kit = Kit(tmp_path)
    kit.durable = Refusing()

    async def scenario() -> None:
        log = kit.open()
        with pytest.raises(WalError, match="does not fit"):
            await asyncio.wait_for(log.append(frame(0)), 10)
        assert log.failure is not None
        await log.stop()

    asyncio.run(scenario())


def test_what_was_synced_before_a_failure_is_acknowledged(tmp_path: Path) -> None:
    kit = Kit(tmp_path, filesystem=FailingSync(good=1))

    async def scenario() -> None:
        log = kit.open()
        first = log.append(frame(0))
        # The second group fails in the log's thread before this loop hears of the first.
        wait_for(lambda: log.written_bytes, "the first group is written")
        second = log.append(frame(1))
        wait_for(lambda: log.failure, "the second group fails")
        assert (await first).position == 1
        with pytest.raises(WalError):
            await second
        assert [record.position for record in kit.durable] == [1]
        await log.stop()

    asyncio.run(scenario())


def test_after_a_failed_sync_nothing_is_accepted_any_more(tmp_path: Path) -> None:
    kit = Kit(tmp_path, filesystem=FailingSync(good=1))

    async def scenario() -> None:
        log = kit.open()
        await log.append(frame(0))
        with pytest.raises(WalError, match="Input/output error"):
            await log.append(frame(1))
        assert log.failure is not None
        with pytest.raises(WalError):
            await log.append(frame(2))
        assert [record.position for record in kit.durable] == [1]
        await log.stop()

    asyncio.run(scenario())


def test_too_many_waiting_bytes_are_refused(tmp_path: Path) -> None:
    kit = Kit(tmp_path, queued_bytes_max=4000)

    async def scenario() -> None:
        log = kit.open()
        first = log.append(frame(0, rows=1000))
        with pytest.raises(BackPressureError, match="wait for the disk"):
            log.append(frame(1))
        await first
        await log.append(frame(2))
        await log.stop()
        with pytest.raises(WalError, match="shutting down"):
            log.append(frame(3))

    asyncio.run(scenario())


def write_frames(kit: Kit, count: int) -> None:
    async def scenario() -> None:
        log = kit.open()
        for number in range(count):
            await log.append(frame(number))
        await log.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("torn_bytes", [1, 64, 65, 200])
def test_a_torn_tail_is_cut_reported_and_kept_aside(tmp_path: Path, torn_bytes: int) -> None:
    kit = Kit(tmp_path)
    write_frames(kit, 3)
    (path,) = kit.paths.segments()
    content = path.read_bytes()
    path.write_bytes(content[:-torn_bytes])
    seen, report = kit.recovered()
    assert seen == [1, 2]
    assert report.cut_bytes > 0
    assert report.cut_file is not None
    assert kit.recovered() == (
        [1, 2],
        type(report)(segments=1, frames=2, bytes=report.bytes, last_position=Position(2)),
    )


def test_a_flipped_bit_in_the_last_frame_is_a_torn_tail(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    write_frames(kit, 3)
    (path,) = kit.paths.segments()
    content = bytearray(path.read_bytes())
    content[-70] ^= 1
    path.write_bytes(content)
    assert kit.recovered()[0] == [1, 2]


def flip(path: Path, place: int) -> bytes:
    """Damage one bit, and return what the file was."""
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[place] ^= 1
    path.write_bytes(damaged)
    return content


@pytest.mark.parametrize("place", [0, 20, 200])
def test_a_damaged_file_gives_its_good_frames_and_is_kept_aside(tmp_path: Path, place: int) -> None:
    kit = Kit(tmp_path, segment_bytes_max=3000)
    write_frames(kit, 9)
    assert len(kit.paths.segments()) >= 3
    path = kit.paths.segments()[1]
    first = int(path.stem)
    flip(path, place)
    damaged = path.read_bytes()
    # A bit of the header costs no frame.
    expected = [number for number in range(1, 10) if number != first or place < 64]
    seen, report = kit.recovered()
    assert seen == expected
    assert report.damaged_files == 1
    assert report.cut_bytes == 0
    (note,) = kit.book.entries()
    assert note.file == f"wal/{path.name}"
    assert note.offset_bytes == (0 if place < 64 else 64)
    assert note.after_position == first - 1
    assert note.lost_positions == (place >= 64)
    assert note.content == (("write",) if place >= 64 else ())
    assert (kit.paths.node_dir / note.kept).read_bytes() == damaged
    # Once is enough: the file is mended, and the note stays.
    seen, report = kit.recovered()
    assert seen == expected
    assert report.damaged_files == 0
    assert kit.book.entries() == [note]


def test_a_bit_in_the_last_file_before_whole_frames_costs_one_of_them(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    write_frames(kit, 5)
    (path,) = kit.paths.segments()
    offsets = [frame.offset for frame in SegmentReader(path.read_bytes()).scan()]
    flip(path, offsets[2] + 100)
    before = path.read_bytes()
    seen, report = kit.recovered()
    assert seen == [1, 2, 4, 5]
    assert report.last_position == 5
    (note,) = kit.book.entries()
    assert (note.offset_bytes, note.after_position, note.before_position) == (offsets[2], 2, 4)
    # Places that were told before are still right.
    after = path.read_bytes()
    assert after[: offsets[2]] == before[: offsets[2]]


def test_a_header_that_leads_nowhere_costs_what_it_heads(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    write_frames(kit, 5)
    (path,) = kit.paths.segments()
    content = bytearray(path.read_bytes())
    offsets = [frame.offset for frame in SegmentReader(bytes(content)).scan()]
    content[offsets[1] : offsets[1] + 64] = b"\xff" * 64
    content[offsets[3] : offsets[3] + 64] = bytes(64)
    path.write_bytes(content)
    assert kit.recovered()[0] == [1, 3, 5]
    assert [note.content for note in kit.book.entries()] == [("unknown",), ("unknown",)]
    assert [note.after_position for note in kit.book.entries()] == [1, 3]


def test_a_page_that_cannot_be_read_costs_what_is_on_it(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    write_frames(kit, 40)
    (path,) = kit.paths.segments()
    offsets = [frame.offset for frame in SegmentReader(path.read_bytes()).scan()]
    filesystem = kit.filesystem = FaultyFileSystem(tmp_path)
    filesystem.unreadable.add((path, 2))
    lost = {
        number
        for number, (start, end) in enumerate(
            zip(offsets, [*offsets[1:], path.stat().st_size], strict=True), 1
        )
        if start < 3 * 4096 and end > 2 * 4096
    }
    assert lost
    assert kit.recovered()[0] == [number for number in range(1, 41) if number not in lost]
    assert {note.reason for note in kit.book.entries()} == {"not readable"}
    filesystem.unreadable.clear()
    assert kit.recovered()[1].damaged_files == 0
    filesystem.close_all()


def test_a_missing_file_is_noted_once(tmp_path: Path) -> None:
    kit = Kit(tmp_path, segment_bytes_max=3000)
    write_frames(kit, 9)
    first, second, third, *_ = kit.paths.segments()
    second.unlink()
    for _ in range(2):
        seen, _ = kit.recovered()
        assert seen == [*range(1, int(second.stem)), *range(int(third.stem), 10)]
        (note,) = kit.book.entries()
        assert note.after_position == int(second.stem) - 1
        assert note.before_position == int(third.stem)
    assert first.exists()


def test_damage_is_kept_before_anything_is_changed(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    write_frames(kit, 5)
    (path,) = kit.paths.segments()
    flip(path, 100)
    damaged = path.read_bytes()
    for steps in range(40):
        filesystem = kit.filesystem = FaultyFileSystem(tmp_path)
        filesystem.cut_at = steps
        try:
            kit.recovered()
        except PowerCut:
            filesystem.close_all()
            if path.read_bytes() == damaged:
                continue
            # It was written anew: the copy and the note are there.
            assert kit.book.entries() == [] or kit.book.entries()[0].kept
            kept = [one.read_bytes() for one in kit.paths.damaged_dir.glob("*.wal")]
            assert kept == [damaged]
            assert len(list(kit.paths.damaged_dir.glob("*.json"))) == 1
        else:
            filesystem.close_all()
            break
    else:
        raise AssertionError("recovery never ended")
    assert kit.recovered()[0] == [2, 3, 4, 5]
    assert len(list(kit.paths.damaged_dir.glob("*.wal"))) == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"HR"])
def test_a_segment_without_a_whole_header_held_nothing(tmp_path: Path, content: bytes) -> None:
    kit = Kit(tmp_path)
    write_frames(kit, 2)
    kit.paths.segment(3).write_bytes(content)
    assert kit.recovered()[0] == [1, 2]
    assert len(kit.paths.segments()) == 1


def test_an_unused_preallocated_tail_is_not_a_cut(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    write_frames(kit, 2)
    (path,) = kit.paths.segments()
    with path.open("ab") as file:
        file.write(b"\0" * 100_000)
    seen, report = kit.recovered()
    assert seen == [1, 2]
    assert report.cut_bytes == 0
    assert path.stat().st_size < 100_000


def test_many_buffers_are_written_whole(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    async def scenario() -> None:
        log = kit.open()
        await asyncio.gather(*(log.append(frame(number)) for number in range(1500)))
        await log.stop()

    asyncio.run(scenario())
    assert kit.recovered()[0] == list(range(1, 1501))


@pytest.mark.parametrize("first_frame", [b"", bytes(4096), b"HFRM" + b"\1" * 60])
def test_the_log_goes_on_after_a_crash_before_the_first_frame_of_a_segment(
    tmp_path: Path, first_frame: bytes
) -> None:
    kit = Kit(tmp_path)

    async def write(next_position: int) -> None:
        log = kit.open(next_position)
        await log.append(frame(next_position))
        await log.stop()

    asyncio.run(write(1))
    header = SegmentWriter(first_position=2, node_id="node0", created_ns=0).header
    kit.paths.segment(2).write_bytes(header + first_frame)
    assert kit.recovered()[0] == [1]
    asyncio.run(write(2))
    assert kit.recovered()[0] == [1, 2]


# A full disk.


def test_a_full_disk_refuses_what_it_cannot_take_and_the_log_goes_on(tmp_path: Path) -> None:
    disk = FaultyFileSystem(tmp_path)
    kit = Kit(tmp_path, filesystem=disk, segment_bytes_max=3000)

    async def scenario() -> list[int]:
        log = kit.open()
        stored = [(await log.append(frame(number))).position for number in range(4)]
        disk.room_bytes = 0
        # More than the segment in use has room for, and the next one, which may be prepared already.
        for number in range(4, 40):
            with contextlib.suppress(DiskFullError):
                stored.append((await log.append(frame(number))).position)
        assert log.failure is None
        assert log.is_full
        disk.room_bytes = 1 << 40
        stored += [(await log.append(frame(number))).position for number in range(40, 44)]
        assert not log.is_full
        await log.stop()
        return stored

    stored = asyncio.run(scenario())
    assert stored == list(range(1, len(stored) + 1)), "no position is lost"
    assert [durable.position for durable in kit.durable] == stored
    seen, report = kit.recovered()
    assert seen == stored
    assert report.cut_bytes == 0
    assert kit.book.entries() == []
    disk.close_all()


@pytest.mark.parametrize("copies_on_write", [False, True])
@pytest.mark.parametrize("room", [0, 64, 700, 1500, 4000])
def test_of_a_group_the_disk_keeps_what_is_acknowledged(
    tmp_path: Path, room: int, *, copies_on_write: bool
) -> None:
    disk = FaultyFileSystem(tmp_path)
    disk.copies_on_write = copies_on_write
    kit = Kit(tmp_path, filesystem=disk, segment_bytes_max=2000)

    async def scenario() -> list[int]:
        log = kit.open()
        await log.append(frame(0))
        disk.room_bytes = room
        ends = await asyncio.gather(
            *(log.append(frame(number)) for number in range(1, 9)), return_exceptions=True
        )
        refused = [end for end in ends if isinstance(end, BaseException)]
        assert all(isinstance(end, DiskFullError) for end in refused)
        assert refused
        # Before anything else is written: what is there is what a crash would find.
        stored = [end.position for end in ends if isinstance(end, DurableFrame)]
        found = [
            read.position
            for path in kit.paths.segments()
            for read in SegmentReader(path.read_bytes()).scan()
        ]
        assert found == [1, *stored]
        disk.room_bytes = 1 << 40
        stored.append((await log.append(frame(9))).position)
        await log.stop()
        return [1, *stored]

    stored = asyncio.run(scenario())
    assert stored == list(range(1, len(stored) + 1))
    assert kit.recovered()[0] == stored
    disk.close_all()


def test_a_full_disk_that_shows_at_the_sync_is_final(tmp_path: Path) -> None:
    class FullAtSync(FileSystem):
        def sync_data(self, descriptor: int) -> None:
            raise OSError(28, "No space left on device")

    kit = Kit(tmp_path, filesystem=FullAtSync())

    async def scenario() -> None:
        log = kit.open()
        for number in range(2):
            with pytest.raises(WalError, match="No space left"):
                await log.append(frame(number))
        await log.stop()

    asyncio.run(scenario())


def test_a_file_system_with_little_room_takes_small_segments(tmp_path: Path) -> None:
    disk = FaultyFileSystem(tmp_path)
    disk.room_bytes = 1 << 20
    kit = Kit(tmp_path, filesystem=disk, segment_bytes_max=64 << 20)

    async def scenario() -> None:
        log = kit.open()
        assert (await log.append(frame(0))).position == 1
        await log.stop()

    asyncio.run(scenario())
    assert kit.recovered()[0] == [1]
    disk.close_all()
