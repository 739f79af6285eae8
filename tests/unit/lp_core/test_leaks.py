# Whatever is made again and again goes back to the last byte: counted, not guessed from the size
# of the process. Under the sanitizers the same tests run with their counter.
import ctypes
import os
from pathlib import Path

import pyarrow
import pytest

from lp_core import (
    FormatVersionError,
    FrameCorruptError,
    FrameKind,
    LineBuilder,
    LineProtocolError,
    SchemaIndex,
    Section,
    SegmentReader,
    SegmentWriter,
    _frame,
    encode_frame,
    parse,
)
from tests.support.live_memory import is_countable, is_sanitized, live_memory
from tests.support.segments import batch_of, sample_segment

pytestmark = pytest.mark.skipif(not is_countable, reason="neither mallinfo2 nor a sanitizer here")

ROWS = 200
CLEAN = "".join(
    f'm{row % 3},host=h{row % 50},t=x f={row}.5,i={row}i,s="text {row}",b=t {row}\n'
    for row in range(ROWS)
).encode()
DIRTY = CLEAN + b'bad line\nm0,host=a f=1i,f=2i 1\nm1 f="open\n' * 20
SEGMENT = sample_segment()


def parse_clean():
    parse(CLEAN, precision="ns", now_ns=0)


def parse_dirty():
    assert parse(DIRTY, precision="ns", now_ns=0).errors


def parse_refused():
    for body in (DIRTY, b"m f=\xff 1", CLEAN + b"m0 f=t"):
        with pytest.raises(LineProtocolError):
            parse(body, precision="ns", now_ns=0, accept_partial=False)


def parse_against_a_schema():
    schema = SchemaIndex()
    schema.apply(batch_of("m0,host=a f=1 1\n"))
    parse(CLEAN, precision="ns", now_ns=0, schema=schema)


def make_rows():
    for table in parse(CLEAN, precision="ns", now_ns=0).batch.values():
        assert table.rows()


def export_to_arrow():
    for table in parse(CLEAN, precision="ns", now_ns=0).batch.values():
        # A column that outlives its table keeps the memory of the parse, until it goes, too.
        column = pyarrow.record_batch(table).column(0)
        assert len(column)
        table.__arrow_c_array__()
        table.__arrow_c_schema__()


def encode_and_decode():
    batch = parse(CLEAN, precision="ns", now_ns=0).batch
    frame = encode_frame(FrameKind.WRITE, [Section("db", batch, "origin")], b"control")
    frame.seal(1)
    header = SegmentWriter(first_position=1, node_id="n", created_ns=0).header
    for found in SegmentReader(header + bytes(frame)).scan():
        assert found.sections[0].batch


def encode_what_is_refused():
    with pytest.raises(ValueError, match="database"):
        encode_frame(FrameKind.WRITE, [Section("db", batch_of()), Section("", batch_of())])


def read_damaged_segments():
    for place in range(64, 2000, 61):
        damaged = bytearray(SEGMENT)
        damaged[place] ^= 0xFF
        reader = SegmentReader(damaged)
        for offset in (64, 128):
            for verify in (True, False):
                try:
                    assert reader.frame(offset, verify=verify).sections is not None
                except (FrameCorruptError, FormatVersionError):
                    continue


def build_lines():
    builder = LineBuilder("m").tag("host", "a b").string_field("s", 'x"y').int64_field("i", 5)
    assert builder.float64_field("f", 0.1).bool_field("b", 1).time_ns(5).build()


@pytest.mark.parametrize(
    "work",
    [
        parse_clean,
        parse_dirty,
        parse_refused,
        parse_against_a_schema,
        make_rows,
        export_to_arrow,
        encode_and_decode,
        encode_what_is_refused,
        read_damaged_segments,
        build_lines,
    ],
    ids=lambda work: work.__name__,
)
def test_nothing_stays_behind(work):
    rounds = 60
    growth = []
    # The first rounds fill caches that stay: of Python, pyarrow and the C library.
    for _ in range(6):
        before = live_memory()
        for _ in range(rounds):
            work()
        after = live_memory()
        growth.append(tuple(b - a for a, b in zip(before, after, strict=True)))
    leaked_bytes, leaked_blocks = min(growth[1:])
    # One leaked allocation or object a round would be more than this.
    assert leaked_bytes < 8 * rounds, growth
    assert leaked_blocks < rounds // 2, growth


def test_the_count_notices_a_small_leak():
    malloc = ctypes.CDLL(None).malloc
    before, _ = live_memory()
    for _ in range(60):
        malloc(ctypes.c_size_t(24))
    assert live_memory()[0] - before >= 60 * 24


@pytest.mark.skipif(not is_sanitized, reason="not a sanitizer build")
def test_the_sanitizer_watches_buffers_that_lie_in_the_pool():
    is_poisoned = ctypes.CDLL(None).__asan_address_is_poisoned
    frame = encode_frame(FrameKind.CATALOG, [], b"c" * 5000)
    frame.seal(1)
    address = ctypes.c_void_p(pyarrow.py_buffer(frame).address)
    assert not is_poisoned(address)
    del frame
    assert is_poisoned(address)


@pytest.mark.skipif("HEADRACE_SANITIZE" not in os.environ, reason="not run by make sanitize")
def test_make_sanitize_tests_what_it_built():
    assert is_sanitized
    assert b"__asan_" in Path(_frame.__file__).read_bytes()
