"""The index of unprocessed frames, against frames of a real segment."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.catalog.changes import CatalogChange, DeleteTable, HideTable, encode_change
from engine.catalog.model import Deleted
from engine.ids import DatabaseId, Position
from engine.plugins.flush_index import FlushIndex, Interest
from engine.wal.log import DurableFrame
from engine.wal.segment_series import Segment
from lp_core import FrameKind, Section, SegmentReader, SegmentWriter, encode_frame, parse

Write = tuple[str, str, str, int]


def write_segment(path: Path, writes: Sequence[Write | CatalogChange]) -> list[DurableFrame]:
    """Frames of (database, line protocol, origin, hops), and of changes."""
    writer = SegmentWriter(first_position=1, node_id="n", created_ns=0)
    content = bytes(writer.header)
    for position, write in enumerate(writes, 1):
        if isinstance(write, tuple):
            database, lines, origin, hops = write
            batch = parse(lines.encode(), precision="ns", now_ns=0).batch
            section = Section(database, batch, origin=origin, hops=hops)
            encoded = encode_frame(FrameKind.WRITE, [section])
        else:
            encoded = encode_frame(FrameKind.CATALOG, [], encode_change(write))
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


@pytest.mark.parametrize("is_hard", [True, False])
def test_rows_on_both_sides_of_a_tables_deletion_are_not_taken_together(
    tmp_path: Path, is_hard: bool
) -> None:
    deletion: CatalogChange = DeleteTable(DatabaseId(1), "db", "a")
    if not is_hard:
        hidden = Deleted(
            id=DatabaseId(1),
            name="a-1",
            database="db",
            table="a",
            deleted_ns=1,
            hard_delete_ns=None,
        )
        deletion = HideTable(DatabaseId(1), hidden)
    index = FlushIndex()
    frames = write_segment(
        tmp_path / "s.wal",
        [
            ("db", "a f=1\n", "", 0),
            ("db", "a f=1\n", "", 0),
            deletion,
            ("other", "a f=1\n", "", 0),
            # Of another trigger's interest: what follows it is behind the deletion all the same.
            ("db", "b f=1\n", "", 0),
            ("db", 'a f="x"\n', "", 0),
            ("db", 'a f="x"\n', "", 0),
        ],
    )
    for frame in frames:
        index.add(frame)
    index.flush(Position(7))
    ranges = []
    start = Position(0)
    while start < 7:
        selection = index.select(interest("a"), start, Position(7), rows_max=100)
        ranges.append((selection.end, sum(note.num_rows for note in selection.notes)))
        start = selection.end
    assert ranges == [(2, 2), (7, 2)]
    other = Interest(database="other", table=None, skip_origin=None, hops_max=2)
    assert index.select(other, Position(0), Position(7), rows_max=100).end == 7
