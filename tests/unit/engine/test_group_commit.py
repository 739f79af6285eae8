"""Group commit: what one sync covers. Syncs are counted, and held back by the test, never timed."""

import asyncio
import threading
from pathlib import Path

import pytest

from engine.filesystem import FileSystem
from engine.wal import gathering
from engine.wal.log import Log
from tests.unit.engine.test_log import Kit, frame


class HeldSync(FileSystem):
    """Every sync of data waits until the test lets it go on."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.allowed = threading.Semaphore(0)
        self.syncs = 0
        self.writes = 0

    def write_at(self, descriptor: int, buffers: list[memoryview], offset: int) -> int:
        self.writes += 1
        return super().write_at(descriptor, buffers, offset)

    def sync_data(self, descriptor: int) -> None:
        self.entered.release()
        assert self.allowed.acquire(timeout=60)
        super().sync_data(descriptor)
        self.syncs += 1


def test_frames_that_come_during_a_sync_share_the_next_one(tmp_path: Path) -> None:
    disk = HeldSync()
    kit = Kit(tmp_path, filesystem=disk)

    async def scenario() -> None:
        log = kit.open()
        first = log.append(frame(0))
        assert await asyncio.to_thread(disk.entered.acquire, timeout=60)
        writes = disk.writes
        others = [log.append(frame(number)) for number in range(1, 65)]
        assert disk.syncs == 0
        assert not first.done()
        disk.allowed.release()
        await first
        assert await asyncio.to_thread(disk.entered.acquire, timeout=60)
        # One call took all 64 frames to the file; zeros ahead of them were written before.
        assert disk.writes == writes + 1
        assert not any(other.done() for other in others)
        disk.allowed.release()
        await asyncio.gather(*others)
        assert disk.syncs == 2
        await log.stop()

    asyncio.run(scenario())
    assert kit.recovered()[0] == list(range(1, 66))


class CountedSync(FileSystem):
    """Counts the syncs of data."""

    syncs = 0

    def sync_data(self, descriptor: int) -> None:
        super().sync_data(descriptor)
        self.syncs += 1


def test_writers_that_go_on_after_each_acknowledgement_end_up_in_one_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A patience that no machine is too slow for: so the number of syncs does not depend on time.
    monkeypatch.setattr(gathering, "PATIENCE_S_MAX", 60.0)
    monkeypatch.setattr(gathering, "PATIENCE_OF_COMMIT", 1e9)
    disk = CountedSync()
    kit = Kit(tmp_path, filesystem=disk)
    rounds, writers = 12, 8
    acknowledged = 0

    async def writer(log: Log, enough: asyncio.Event) -> None:
        nonlocal acknowledged
        while not enough.is_set():
            await log.append(frame(acknowledged))
            acknowledged += 1
            if acknowledged >= rounds * writers:
                enough.set()

    async def scenario() -> None:
        log = kit.open()
        enough = asyncio.Event()
        tasks = [asyncio.create_task(writer(log, enough)) for _ in range(writers)]
        await enough.wait()
        # Ends the wait for those that have finished, too.
        await log.stop()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())
    # The first frames may go alone; from then on each sync takes one frame of every writer.
    assert disk.syncs <= rounds + 2
    assert kit.recovered()[0] == list(range(1, acknowledged + 1))
