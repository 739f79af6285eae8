# Owns what must hold for any bytes at all: the parser, the builders and the frame reader. A target
# takes bytes and returns, or raises AssertionError; anything else, a crash above all, is a finding.
"""Fuzz targets."""

import math
import struct
from collections.abc import Callable

from lp_core import (
    FormatVersionError,
    FrameCorruptError,
    FrameKind,
    LineBuilder,
    LineProtocolError,
    SchemaIndex,
    SegmentReader,
    build_lines,
    encode_frame,
    parse,
)
from lp_core.errors import InfluxDBError
from tests.property.test_build_lines_round_trip import contents, has_infinity
from tests.property.test_build_parses_back import KINDS, exact
from tests.property.test_hostile_segments import read_everything
from tests.property.test_parse_against_reference import NOW_NS, TAIL, compare_on_path
from tests.support import reference_parser
from tests.support.segments import sample_segment, with_matching_checksum
from tests.support.simd import SIMD_PATHS, simd_path

PRECISIONS = ("auto", "s", "ms", "us", "ns")
# The reference parser is slow on purpose: longer bodies are parsed without it.
COMPARED_BYTES_MAX = 2048
SEGMENT = sample_segment(128)


class Choices:
    """Reads choices from the front of the fuzzer's bytes; zeros when there are no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, limit: int) -> int:
        size = max(1, (limit - 1).bit_length() + 7 >> 3)
        return int.from_bytes(self.take(size), "little") % limit

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken + bytes(size - len(taken))

    def text(self) -> str:
        """Any text, lone surrogates included."""
        return self.take(self.number(40)).decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        return self._data[self._at :]

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def check_parse(data: bytes) -> None:
    """The parser agrees with the reference, with and without a schema that it filled itself."""
    choices = Choices(data)
    path = SIMD_PATHS[choices.number(256) % len(SIMD_PATHS)]
    precision = PRECISIONS[choices.number(256) % len(PRECISIONS)]
    turn = choices.number(256)
    copies = 1 + turn % 3
    # What the parser learns from a line is used from the next one on.
    body = b"\n".join([choices.rest()] * copies)
    if turn // 3 % 2:
        body += TAIL  # with it also the last lines may be read by wide loads
    with simd_path(path):
        if len(body) <= COMPARED_BYTES_MAX:
            compare_on_path(body, precision)
        try:
            found = parse(body, precision=precision, now_ns=NOW_NS)
        except LineProtocolError as error:
            if error.code != "utf8":
                raise
            return
        schema = SchemaIndex()
        schema.apply(found.batch)
        again = parse(body, precision=precision, now_ns=NOW_NS, schema=schema)
        assert again.num_errors == found.num_errors
        assert contents(again.batch) == contents(found.batch)
        refused = False
        try:
            parse(body, precision=precision, now_ns=NOW_NS, accept_partial=False)
        except LineProtocolError:
            refused = True
        assert refused == bool(found.num_errors)


def check_build(data: bytes) -> None:
    """What LineBuilder or build_lines do not refuse parses back to what went in."""
    choices = Choices(data)
    if choices.number(256) % 2:
        check_line_builder(choices)
    else:
        check_build_lines(choices.rest())


def check_line_builder(choices: Choices) -> None:
    """Sets what the bytes say and looks for it in the line."""
    measurement = choices.text()
    tags: dict[str, str] = {}
    fields: dict[str, tuple[str, object]] = {}
    try:
        builder = LineBuilder(measurement)
    except (InfluxDBError, UnicodeEncodeError):
        return
    while choices and len(tags) + len(fields) < 12:
        method = ("tag", *KINDS)[choices.number(256) % 6]
        key = choices.text()
        value = value_for(method, choices)
        try:
            getattr(builder, method)(key, value)
        except (InfluxDBError, ValueError):
            continue
        if method == "tag":
            tags[key] = str(value)
        else:
            fields[key] = (KINDS[method], exact(value))
    time = struct.unpack("<q", choices.take(8))[0]
    try:
        body = builder.time_ns(time).build().encode()
    except (InfluxDBError, UnicodeEncodeError):
        return
    result = reference_parser.parse(body)
    assert not result.errors, body
    (point,) = result.points
    assert (point.measurement, point.time) == (measurement, time)
    assert dict(point.tags) == tags
    assert {key: (kind, exact(value)) for key, kind, value in point.fields} == fields
    (table,) = parse(body, precision="ns", now_ns=0).batch.values()
    assert (table.name, table.num_rows) == (measurement, 1)


def value_for(method: str, choices: Choices) -> object:
    """A value of the type that the method takes."""
    if method in ("tag", "string_field"):
        return choices.text()
    if method == "bool_field":
        return bool(choices.number(2))
    if method == "float64_field":
        (number,) = struct.unpack("<d", choices.take(8))
        return 0.0 if math.isnan(number) else number
    code = "<q" if method == "int64_field" else "<Q"
    return struct.unpack(code, choices.take(8))[0]


def check_build_lines(body: bytes) -> None:
    """What was parsed is written, and parses to the same rows."""
    try:
        batch = parse(body, precision="ns", now_ns=7).batch
    except LineProtocolError:
        return
    if has_infinity(batch):
        return
    written = build_lines(batch)
    again = parse(written, precision="ns", now_ns=99)
    assert not again.errors, (body, written)
    assert contents(again.batch) == contents(batch)


def check_frames(data: bytes) -> None:
    """No bytes crash the reader, and what it takes for verified can be written and read again."""
    choices = Choices(data)
    mode = choices.number(256)
    if mode % 3 == 0:
        segment = bytearray(SEGMENT[:64] + choices.rest())
    elif mode % 3 == 1:
        segment = edited_segment(choices)
    else:
        segment = bytearray(choices.rest())
    if mode & 0x80:
        for offset in range(64, len(segment) - 63, 64):
            if segment[offset : offset + 4] == SEGMENT[64:68]:
                with_matching_checksum(segment, offset)
    read_everything(segment, verify=False)
    read_everything(segment, verify=True)
    check_written_again(segment)


def edited_segment(choices: Choices) -> bytearray:
    """A valid segment with a few numbers changed, and perhaps cut."""
    segment = bytearray(SEGMENT)
    for _ in range(choices.number(8)):
        place = choices.number(len(segment))
        size = 1 << choices.number(4)
        if choices.number(2):
            place = place // size * size
        segment[place : place + size] = choices.take(size)
    if choices.number(4) == 0:
        del segment[choices.number(len(segment)) :]
    return segment


def check_written_again(segment: bytearray) -> None:
    """Frames that were verified encode to a frame with the same rows."""
    header = SEGMENT[:64]
    try:
        for frame in SegmentReader(segment).scan():
            sections = frame.sections
            if any(not section.database for section in sections):
                continue
            encoded = encode_frame(FrameKind(frame.kind), sections, frame.control)
            encoded.seal(frame.position)
            reader = SegmentReader(header + bytes(encoded))
            again = reader.frame(64).sections
            for wanted, found in zip(sections, again, strict=True):
                assert contents(found.batch) == contents(wanted.batch)
    except (FrameCorruptError, FormatVersionError):
        return


TARGETS: dict[str, Callable[[bytes], None]] = {
    "parse": check_parse,
    "build": check_build,
    "frames": check_frames,
}
