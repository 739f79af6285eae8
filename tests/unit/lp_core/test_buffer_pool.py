"""The shared pool: buffers come back, within the limit, from any thread."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lp_core import EncodedFrame, FrameKind, encode_frame
from lp_core._buffer_pool import HELD_BYTES_MAX, limit_held_bytes, statistics

MIB = 1024 * 1024


def frame_of(size_bytes: int, content: bytes = b"c") -> EncodedFrame:
    """A frame whose memory is taken from the size class of ``size_bytes``."""
    return encode_frame(FrameKind.CATALOG, [], content * (size_bytes - 256))


@pytest.fixture(autouse=True)
def empty_pool() -> Iterator[None]:
    gc.collect()
    limit_held_bytes(0)
    limit_held_bytes(HELD_BYTES_MAX)
    yield
    limit_held_bytes(HELD_BYTES_MAX)


def change(before: dict[str, int], name: str) -> int:
    return statistics()[name] - before[name]


def test_a_buffer_that_came_back_is_used_again() -> None:
    before = statistics()
    first = frame_of(MIB)
    assert change(before, "fresh") == 1
    assert statistics()["held_bytes"] == 0
    del first
    assert change(before, "kept") == 1
    assert statistics()["held_bytes"] == MIB
    second = frame_of(MIB * 3 // 4)
    assert change(before, "reused") == 1
    assert statistics()["held_bytes"] == 0
    del second


def test_a_buffer_in_use_is_not_handed_out_again() -> None:
    frames = [frame_of(8192, bytes([number])) for number in range(1, 20)]
    for number, frame in enumerate(frames, 1):
        frame.seal(number)
        assert bytes(frame)[72 : 72 + 8192 - 256] == bytes([number]) * (8192 - 256)


def test_what_is_left_in_a_buffer_does_not_reach_the_next_frame() -> None:
    fresh = frame_of(4096)
    fresh.seal(1)
    expected = bytes(fresh)
    del fresh
    dirty = frame_of(4096, b"\xff")
    del dirty
    again = frame_of(4096)
    again.seal(1)
    assert bytes(again) == expected


def test_the_pool_keeps_no_more_than_its_limit() -> None:
    limit_held_bytes(3 * MIB)
    before = statistics()
    frames = [frame_of(MIB) for _ in range(5)]
    del frames
    assert statistics()["held_bytes"] == 3 * MIB
    assert change(before, "dropped") == 2
    limit_held_bytes(MIB)
    assert statistics()["held_bytes"] == MIB
    with pytest.raises(ValueError, match="cannot keep -1"):
        limit_held_bytes(-1)


def test_huge_buffers_are_not_pooled() -> None:
    before = statistics()
    frame = frame_of(17 * MIB)
    del frame
    assert statistics() == before


def test_small_buffers_are_kept_but_not_by_the_thousand() -> None:
    before = statistics()
    frames = [frame_of(512) for _ in range(1000)]
    del frames
    assert (change(before, "fresh"), change(before, "kept")) == (1000, 256)
    assert change(before, "dropped") == 1000 - 256
    assert statistics()["held_bytes"] == 256 * 512
    frames = [frame_of(512) for _ in range(300)]
    assert change(before, "reused") == 256
    assert statistics()["held_bytes"] == 0
    del frames
    assert statistics()["held_bytes"] == 256 * 512
    # What was freed by a lower limit may be kept again.
    limit_held_bytes(0)
    assert statistics()["held_bytes"] == 0
    limit_held_bytes(HELD_BYTES_MAX)
    frame = frame_of(512)
    del frame
    assert statistics()["held_bytes"] == 512
    # Larger ones have their own places.
    frame = frame_of(MIB)
    del frame
    assert statistics()["held_bytes"] == 512 + MIB


def test_threads_share_the_pool_and_never_a_buffer() -> None:
    def work(number: int) -> bool:
        intact = True
        for round_number in range(50):
            size = 4096 << (round_number + number) % 6
            frame = frame_of(size, bytes([number]))
            other = frame_of(4096, bytes([number + 100]))
            frame.seal(1)
            intact &= bytes(frame)[72 : 72 + size - 256].count(number) == size - 256
            del other
        return intact

    before = statistics()
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, range(1, 9)))
    assert change(before, "reused") + change(before, "fresh") == 8 * 50 * 2
    assert change(before, "kept") == 8 * 50 * 2
    assert statistics()["held_bytes"] <= 4 * (4096 + 131072) * 6


FORKED = """
import os
from lp_core import FrameKind, encode_frame
from lp_core._buffer_pool import statistics
kept = encode_frame(FrameKind.CATALOG, [], b"c" * 5000)
del kept
child = os.fork()
if child == 0:
    encode_frame(FrameKind.CATALOG, [], b"c" * 5000)
    os._exit(0 if statistics()["reused"] == 1 else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""


def test_a_forked_child_can_use_the_pool() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)
