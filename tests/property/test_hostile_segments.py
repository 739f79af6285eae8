# No bytes crash the reader: a damaged or crafted segment gives an error or valid tables.
import struct
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lp_core import FormatVersionError, FrameCorruptError, SegmentReader
from tests.support.segments import sample_segment, with_matching_checksum

SEGMENT = sample_segment(256)
OFFSETS = [frame.offset for frame in SegmentReader(SEGMENT).scan()]
# Where the structure is dense: heads of frame, payload, section, tables and columns of each frame.
places = st.one_of(
    st.sampled_from(OFFSETS).flatmap(lambda start: st.integers(start, start + 1600)),
    st.integers(0, len(SEGMENT) - 1),
)
numbers = st.one_of(
    st.sampled_from(
        [0, 1, 2, 7, 8, 63, 64, 65, 127, 128, 255, 1 << 31, (1 << 31) - 1, (1 << 32) - 1]
    ),
    st.sampled_from(
        [1 << 63, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - 64, 1 << 62, 1 << 61, 1 << 32]
    ),
    st.integers(0, (1 << 64) - 1),
)
changes = st.lists(
    st.tuples(places, st.sampled_from("BHIQ"), numbers, st.booleans()), min_size=1, max_size=3
)


def damaged(edits: list[tuple[int, str, int, bool]]) -> bytearray:
    segment = bytearray(SEGMENT)
    for place, width, number, is_aligned in edits:
        size = struct.calcsize(width)
        start = place // size * size if is_aligned else place
        if start + size <= len(segment):
            struct.pack_into("<" + width, segment, start, number % (1 << 8 * size))
    return segment


def read_everything(segment: Any, *, verify: bool) -> None:
    """Read as far as it goes; verified tables must be valid through and through."""
    try:
        reader = SegmentReader(segment)
        for offset in OFFSETS:
            read_frame(reader, offset, verify=verify)
        for frame in reader.scan(verify=verify):
            read_frame(reader, frame.offset, verify=verify)
    except (FrameCorruptError, FormatVersionError):
        return


def read_frame(reader: SegmentReader, offset: int, *, verify: bool) -> None:
    try:
        frame = reader.frame(offset, verify=verify)
        assert len(frame.control) <= frame.nbytes
        sections = frame.sections
    except (FrameCorruptError, FormatVersionError, ValueError):
        return
    for section in sections:
        for table in section.batch.values():
            assert table.schema[-1][0]
            if verify:
                assert len(table.rows()) == table.num_rows
                pyarrow.record_batch(table).validate(full=True)
            else:
                try:
                    table.rows()
                except ValueError:
                    continue


@given(changes)
def test_damaged_bytes_are_refused_or_still_valid(edits):
    segment = damaged(edits)
    read_everything(segment, verify=True)
    read_everything(segment, verify=False)


@given(changes)
def test_crafted_bytes_with_a_matching_checksum_are_refused_or_valid(edits):
    segment = damaged(edits)
    for offset in OFFSETS:
        with_matching_checksum(segment, offset)
    read_everything(segment, verify=True)
    read_everything(segment, verify=False)


@given(st.integers(0, len(SEGMENT)), changes)
def test_cut_segments_are_refused_or_valid(size, edits):
    segment = damaged(edits)[:size]
    read_everything(segment, verify=True)
    read_everything(segment, verify=False)


@given(st.binary(max_size=400))
def test_bytes_that_never_were_a_frame_are_refused(noise):
    reader = SegmentReader(SEGMENT[:64] + noise)
    assert list(reader.scan()) == []
    assert reader.end_offset == 64
    with pytest.raises(FrameCorruptError):
        reader.frame(64)
