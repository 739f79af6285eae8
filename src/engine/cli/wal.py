# Owns `headrace wal dump`: what a log segment holds, for people.
"""Look at log files."""

import argparse
import json
import mmap
from pathlib import Path

import msgspec

from engine.errors import ConfigError, EngineError


class DamagedSegmentError(EngineError):
    """A segment ends in bytes that are no frame."""

    code = "damaged_segment"


def dump(namespace: argparse.Namespace) -> None:
    """Print one line per frame, and one per table (and row) in it.

    Raises:
        EngineError: The file is no segment, or ends with a torn frame.
    """
    from lp_core import FrameKind, LpCoreError, SegmentReader

    path = Path(namespace.file)
    if path.stat().st_size == 0:
        raise ConfigError(f"{path}: the file is empty")
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        reader = SegmentReader(content)
    except LpCoreError as error:
        raise DamagedSegmentError(f"{path}: {error}") from error
    print(f"segment {path.name} node={reader.node_id} first_position={reader.first_position}")
    frames = 0
    for frame in reader.scan():
        frames += 1
        kind = FrameKind(frame.kind).name.lower()
        print(f"{frame.position} {kind} offset={frame.offset} bytes={frame.nbytes}", end="")
        print(f" {_control(frame.control)}" if frame.control else "")
        for section in frame.sections:
            origin = section.origin or "client"
            print(f"  database={section.database} origin={origin} hops={section.hops}")
            for name, table in section.batch.items():
                columns = ", ".join(f"{column} {kind.name}" for column, kind in table.schema)
                print(f"    table={name} rows={table.num_rows} ({columns})")
                if namespace.rows:
                    for row in table.rows():
                        print(f"      {json.dumps(row, ensure_ascii=False)}")
    print(f"{frames} frames, {reader.end_offset} bytes")
    if reader.tail is not None:
        raise DamagedSegmentError(f"{path}: {reader.tail}")


def _control(control: bytes) -> str:
    try:
        return json.dumps(msgspec.msgpack.decode(control), default=str)
    except msgspec.DecodeError:
        return f"({len(control)} bytes that are not msgpack)"
