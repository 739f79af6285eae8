# Frames and segments: what goes in comes out, and damage is told apart from a clean end.
import gc
import mmap
import struct
import weakref

import pytest

from lp_core import (
    FormatVersionError,
    FrameCorruptError,
    FrameKind,
    Section,
    SegmentReader,
    SegmentWriter,
    encode_frame,
)
from lp_core._frame import crc32c
from tests.support.segments import (
    BODY,
    FIRST_POSITION,
    NOW_NS,
    batch_of,
    frame_bytes,
    sample_segment,
    with_matching_checksum,
)

HEAD = SegmentWriter(first_position=1, node_id="n", created_ns=0).header


def scanned(segment, **options):
    reader = SegmentReader(segment)
    return reader, list(reader.scan(**options))


@pytest.mark.parametrize("verify", [True, False])
def test_frames_give_back_what_was_written(verify):
    reader, frames = scanned(sample_segment(), verify=verify)
    assert (reader.first_position, reader.node_id, reader.created_ns) == (10, "node-a", 7)
    assert [frame.kind for frame in frames] == list(FrameKind)
    assert [frame.position for frame in frames] == [10, 11, 12]
    assert [frame.control for frame in frames] == [b"", b"cursor", b"c" * 70]
    (written,) = frames[0].sections
    assert (written.database, written.origin, written.hops) == ("weather", "", 0)
    assert written.ingest_time_ns == NOW_NS
    derived, _ = frames[1].sections
    assert (derived.database, derived.origin, derived.hops) == ("derived", "weather/mean", 2)
    assert frames[2].sections == []
    wanted = batch_of()
    assert list(written.batch) == list(wanted) == ["m", "other"]
    for name, table in wanted.items():
        found = written.batch[name]
        assert (found.name, found.num_rows, found.schema) == (name, table.num_rows, table.schema)
        assert (found.min_time_ns, found.max_time_ns) == (table.min_time_ns, table.max_time_ns)
        assert found.rows() == table.rows()


def test_decoded_sections_encode_to_the_same_bytes():
    segment = sample_segment()
    _, frames = scanned(segment)
    for frame in frames:
        again = frame_bytes(frame.kind, frame.sections, frame.position, frame.control)
        assert again == segment[frame.offset : frame.offset + frame.nbytes]


def test_encoding_is_deterministic():
    assert sample_segment() == sample_segment()


@pytest.mark.parametrize("rows", [1, 7, 8, 95, 96, 97, 1535, 1536, 1537, 1601, 5000])
def test_the_checksum_covers_what_was_copied_at_every_length_where_copying_branches(rows):
    body = "".join(
        f'm,t=x{number % 9} i={number}i,s="{number}",b={"tf"[number % 2]} {number}\n'
        for number in range(rows)
    )
    segment = HEAD + frame_bytes(FrameKind.WRITE, [Section("db", batch_of(body))], 1)
    (crc,) = struct.unpack_from("<I", segment, 64 + 24)
    (length,) = struct.unpack_from("<Q", segment, 64 + 8)
    assert crc == crc32c(segment[64:88], crc32c(segment[128 : 128 + length], portable=True))
    reader, (frame,) = scanned(segment)
    assert reader.tail is None
    assert frame.sections[0].batch["m"].rows() == batch_of(body)["m"].rows()


def test_every_frame_and_buffer_starts_at_a_multiple_of_64():
    _, frames = scanned(sample_segment())
    assert all(frame.offset % 64 == 0 and frame.nbytes % 64 == 0 for frame in frames)


def test_frame_has_no_buffer_before_it_has_a_position():
    frame = encode_frame(FrameKind.WRITE, [Section("db", batch_of())])
    with pytest.raises(BufferError, match="not sealed"):
        memoryview(frame)
    frame.seal(5)
    assert memoryview(frame).readonly
    assert len(memoryview(frame)) == frame.nbytes == len(frame)


def test_sealing_again_moves_the_frame_to_another_position():
    frame = encode_frame(FrameKind.WRITE, [Section("db", batch_of())])
    frame.seal(5)
    frame.seal(6)
    _, (found,) = scanned(HEAD + bytes(frame))
    assert found.position == 6


@pytest.mark.parametrize("allocated_bytes", [0, 1, 63, 64, 4096])
def test_zeros_behind_the_last_frame_are_a_clean_end(allocated_bytes):
    segment = sample_segment()
    reader, frames = scanned(segment + bytes(allocated_bytes))
    assert len(frames) == 3
    assert reader.tail is None
    assert reader.end_offset == len(segment)


def test_segment_without_frames_ends_cleanly():
    reader, frames = scanned(HEAD)
    assert frames == []
    assert (reader.tail, reader.end_offset) == (None, 64)


def test_every_torn_length_keeps_the_whole_frames_and_reports_the_rest():
    segment = sample_segment()
    _, frames = scanned(segment)
    ends = [64] + [frame.offset + frame.nbytes for frame in frames]
    for size in range(64, len(segment)):
        reader, found = scanned(segment[:size])
        whole = sum(end <= size for end in ends) - 1
        assert len(found) == whole
        assert reader.end_offset == ends[whole]
        if size == ends[whole]:
            assert reader.tail is None
        else:
            assert reader.tail.offset_bytes == ends[whole]
            assert reader.tail.reason


def test_frame_lost_in_zeros_is_torn_when_only_its_start_was_written():
    segment = bytearray(sample_segment(4096))
    _, frames = scanned(bytes(segment))
    last = frames[-1]
    segment[last.offset + 64 :] = bytes(len(segment) - last.offset - 64)
    reader, found = scanned(bytes(segment))
    assert len(found) == 2
    assert reader.tail.reason == "the checksum does not match"


def test_any_changed_byte_of_a_frame_ends_the_scan_before_it():
    segment = sample_segment()
    _, frames = scanned(segment)
    last = frames[-1]
    for place in range(last.offset, last.offset + last.nbytes):
        damaged = bytearray(segment)
        damaged[place] ^= 0x40
        reader, found = scanned(bytes(damaged))
        assert len(found) == 2, place
        assert reader.tail is not None
        with pytest.raises(FrameCorruptError):
            reader.frame(last.offset)


def test_position_that_does_not_rise_ends_the_scan():
    frame = frame_bytes(FrameKind.CATALOG, [], 5, b"x")
    reader, found = scanned(HEAD + frame + frame)
    assert len(found) == 1
    assert "position" in reader.tail.reason


def test_scan_goes_on_from_an_offset_and_stops_at_an_end():
    segment = sample_segment()
    reader, frames = scanned(segment)
    assert [f.position for f in reader.scan(frames[1].offset)] == [11, 12]
    assert [f.position for f in reader.scan(end=frames[1].offset)] == [10]
    assert reader.tail is None
    assert [f.position for f in SegmentReader(segment, end=frames[2].offset).scan()] == [10, 11]


@pytest.mark.parametrize("offset", [0, 65, 1 << 40, -64])
def test_offset_where_no_frame_can_start_is_a_mistake_of_the_caller(offset):
    reader = SegmentReader(sample_segment())
    with pytest.raises(ValueError, match="no frame can start"):
        reader.frame(offset)


def test_frame_is_found_by_its_offset():
    reader, frames = scanned(sample_segment())
    assert reader.frame(frames[1].offset).position == 11
    with pytest.raises(FrameCorruptError, match="no frame starts here"):
        reader.frame(frames[1].offset + 64)


def test_tables_keep_the_mapped_file_alive(tmp_path):
    path = tmp_path / "x.wal"
    path.write_bytes(sample_segment())
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    alive = weakref.ref(mapped)
    table = next(SegmentReader(mapped).scan()).sections[0].batch["m"]
    with pytest.raises(BufferError):
        mapped.close()
    del mapped
    gc.collect()
    assert table.rows() == batch_of()["m"].rows()
    del table
    gc.collect()
    assert alive() is None


def test_arrow_sees_the_mapped_columns():
    pyarrow = pytest.importorskip("pyarrow")
    table = next(SegmentReader(sample_segment()).scan()).sections[0].batch["m"]
    found = pyarrow.record_batch(table)
    found.validate(full=True)
    assert found.equals(pyarrow.record_batch(batch_of()["m"]))


def test_segment_of_another_version_is_refused():
    segment = bytearray(sample_segment())
    struct.pack_into("<I", segment, 8, 2)
    with pytest.raises(FormatVersionError) as caught:
        SegmentReader(segment)
    assert (caught.value.found, caught.value.supported) == (2, 1)


def test_payload_of_another_version_is_refused():
    segment = bytearray(sample_segment())
    struct.pack_into("<H", segment, 128, 2)
    with_matching_checksum(segment, 64)
    reader = SegmentReader(segment)
    with pytest.raises(FormatVersionError):
        list(reader.scan())


@pytest.mark.parametrize("size", [0, 1, 63])
def test_cut_off_segment_header_is_corrupt(size):
    with pytest.raises(FrameCorruptError, match="cut off"):
        SegmentReader(sample_segment()[:size])


def test_any_changed_byte_of_the_segment_header_is_noticed():
    for place in range(64):
        damaged = bytearray(HEAD)
        damaged[place] ^= 1
        with pytest.raises((FrameCorruptError, FormatVersionError)):
            SegmentReader(damaged)


@pytest.mark.parametrize("node_id", ["", "x" * 33, "a\0b"])
def test_node_id_that_the_header_cannot_hold_is_refused(node_id):
    with pytest.raises(ValueError, match="node id"):
        SegmentWriter(first_position=1, node_id=node_id, created_ns=0)


def test_section_without_database_is_refused():
    with pytest.raises(ValueError, match="database"):
        encode_frame(FrameKind.WRITE, [Section("", batch_of())])


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="4"):
        encode_frame(4, [])


def test_decoding_does_not_copy_rows():
    rows = "".join(f"m,t=x v={number} {number}\n" for number in range(20_000))
    segment = HEAD + frame_bytes(FrameKind.WRITE, [Section("db", batch_of(rows))], 1)
    frame = SegmentReader(segment).frame(64, verify=False)
    pyarrow = pytest.importorskip("pyarrow")
    column = pyarrow.record_batch(frame.sections[0].batch["m"]).column(1)
    view = memoryview(segment)
    start = pyarrow.py_buffer(view).address
    assert start <= column.buffers()[1].address < start + len(segment)


def test_sample_body_covers_every_column_type():
    types = {kind for table in batch_of(BODY).values() for _, kind in table.schema}
    assert len(types) == 7
    assert FIRST_POSITION > 1


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b"abc")[3:]])
def test_an_empty_buffer_is_no_segment(empty):
    with pytest.raises(FrameCorruptError):
        SegmentReader(empty)
