"""The index of unprocessed frames, against frames of a real segment."""

from pathlib import Path

from engine.ids import Position
from engine.plugins.flush_index import FlushIndex, Interest
from engine.wal.log import DurableFrame
from engine.wal.segment_series import Segment
from lp_core import FrameKind, Section, SegmentReader, SegmentWriter, encode_frame, parse


def write_segment(path: Path, writes: list[tuple[str, str, str, int]]) -> list[DurableFrame]:
    """Frames of (database, line protocol, origin, hops)."""
    writer = SegmentWriter(first_position=1, node_id="n", created_ns=0)
    content = bytes(writer.header)
    for position, (database, lines, origin, hops) in enumerate(writes, 1):
        batch = parse(lines.encode(), precision="ns", now_ns=0).batch
        encoded = encode_frame(
            FrameKind.WRITE, [Section(database, batch, origin=origin, hops=hops)]
        )
        encoded.seal(position)
        content += bytes(encoded)
    path.write_bytes(content)
    segment = Segment(path, len(content))
    assert isinstance(segment.reader, SegmentReader)
    return [DurableFrame(segment, frame) for frame in segment.reader.scan()]


def interest(table: str | None = None, skip: str | None = "trigger:1") -> Interest:
    return Interest(database="db", table=table, skip_origin=skip, hops_max=2)


def test_only_what_concerns_a_trigger_is_selected(tmp_path: Path) -> None:
    index = FlushIndex()
    frames = write_segment(
        tmp_path / "s.wal",
        [
            ("db", "a f=1\nb f=1\n", "", 0),
            ("other", "a f=1\n", "", 0),
            ("db", "b f=1\n", "trigger:1", 1),
            ("db", "b f=1\n", "trigger:2", 2),
            ("db", "c f=1\n", "trigger:2", 1),
        ],
    )
    for frame in frames:
        index.add(frame)
    assert index.flush(Position(5)) == {"db": {"a", "b", "c"}, "other": {"a"}}
    assert index.flush(Position(5)) == {}
    everything = index.select(interest(), Position(0), Position(5), rows_max=100)
    assert [note.first_position for note in everything.notes] == [1, 5]
    assert everything.over_hop_limit == 1
    assert everything.hops == 1
    only_b = index.select(interest("b", None), Position(0), Position(5), rows_max=100)
    assert [note.first_position for note in only_b.notes] == [1, 3]
    assert index.select(interest("z"), Position(0), Position(5), rows_max=100).notes == []


def test_frames_alike_are_one_note_until_they_are_flushed(tmp_path: Path) -> None:
    index = FlushIndex()
    frames = write_segment(tmp_path / "s.wal", [("db", "a f=1\n", "", 0)] * 4)
    for frame in frames[:3]:
        index.add(frame)
    index.flush(Position(3))
    index.add(frames[3])
    index.flush(Position(4))
    selection = index.select(interest(), Position(0), Position(4), rows_max=100)
    assert [(note.first_position, note.last_position) for note in selection.notes] == [
        (1, 3),
        (4, 4),
    ]
    first, second = selection.notes
    assert first.end_offset == second.start_offset
    rest = index.select(interest(), Position(3), Position(4), rows_max=100)
    assert [note.num_rows for note in rest.notes] == [1]


def test_the_row_limit_cuts_between_frames(tmp_path: Path) -> None:
    index = FlushIndex()
    for position, frame in enumerate(
        write_segment(tmp_path / "s.wal", [("db", "a f=1\n", "", 0)] * 5), 1
    ):
        index.add(frame)
        index.flush(Position(position))
    selection = index.select(interest(), Position(0), Position(5), rows_max=2)
    assert (selection.start, selection.end, len(selection.notes)) == (0, 2, 2)
    selection = index.select(interest(), Position(2), Position(5), rows_max=100)
    assert (selection.start, selection.end, len(selection.notes)) == (2, 5, 3)


def test_passed_notes_are_dropped(tmp_path: Path) -> None:
    index = FlushIndex()
    for position, frame in enumerate(
        write_segment(tmp_path / "s.wal", [("db", "a f=1\n", "", 0)] * 3), 1
    ):
        index.add(frame)
        index.flush(Position(position))
    index.prune({"other": Position(3), "db": Position(2)}, Position(3))
    assert len(index.select(interest(), Position(0), Position(3), rows_max=9).notes) == 1
    index.prune({}, Position(3))
    assert index.select(interest(), Position(0), Position(3), rows_max=9).notes == []
    index.forget_database("db")
    assert index.select(interest(), Position(0), Position(3), rows_max=9).notes == []
