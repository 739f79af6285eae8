# Segments written by earlier builds stay readable, and this build still writes the same bytes.
from pathlib import Path

import pytest

from lp_core import SegmentReader, SegmentWriter
from tests.support.segments import batch_of, frame_bytes, sample_segment

GOLDEN = Path(__file__).parent / "golden" / "version-1.wal"


@pytest.fixture(scope="module")
def golden() -> bytes:
    return GOLDEN.read_bytes()


def test_golden_segment_is_read(golden):
    reader = SegmentReader(golden)
    frames = list(reader.scan())
    assert reader.tail is None
    assert reader.end_offset == len(golden)
    assert [(f.kind.name, f.position, f.control) for f in frames] == [
        ("WRITE", 10, b""),
        ("COMMIT", 11, b"cursor"),
        ("CATALOG", 12, b"c" * 70),
    ]
    batch = frames[0].sections[0].batch
    assert {name: table.rows() for name, table in batch.items()} == {
        name: table.rows() for name, table in batch_of().items()
    }


def test_golden_segment_is_written_again_from_what_was_read(golden):
    reader = SegmentReader(golden)
    again = SegmentWriter(
        first_position=reader.first_position,
        node_id=reader.node_id,
        created_ns=reader.created_ns,
    ).header
    for frame in reader.scan():
        again += frame_bytes(frame.kind, frame.sections, frame.position, frame.control)
    assert again == golden


def test_golden_segment_is_written_again_from_line_protocol(golden):
    assert sample_segment() == golden
