"""Frames of the past, read while the log goes on."""

from pathlib import Path

import pytest

from engine.errors import PluginError
from engine.ids import Position
from engine.paths import DataPaths
from engine.plugins.log_history import parse_time
from engine.wal.tail import frames_between
from lp_core import FrameKind, Section, SegmentWriter, encode_frame, parse


def write_segment(paths: DataPaths, positions: list[int]) -> None:
    content = SegmentWriter(first_position=positions[0], node_id="n", created_ns=0).header
    for position in positions:
        batch = parse(f"m f={position}i 1".encode(), precision="ns", now_ns=0).batch
        frame = encode_frame(FrameKind.WRITE, [Section("db", batch)])
        frame.seal(position)
        content += bytes(frame)
    # What is behind the last durable frame must not be looked at.
    paths.segment(positions[0]).write_bytes(content + b"\xff" * 4096)


def test_frames_between_two_positions_over_several_segments(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path, "n")
    paths.wal_dir.mkdir(parents=True)
    write_segment(paths, [1, 2, 3])
    paths.segment(1).write_bytes(paths.segment(1).read_bytes()[:-4096])
    write_segment(paths, [4, 6, 7])

    def read(start: int, end: int) -> list[int]:
        frames = frames_between(paths, Position(start), Position(end))
        return [durable.position for durable in frames]

    assert read(0, 7) == [1, 2, 3, 4, 6, 7]
    assert read(1, 6) == [2, 3, 4, 6]
    assert read(3, 4) == [4]
    assert read(3, 5) == [4]
    assert read(2, 2) == []
    assert read(0, 3) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("0", 0),
        ("-5", -5),
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T01:00:00.000001+01:00", 1_000),
        ("2025-01-31 12:00:00", 1_738_324_800_000_000_000),
    ],
)
def test_times(text: str, time_ns: int) -> None:
    assert parse_time(text) == time_ns


@pytest.mark.parametrize("text", ["", "soon", "1.5", "2025-13-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(PluginError, match="is not a time"):
        parse_time(text)
