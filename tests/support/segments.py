# Owns small segments for tests: bodies of line protocol in, the bytes of a whole segment file out.
"""Segments in memory."""

import struct
from collections.abc import Iterable

from lp_core import FrameKind, Section, SegmentWriter, WriteBatch, encode_frame, parse
from lp_core._frame import crc32c

NOW_NS = 1_700_000_000_000_000_000
FIRST_POSITION = 10
# Every column type, with and without nulls, texts from no to several bytes, a bitmap of two bytes.
BODY = """\
m,site=north,unit=7 f=1.5,i=-3i,u=18446744073709551615u,s="é\\"x",b=t 5
m,site=south f=-0.0,s="",b=f 3
m,site=north g=1i 4
m,unit=日本 f=0.25,i=9i,u=0u,s="plain",b=T 9
m f=1 -6
m f=2 7
m f=3 8
m,site=south f=4 9
m,site=north f=5,b=t 10
other v=1i 1
"""


def batch_of(body: str = BODY) -> WriteBatch:
    """Return the tables of a body without errors, in nanoseconds."""
    result = parse(body.encode(), precision="ns", now_ns=NOW_NS)
    assert not result.errors
    return result.batch


def frame_bytes(
    kind: FrameKind, sections: Iterable[Section], position: int, control: bytes = b""
) -> bytes:
    """Return a sealed frame."""
    frame = encode_frame(kind, sections, control)
    frame.seal(position)
    return bytes(frame)


def sample_segment(allocated_bytes: int = 0) -> bytes:
    """Return a segment with one frame of each kind, and zeros behind them."""
    batch = batch_of()
    written = Section("weather", batch, ingest_time_ns=NOW_NS)
    write_back = Section("derived", batch_of("d v=1 1"), "weather/mean", 2, NOW_NS + 1)
    header = SegmentWriter(first_position=FIRST_POSITION, node_id="node-a", created_ns=7).header
    frames = [
        frame_bytes(FrameKind.WRITE, [written], FIRST_POSITION),
        frame_bytes(FrameKind.COMMIT, [write_back, written], FIRST_POSITION + 1, b"cursor"),
        frame_bytes(FrameKind.CATALOG, [], FIRST_POSITION + 2, b"c" * 70),
    ]
    return header + b"".join(frames) + bytes(allocated_bytes)


def with_matching_checksum(segment: bytearray, offset: int) -> None:
    """Make the checksum of the frame at ``offset`` fit its bytes, as an attacker would."""
    (length,) = struct.unpack_from("<Q", segment, offset + 8)
    if length <= len(segment) - offset - 64:
        payload = bytes(segment[offset + 64 : offset + 64 + length])
        crc = crc32c(bytes(segment[offset : offset + 24]), crc32c(payload))
        struct.pack_into("<I", segment, offset + 24, crc)
