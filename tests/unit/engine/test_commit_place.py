"""Which thread commits."""

import asyncio
import random
import threading
from pathlib import Path

import pytest

from engine.errors import WalError
from engine.filesystem import FileSystem
from engine.wal import commit_place, gathering
from engine.wal import log as log_module
from engine.wal.commit_place import QUICK_S, SLOW_S, THREAD_COMMITS_MIN, CommitPlace
from engine.wal.log import Log
from tests.unit.engine.test_log import Kit, frame

ATTEMPTS = 1000


def thread_commits(place: CommitPlace, *seconds: float) -> bool:
    """Whether the loop is next after the thread's commits of so many `seconds`."""
    for number in range(THREAD_COMMITS_MIN):
        assert not place.is_loop
        place.committed(seconds[number % len(seconds)])
    return place.is_loop


def test_the_loop_commits_on_a_quick_disk_until_it_is_slow_once() -> None:
    place = CommitPlace()
    assert thread_commits(place, QUICK_S)
    for _ in range(100):
        place.committed(SLOW_S)
        assert place.is_loop
    place.committed(SLOW_S * 1.01)
    assert thread_commits(place, QUICK_S)


def test_a_slow_disk_stays_with_the_thread() -> None:
    place = CommitPlace()
    for _ in range(10):
        assert not thread_commits(place, 0.002)


def test_what_the_thread_waited_for_the_interpreter_does_not_count_as_the_disk() -> None:
    assert thread_commits(CommitPlace(), 0.005, QUICK_S, 0.003)


class WatchedSync(FileSystem):
    """Notes which thread syncs data; fails from the first sync on the loop once told so."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.is_broken_for_loop = False

    def sync_data(self, descriptor: int) -> None:
        self.threads.append(threading.current_thread())
        if self.is_broken_for_loop and self.threads[-1] is threading.main_thread():
            raise OSError(5, "Input/output error")


def test_frames_of_one_turn_share_the_commit_of_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_place, "QUICK_S", 60.0)
    monkeypatch.setattr(commit_place, "SLOW_S", 60.0)
    disk = WatchedSync()
    kit = Kit(tmp_path, filesystem=disk)

    async def scenario() -> None:
        log = kit.open()
        for number in range(THREAD_COMMITS_MIN):
            await log.append(frame(number))
        assert threading.main_thread() not in disk.threads
        # The thread may take what it finds on its way back to sleep: then once more.
        for _ in range(ATTEMPTS):
            syncs = len(disk.threads)
            pending = [log.append(frame(number)) for number in range(5)]
            await asyncio.gather(*pending)
            if disk.threads[syncs:] == [threading.main_thread()]:
                break
        else:
            raise AssertionError("the loop never commits")
        # Who has all that he waits for need not wait for the end of the turn.
        for _ in range(ATTEMPTS):
            done = log.append(frame(0))
            log.commit_queued()
            if done.done():
                break
            await done
        else:
            raise AssertionError("the loop never commits at once")
        # Who joins goes with the next who does not, or alone if there is none.
        for _ in range(ATTEMPTS):
            syncs = len(disk.threads)
            joining = log.append(frame(0), joins=True)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            is_held = len(disk.threads) == syncs
            await asyncio.gather(joining, log.append(frame(1)))
            if is_held and disk.threads[syncs:] == [threading.main_thread()]:
                break
        else:
            raise AssertionError("a frame that joins is committed alone")
        await log.append(frame(0), joins=True)
        # Too much for the loop.
        await log.append(frame(0, rows=commit_place.LOOP_BYTES_MAX // 8))
        assert disk.threads[-1] is not threading.main_thread()
        await log.stop()

    asyncio.run(scenario())
    positions = kit.recovered()[0]
    assert positions == list(range(1, len(positions) + 1))


async def append_until_it_fails(log: Log) -> None:
    for _ in range(ATTEMPTS):
        await log.append(frame(0))


def test_a_disk_that_fails_under_the_loop_fails_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_place, "QUICK_S", 60.0)
    disk = WatchedSync()
    disk.is_broken_for_loop = True
    kit = Kit(tmp_path, filesystem=disk)

    async def scenario() -> None:
        log = kit.open()
        for number in range(THREAD_COMMITS_MIN):
            await log.append(frame(number))
        with pytest.raises(WalError, match="Input/output error"):
            await append_until_it_fails(log)
        with pytest.raises(WalError):
            log.append(frame(1))
        assert log.failure is not None
        await log.stop()

    asyncio.run(scenario())


class FlappingPlace(CommitPlace):
    """Sends commits here and there."""

    def __init__(self) -> None:
        self.random = random.Random(5)

    @property
    def is_loop(self) -> bool:  # type: ignore[override]
        return self.random.random() < 0.5

    def committed(self, seconds: float) -> None:
        """All the same."""


@pytest.mark.parametrize("seed", range(4))
def test_thread_and_loop_take_turns_without_losing_or_doubling_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(log_module, "CommitPlace", FlappingPlace)
    # The thread waits for company whenever it can.
    monkeypatch.setattr(gathering, "PATIENCE_S_MIN", 0.0)
    monkeypatch.setattr(gathering, "PATIENCE_OF_COMMIT", 10.0)
    monkeypatch.setattr(gathering, "GROUPS_WITHOUT_WAIT", 0)
    disk = WatchedSync()
    kit = Kit(tmp_path, filesystem=disk)
    choices = random.Random(seed)
    rounds, writers = 300, 4
    positions: list[int] = []

    async def writer(log: Log) -> None:
        for _ in range(rounds):
            pending = [
                log.append(frame(0), joins=choices.random() < 0.3)
                for _ in range(choices.randint(1, 3))
            ]
            if choices.random() < 0.3:
                log.commit_queued()
            for _ in range(choices.randint(0, 2)):
                await asyncio.sleep(0)
            positions.extend([record.position for record in await asyncio.gather(*pending)])

    async def scenario() -> None:
        opened = kit.open()
        async with asyncio.timeout(60):
            await asyncio.gather(*(writer(opened) for _ in range(writers)))
        await opened.stop()

    asyncio.run(scenario())
    assert sorted(positions) == list(range(1, len(positions) + 1))
    assert kit.recovered()[0] == sorted(positions)
    assert threading.main_thread() in disk.threads
    assert set(disk.threads) != {threading.main_thread()}


class ToldSync(FileSystem):
    """Notes what is done, in order; a sync fails once told so."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.is_broken = False

    def begin_sync(self, descriptor: int, offset: int, nbytes: int) -> None:
        super().begin_sync(descriptor, offset, nbytes)
        self.done.append(f"begin {nbytes}")

    def sync_data(self, descriptor: int) -> None:
        self.done.append("sync")
        if self.is_broken:
            raise OSError(5, "Input/output error")


def test_answers_are_made_ready_while_the_disk_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_place, "QUICK_S", 60.0)
    monkeypatch.setattr(commit_place, "SLOW_S", 60.0)
    disk = ToldSync()
    kit = Kit(tmp_path, filesystem=disk)

    async def scenario() -> None:
        log = kit.open()

        def on_end(outcome: object) -> None:
            disk.done.append("failed" if isinstance(outcome, WalError) else "durable")

        def make_ready() -> None:
            # Nobody may see what is not durable.
            assert log.durable_position == len(kit.durable)
            disk.done.append("ready")

        def submit() -> None:
            disk.done.clear()
            log.submit(frame(1), on_end, is_last=True, meanwhile=make_ready)
            log.commit_queued()

        for number in range(THREAD_COMMITS_MIN):
            await log.append(frame(number))
        assert "ready" not in disk.done
        for _ in range(ATTEMPTS):
            submit()
            if "ready" in disk.done:
                break
            await log.append(frame(0))
        nbytes = frame(1).nbytes
        assert disk.done == [f"begin {nbytes}", "ready", "sync", "durable"]
        assert [row["n"] for row in kit.durable[-1].frame.sections[0].batch["m"].rows()] == ["1"]
        visible = len(kit.durable)
        disk.is_broken = True
        submit()
        assert disk.done == [f"begin {nbytes}", "ready", "sync", "failed"]
        assert len(kit.durable) == visible
        await log.stop()

    asyncio.run(scenario())


def test_what_cannot_be_made_ready_is_durable_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(commit_place, "QUICK_S", 60.0)
    monkeypatch.setattr(commit_place, "SLOW_S", 60.0)
    kit = Kit(tmp_path)

    async def scenario() -> None:
        log = kit.open()
        outcomes: list[object] = []

        def break_down() -> None:
            raise ValueError("planted")

        for number in range(THREAD_COMMITS_MIN):
            await log.append(frame(number))
        for _ in range(ATTEMPTS):
            log.submit(frame(1), outcomes.append, is_last=True, meanwhile=break_down)
            log.commit_queued()
            if "planted" in caplog.text:
                break
            await log.append(frame(0))
        assert outcomes[-1] is kit.durable[-1]
        assert log.failure is None
        await log.stop()

    asyncio.run(scenario())
