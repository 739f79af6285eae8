# The promise of build_lines: what was parsed is written so that it parses to the same rows again.
import math
import struct

import numpy
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lp_core import LineBuilder, TableBatch, WriteBatch, build_lines, parse
from tests.support.line_strategies import bodies, soups


def exact(value: object) -> object:
    return struct.pack("<d", value) if isinstance(value, float) else value


def rows_of(table: TableBatch) -> list[list[tuple[str, object]]]:
    return [sorted((key, exact(v)) for key, v in row.items()) for row in table.rows()]


def contents(batch: WriteBatch) -> object:
    return {
        name: (sorted(table.schema, key=lambda column: column[0]), rows_of(table))
        for name, table in batch.items()
    }


def has_infinity(batch: WriteBatch) -> bool:
    return any(
        isinstance(value, float) and not math.isfinite(value)
        for table in batch.values()
        for row in table.rows()
        for value in row.values()
    )


@given(bodies() | soups, st.booleans())
def test_written_batch_parses_to_the_same_rows(body, through_arrow):
    batch = parse(body, precision="ns", now_ns=7).batch
    if has_infinity(batch):
        with pytest.raises(ValueError, match="must be finite"):
            build_lines(batch)
        return
    if through_arrow and "\0" not in str([table.schema for table in batch.values()]):
        written = b"".join(
            build_lines(pyarrow.record_batch(table), measurement=name)
            for name, table in batch.items()
        )
    else:
        written = build_lines(batch)
    again = parse(written, precision="ns", now_ns=99)
    assert not again.errors
    assert contents(again.batch) == contents(batch)
    assert build_lines(again.batch) == written


texts = st.text(st.sampled_from('ab ,=\\"é\n'), max_size=20)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"t": st.integers(-(1 << 63), (1 << 63) - 1)},
            optional={
                "i": st.integers(-(1 << 63), (1 << 63) - 1),
                "u": st.integers(0, (1 << 64) - 1),
                "f": st.floats(allow_nan=False, allow_infinity=False),
                "s": texts,
                "b": st.booleans(),
                "tag": st.text(st.sampled_from("ab ,=é"), min_size=1, max_size=20),
            },
        ).filter(lambda row: row.keys() & {"i", "u", "f", "s", "b"}),
        max_size=10,
    ),
    st.integers(0, 3),
)
def test_lines_are_those_of_line_builder(rows, skipped):
    schema = pyarrow.schema(
        [("tag", pyarrow.dictionary(pyarrow.int16(), pyarrow.utf8())), ("i", pyarrow.int64()),
         ("u", pyarrow.uint64()), ("f", pyarrow.float64()), ("s", pyarrow.large_utf8()),
         ("b", pyarrow.bool_()), ("t", pyarrow.int64())]
    )  # fmt: skip
    columns = [
        pyarrow.array([row.get(field.name) for row in rows], field.type.value_type)
        .dictionary_encode()
        .cast(field.type)
        if pyarrow.types.is_dictionary(field.type)
        else pyarrow.array([row.get(field.name) for row in rows], field.type)
        for field in schema
    ]
    table = pyarrow.record_batch(columns, schema=schema).slice(skipped)
    wanted = []
    for row in rows[skipped:]:
        line = LineBuilder("m").time_ns(row["t"])
        if "tag" in row:
            line.tag("tag", row["tag"])
        for key, setter in (("i", line.int64_field), ("u", line.uint64_field),
                            ("f", line.float64_field), ("s", line.string_field),
                            ("b", line.bool_field)):  # fmt: skip
            if key in row:
                setter(key, row[key])
        wanted.append(line.build() + "\n")
    assert build_lines(table, measurement="m", time="t") == "".join(wanted).encode()


def wanted_float(number: float) -> str:
    if number == math.floor(number):
        return "-0.0" if number == 0 and math.copysign(1, number) < 0 else f"{int(number)}.0"
    return repr(number)


@pytest.mark.parametrize("seed", range(3))
def test_floats_of_any_size_are_written_like_repr(seed):
    random = numpy.random.default_rng(seed)
    count = 20_000
    short = random.integers(0, 10**15, count) / 10.0 ** random.integers(0, 12, count)
    numbers = numpy.concatenate(
        [
            random.integers(0, 1 << 64, count, dtype=numpy.uint64).view(numpy.float64),
            random.random(count) * 10.0 ** random.integers(-20, 20, count),
            random.integers(0, 1 << 53, count, dtype=numpy.uint64).view(numpy.float64),
            short,
            numpy.nextafter(short, 0),
            numpy.nextafter(short, numpy.inf),
            numpy.round(random.random(count) * 1_000, 2),
        ]
    )
    numbers = numbers[numpy.isfinite(numbers)]
    written = build_lines(pyarrow.table({"f": numbers}), measurement="m", time=None).decode()
    wanted = [f"m f={wanted_float(number)}" for number in numbers.tolist()]
    assert written.splitlines() == wanted
