# The log before a trigger's time, read while the server goes on.

import asyncio

import pytest

from engine.clock import SystemClock
from engine.errors import PluginError
from engine.ids import Position
from engine.paths import DataPaths
from engine.plugins.log_history import HistoryClosedError, LogHistory
from lp_core import FrameKind, Section, SegmentWriter, encode_frame, parse


def make_history(tmp_path, databases):
    """A log with one row per position; each is written at the second of its position."""
    paths = DataPaths(tmp_path, "n")
    paths.wal_dir.mkdir(parents=True)
    content = SegmentWriter(first_position=1, node_id="n", created_ns=0).header
    for position, database in enumerate(databases, start=1):
        batch = parse(b"m f=1i 1", precision="ns", now_ns=0).batch
        section = Section(database, batch, ingest_time_ns=position * 1_000_000_000)
        frame = encode_frame(FrameKind.WRITE, [section])
        frame.seal(position)
        content += bytes(frame)
    paths.segment(1).write_bytes(content)
    return LogHistory(
        paths,
        SystemClock(),
        durable=lambda: Position(len(databases)),
        created=lambda name: Position(2),
    )


def test_positions_of_points_in_time(tmp_path):
    history = make_history(tmp_path, ["db", "db", "db", "x", "db", "x"])

    def position(start_from):
        start = asyncio.run(history.start_of("db", start_from))
        assert start.past_ns is None
        return start.position

    assert position("now") is None
    assert position("Beginning") == 2
    assert position("1970-01-01T00:00:00Z") == 2
    assert position("1970-01-01T00:00:03Z") == 2
    assert position("1970-01-01T00:00:03.5Z") == 4
    assert position("1970-01-01T00:00:05.1Z") == 6
    with pytest.raises(PluginError, match="lies in the future"):
        position("2999-01-01")


def test_what_the_log_does_not_reach_back_to_is_a_matter_of_the_past(tmp_path):
    history = make_history(tmp_path, ["db", "x", "db", "db", "x"])
    paths = DataPaths(tmp_path, "n")
    # As if the log began behind position 3, where the database is older.
    content = SegmentWriter(first_position=4, node_id="n", created_ns=0).header
    for position, database in ((4, "x"), (5, "db")):
        batch = parse(b"m f=1i 1", precision="ns", now_ns=0).batch
        section = Section(database, batch, ingest_time_ns=position * 1_000_000_000)
        frame = encode_frame(FrameKind.WRITE, [section])
        frame.seal(position)
        content += bytes(frame)
    paths.segment(1).unlink()
    paths.segment(4).write_bytes(content)

    def start(start_from):
        return asyncio.run(history.start_of("db", start_from))

    assert start("beginning") == (None, -(2**63))
    assert start("1970-01-01T00:00:03Z") == (None, 3_000_000_000)
    # What is before the first frame may be of its time: it is not known.
    assert start("1970-01-01T00:00:04Z") == (None, 4_000_000_000)
    # Everything from then on is there, as the frame of another database tells.
    assert start("1970-01-01T00:00:04.5Z") == (4, None)
    assert start("1970-01-01T00:00:06Z") == (5, None)


def test_notes_of_one_database(tmp_path):
    history = make_history(tmp_path, ["db", "db", "x", "db", "db", "db"])
    notes = asyncio.run(history.notes("db", Position(1), Position(5), 10))
    assert [(note.first_position, note.last_position) for note in notes] == [(2, 2), (4, 5)]


def test_a_stop_breaks_off_what_is_read(tmp_path):
    history = make_history(tmp_path, ["db"] * 10)
    history.close()
    with pytest.raises(HistoryClosedError):
        asyncio.run(history.notes("db", Position(0), Position(10), 10))
