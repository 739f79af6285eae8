"""Small requests that come together are stored as one frame, and nobody can tell from the answer."""

import asyncio
from pathlib import Path

import pytest

from engine.errors import PartialWriteError, WalError
from engine.filesystem import FileSystem
from engine.ingest import regulars
from engine.ingest.merger import MERGED_BODY_BYTES_MAX, MERGED_BYTES_MAX
from engine.ingest.write_request import WriteRequest
from lp_core import Precision
from tests.support.ingest import IngestKit
from tests.unit.engine.test_group_commit import HeldSync

LINE = b"m,h=a f=1i 1"


def test_requests_of_one_turn_of_the_loop_become_one_frame(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            bodies = [f"m,h={number} f={number}i {number}".encode() for number in range(10)]
            answers = await asyncio.gather(*map(kit.write, bodies))
            assert answers == [None] * 10
            assert len(kit.frames) == 1
            assert [row["f"] for row in kit.rows()["m"]] == list(range(10))
            assert kit.counters()["headrace_write_rows_total"] == "10"
            assert kit.counters()["headrace_write_bytes_total"] == str(sum(map(len, bodies)))

    asyncio.run(scenario())


def test_requests_that_come_during_a_commit_are_stored_together_after_it(tmp_path: Path) -> None:
    disk = HeldSync()
    disk.allowed.release()  # the creation of the database

    async def scenario() -> None:
        async with IngestKit(tmp_path, disk) as kit:
            assert disk.entered.acquire(timeout=60)
            first = kit.write(LINE)
            assert await asyncio.to_thread(disk.entered.acquire, timeout=60)
            others = [kit.write(b"m,h=b f=%di %d" % (number, number)) for number in range(5)]
            for _ in range(10):
                await asyncio.sleep(0)
            assert not first.done()
            disk.allowed.release(2)
            assert await asyncio.gather(first, *others) == [None] * 6
            assert [frame.frame.sections[0].batch.num_rows for frame in kit.frames] == [1, 5]

    asyncio.run(scenario())


def test_a_refused_line_concerns_nobody_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            good = [kit.write(LINE), kit.write(b"m,h=a f=2i 2\n")]
            partial = kit.write(b"m,h=a f=3i 3\nm,h=a f=oops 4\n")
            nothing = kit.write(b"m,h=a f=5i 5\nm,h=a f=1.5 6", accept_partial=False)
            last = kit.write(b"m,h=a f=7i 7")
            assert await asyncio.gather(*good, last) == [None] * 3
            kind, _, _, lines, stored = await partial
            assert (kind, stored, lines[0]["line_number"]) == (PartialWriteError, True, 2)
            kind, _, _, lines, stored = await nothing
            assert (kind, stored, lines[0]["line_number"]) == (PartialWriteError, False, 2)
            assert [row["f"] for row in kit.rows()["m"]] == [1, 2, 3, 7]

    asyncio.run(scenario())


def test_the_first_of_two_types_wins_as_if_one_came_after_the_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            first, second = kit.write(b"m f=1i 1"), kit.write(b"m f=1.5 2")
            assert await first is None
            answer = await second
            assert isinstance(answer, tuple)
            assert answer[0] is PartialWriteError
            assert [row["f"] for row in kit.rows()["m"]] == [1]

    asyncio.run(scenario())


def test_without_sync_the_answer_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    disk = HeldSync()
    disk.allowed.release()

    async def scenario() -> None:
        async with IngestKit(tmp_path, disk) as kit:
            durable, quick = kit.write(LINE), kit.write(b"m,h=a f=2i 2", no_sync=True)
            assert await quick is None
            assert not durable.done()
            assert not kit.frames
            disk.allowed.release()
            assert await durable is None

    asyncio.run(scenario())


class BrokenDisk(FileSystem):
    """Syncs fail once told so."""

    is_broken = False

    def sync_data(self, descriptor: int) -> None:
        if self.is_broken:
            raise OSError(5, "Input/output error")
        super().sync_data(descriptor)


def test_a_failed_log_is_everybodys_error(tmp_path: Path) -> None:
    disk = BrokenDisk()

    async def scenario() -> None:
        async with IngestKit(tmp_path, disk) as kit:
            disk.is_broken = True
            for _ in range(2):
                answers = await asyncio.gather(*(kit.write(LINE) for _ in range(3)))
                assert [answer[0] for answer in answers if isinstance(answer, tuple)] == [
                    WalError
                ] * 3

    asyncio.run(scenario())


def test_a_client_that_goes_away_disturbs_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            gone, others = kit.write(LINE), [kit.write(b"m,h=b f=2i 2"), kit.write(b"m f=oops 3")]
            await asyncio.sleep(0)
            gone.cancel()
            answers = await asyncio.gather(*others)
            assert answers[0] is None
            assert isinstance(answers[1], tuple)
            assert gone.cancelled()

    asyncio.run(scenario())


def test_order_holds_between_precisions_and_what_cannot_be_merged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            await asyncio.gather(
                kit.write(b"m f=1i 1", precision=Precision.SECOND),
                kit.write(b"m f=2i 1000", precision=Precision.MILLISECOND),
                kit.write(b'm f=3i,s="x y" 1', precision=Precision.SECOND),
                kit.write(b"m f=4i 1", precision=Precision.SECOND),
            )
            assert [row["f"] for row in kit.rows()["m"]] == [1, 2, 3, 4]

    asyncio.run(scenario())


def test_a_group_waits_for_those_who_come_again_and_again_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regulars, "BACK_AFTER_S_MAX", 10.0**9)
    one, other = ("127.0.0.1", 1), ("127.0.0.1", 2)

    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            merger = kit.pipeline._merger
            await kit.write(LINE, client=one)
            await asyncio.gather(kit.write(LINE, client=one), kit.write(LINE, client=other))
            assert len(kit.frames) == 2
            # The other one was there for the first time.
            alone = kit.write(LINE, client=one)
            await asyncio.sleep(0)
            assert merger._patience is None
            assert not merger._groups
            await alone
            await asyncio.gather(kit.write(LINE, client=one), kit.write(LINE, client=other))
            # By now it has come back.
            first = kit.write(LINE, client=one)
            await asyncio.sleep(0)
            assert merger._patience is not None
            assert merger.is_expecting
            second = kit.write(LINE, client=other)
            await asyncio.sleep(0)
            assert merger._patience is None
            assert await asyncio.gather(first, second) == [None, None]

    asyncio.run(scenario())


def test_a_merged_body_stays_short(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            body = b"\n".join([LINE] * (4000 // (len(LINE) + 1)))
            writes = 3 * MERGED_BYTES_MAX // len(body)
            assert await asyncio.gather(*(kit.write(body) for _ in range(writes)))
            assert 3 <= len(kit.frames) <= 4

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "is_taken"),
    [
        (LINE, True),
        (LINE + b"\n" + LINE + b"\n", True),
        (b"m f=1,g=t -5", True),
        ("caf\u00e9 f=1 5".encode(), True),
        (b"m f=1", False),
        (b"m f=1 ", False),
        (b"m,h=a f=1i\nm f=1 5", False),
        (LINE + b"\n\n", False),
        (LINE + b" ", False),
        (LINE + b"\r\n", False),
        (b" " + LINE, False),
        (b"m  f=1 5", False),
        (b"# m f=1 5", False),
        (LINE + b"\n#m f=1 5", False),
        (b'm f="1" 5', False),
        (b"m,h=a\\ f=1 5", False),
        (b"m,h=a\\, f=1 5", False),
        (b"", False),
        (b"m f=1 " + b"1" * MERGED_BODY_BYTES_MAX, False),
    ],
)
def test_only_plain_lines_with_a_time_are_merged(
    tmp_path: Path, body: bytes, is_taken: bool
) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            merger = kit.pipeline._merger
            assert merger.takes(WriteRequest(database="db", body=body)) is is_taken
            assert not merger.takes(WriteRequest(database="db", body=body, origin="t"))

    asyncio.run(scenario())
