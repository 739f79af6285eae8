# The fast parser gives what the slow, obvious one gives: same rows, same types, same refusals.
import random
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lp_core import ColumnType, parse
from lp_core.errors import LineProtocolError
from tests.support import reference_parser
from tests.support.line_strategies import (
    PRECISIONS,
    bodies,
    damaged_bodies,
    repetitive_bodies,
    soups,
)
from tests.support.simd import SIMD_PATHS, simd_path
from tests.support.vectors import body_of, load_vectors

NOW_NS = 1_700_000_000_123_456_789
COLUMN_TYPES = {
    "tag": ColumnType.TAG,
    "int": ColumnType.INT64,
    "uint": ColumnType.UINT64,
    "float": ColumnType.FLOAT64,
    "string": ColumnType.STRING,
    "bool": ColumnType.BOOL,
}


def exact(value: Any) -> tuple[str, Any]:
    """Tell apart what compares equal: True and 1, 0.0 and -0.0."""
    bits = struct.pack("<d", value) if isinstance(value, float) else value
    return type(value).__name__, bits


def wanted_tables(result: reference_parser.Result, precision: str) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for point in result.points:
        columns, rows = tables.setdefault(point.measurement, ({}, []))
        row: dict[str, Any] = {}
        for key, value in point.tags:
            columns.setdefault(key, ColumnType.TAG)
            row[key] = exact(value)
        for key, kind, value in point.fields:
            columns.setdefault(key, COLUMN_TYPES[kind])
            row[key] = exact(value)
        time = (
            reference_parser.truncate_time(NOW_NS, precision) if point.time is None else point.time
        )
        row["time"] = exact(time)
        rows.append(row)
    return {
        name: ([*columns.items(), ("time", ColumnType.TIME)], rows)
        for name, (columns, rows) in tables.items()
    }


def found_tables(batch: Any) -> dict[str, Any]:
    return {
        name: (
            list(table.schema),
            [{key: exact(value) for key, value in row.items()} for row in table.rows()],
        )
        for name, table in batch.items()
    }


def compare(body: bytes, precision: str) -> None:
    for path in SIMD_PATHS:
        with simd_path(path):
            compare_on_path(body, precision)


def compare_on_path(body: bytes, precision: str) -> None:
    wanted = reference_parser.parse(body, precision)
    if wanted.errors and wanted.errors[0].line == 0:
        with pytest.raises(LineProtocolError) as caught:
            parse(body, precision=precision, now_ns=NOW_NS)
        assert (caught.value.line_number, caught.value.code) == (0, "utf8")
        return
    found = parse(body, precision=precision, now_ns=NOW_NS)
    assert [(error.line_number, error.code) for error in found.errors] == [
        (error.line, error.why) for error in wanted.errors
    ]
    tables = wanted_tables(wanted, precision)
    assert found_tables(found.batch) == tables
    assert list(found.batch) == list(tables)
    for name, table in found.batch.items():
        times = [row["time"][1] for row in tables[name][1]]
        assert (table.num_rows, table.min_time_ns, table.max_time_ns) == (
            len(times),
            min(times),
            max(times),
        )


@given(bodies(), st.sampled_from(PRECISIONS))
@example(b"m f=1 -9223372036854775807\nm f=1", "auto")
def test_bodies_from_clean_to_broken_parse_alike(body, precision):
    compare(body, precision)


@given(soups, st.sampled_from(PRECISIONS))
@example(b'# x="\n\r\n"\nm f=1', "ns")
@example(b"# c\\\r\nm f=1 5 \r\n\r\n", "ns")
@example(b"m\\\nx f=1\\\nm f=2", "ns")
def test_token_soups_parse_alike(body, precision):
    compare(body, precision)


@given(damaged_bodies(), st.sampled_from(PRECISIONS))
def test_damaged_bodies_parse_alike(body, precision):
    compare(body, precision)


@given(st.lists(bodies(), min_size=2, max_size=5).map(b"\n".join))
def test_larger_bodies_parse_alike(body):
    compare(body, "ns")


def test_series_with_tags_of_their_own_parse_alike():
    rng = random.Random(1)
    lines = []
    for line in range(60):
        tags = rng.sample(range(40), rng.randrange(8))
        pairs = "".join(f",t{number}=v{rng.randrange(3)}" for number in tags)
        lines.append(f"m{pairs} f={line}i {line}\n")
    compare("".join(lines + lines).encode() + TAIL, "ns")


def test_short_lines_of_series_with_wide_shapes_parse_alike():
    wide = [f"m,x={name} " + ",".join(f"{name}{n}=1" for n in range(50)) for name in "ab"]
    text = "".join(f"{line} 1\n" for line in wide)
    text += "m,x=a a0=z\nm,x=b b0=2 2\nm,x=b b0=z\nm,x=a a0=3 3\n" * 5
    compare((text + "".join(f"{line} 4\n" for line in wide)).encode() + TAIL, "ns")


def test_tag_values_that_come_alone_and_with_other_tags_parse_alike():
    rng = random.Random(2)
    spellings = ["v{}", "v\\ {}", "v\\\\{}", "v\\{}", "v{},b=v0", "v{},b=w"]
    for likely in spellings:
        lines = []
        for line in range(80):
            spelling = likely if rng.random() < 0.9 else rng.choice(spellings)
            lines.append(f"m,a={spelling.format(rng.randrange(40))} f={line}i {line}\n")
        compare("".join(lines).encode() + TAIL, "ns")


def test_columns_of_refused_lines_that_come_again_parse_alike():
    rng = random.Random(3)
    lines = ["m f0=0 0\n"]
    for line in range(60):
        fields = [f"f{number}=1" for number in rng.sample(range(200), rng.randrange(1, 30))]
        if rng.random() < 0.7:
            fields.append(fields[0])
        lines.append(f"m {','.join(fields)} {line}\n")
    compare("".join(lines).encode() + TAIL, "ns")


def test_escapes_at_every_place_of_a_string_parse_alike():
    lines = []
    for before in range(140):
        for middle in ('\\"', "\\\\", "\\n", '\\\\\\"'):
            after = "y" * (before * 7 % 70)
            lines.append(f'm s="{"x" * before}{middle}{after}",i={before}i {before}\n')
    compare("".join(lines).encode() + TAIL, "ns")


# Wide loads stay away from the end of a body: what comes last decides how much of it is read by them.
TAIL = b"\n#" + b"x" * 200


@given(repetitive_bodies(), st.sampled_from(PRECISIONS))
def test_lines_like_lines_before_parse_alike(body, precision):
    compare(body, precision)
    compare(body + TAIL, precision)


@pytest.mark.parametrize("precision", ["ns", "auto"])
def test_every_vector_in_repetition_parses_alike(precision):
    for vector in load_vectors("line_protocol.jsonl"):
        body = body_of(vector)
        if len(body) < 10_000:
            compare(b"m,aaaaaaaaaaaaaaaa=b f=1i 1\n" + (body + b"\n") * 4 + TAIL, precision)
