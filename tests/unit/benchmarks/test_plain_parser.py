# The yardstick of the benchmarks reads what lp_core reads; else a ratio between the two says nothing.
import struct

import pyarrow as pa
import pytest

from benchmarks.inputs import SHAPES, body, dirty, rows
from benchmarks.plain.library import PlainParser, is_available
from lp_core import parse

pytestmark = pytest.mark.skipif(not is_available(), reason="there is no C compiler")

LINES = 1_500


@pytest.fixture(scope="module")
def plain():
    return PlainParser()


def checksum(value):
    """As `checksum_of_cell` of the C parser has it."""
    match value:
        case bool():
            return int(value)
        case int():
            return value
        case float():
            return struct.unpack("<Q", struct.pack("<d", value))[0]
        case str():
            return 1 + sum(place * byte for place, byte in enumerate(value.encode(), 1))


def column_sums(result):
    sums = {}
    for name, table in result.batch.items():
        batch = pa.record_batch(table)
        for column in batch.schema.names:
            values = batch[column]
            if pa.types.is_timestamp(values.type):
                values = values.cast(pa.int64())
            present = [value for value in values.to_pylist() if value is not None]
            sums[name, column] = sum(map(checksum, present)) % 2**64, len(present)
    return sums


@pytest.mark.parametrize("spoil", [False, True], ids=["clean", "dirty"])
@pytest.mark.parametrize("shape", [*SHAPES, "logs_utf8"])
def test_it_finds_the_rows_and_values_that_lp_core_finds(plain, shape, spoil):
    text = body(shape, LINES)
    if spoil:
        text = dirty(text, share=0.1)
    expected = parse(text, precision="ns", now_ns=0)
    found = plain.parse(text)
    assert found.num_rows == expected.batch.num_rows
    assert found.num_errors == expected.num_errors == (LINES // 10 if spoil else 0)
    sums = column_sums(expected)
    assert {key: found.column_sum(*key) for key in sums} == sums
    assert found.column_sum("no such table", "time") is None


@pytest.mark.parametrize(
    "line",
    [
        b"m,t\\ a=b\\,c f\\==1i 1\n",
        b'm s="a\\\\b\\"c\\n" 1\n',
        b"m,a=b,c=d i=-9223372036854775808i,u=18446744073709551615u,b=true,c2=F -5\n",
        b"m a=1e3,b=-1.5E-7,c=12345678901234567890.5,d=0.1234567890123456789,e=5e-324,g=1e23 1\n",
        b"m a=1i 1\n\n# a comment, x=1\nm b=2i 2\nm a=3i,b=4i 3",
        b"m f=9223372036854775808i 1\nm f=1i 1\n",
        b"m f=1,,g=2 1\nm f=1.,g=2 1\nm,=a f=1 1\nm f= 1\nm f=1 1\n",
    ],
)
def test_it_knows_the_forms_of_the_language(plain, line):
    expected = parse(line, precision="ns", now_ns=0)
    found = plain.parse(line)
    assert expected.batch.num_rows
    assert (found.num_rows, found.num_errors) == (expected.batch.num_rows, expected.num_errors)
    sums = column_sums(expected)
    assert {key: found.column_sum(*key) for key in sums} == sums


@pytest.mark.parametrize("shape", SHAPES)
def test_inputs_are_the_same_in_every_run(shape):
    assert body(shape, 50) == body(shape, 50) != body(shape, 50, seed=2)
    assert len(list(rows(shape, 50))) == 50
