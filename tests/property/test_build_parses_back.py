# The promise of LineBuilder: whatever it does not refuse is one line that parses back.
import math
import struct

from hypothesis import given
from hypothesis import strategies as st

from lp_core._build import LineBuilder
from lp_core.errors import InfluxDBError
from tests.support import reference_parser

hostile_text = st.text(
    st.one_of(st.sampled_from(" ,=\\\"\n\r\t\0#it5'"), st.characters(codec="utf-8")), max_size=8
)
integers = st.integers(-(1 << 63), (1 << 63) - 1)
fields = st.one_of(
    st.tuples(st.just("int64_field"), hostile_text, integers),
    st.tuples(st.just("uint64_field"), hostile_text, st.integers(0, (1 << 64) - 1)),
    st.tuples(st.just("float64_field"), hostile_text, st.floats(allow_nan=False)),
    st.tuples(st.just("string_field"), hostile_text, hostile_text),
    st.tuples(st.just("bool_field"), hostile_text, st.booleans()),
)
tags = st.tuples(st.just("tag"), hostile_text, hostile_text)
KINDS = {
    "int64_field": "int",
    "uint64_field": "uint",
    "float64_field": "float",
    "string_field": "string",
    "bool_field": "bool",
}


def exact(value: object) -> object:
    return struct.pack("<d", value) if isinstance(value, float) else value


@given(hostile_text, st.lists(st.one_of(tags, fields), max_size=6), st.none() | integers)
def test_built_line_parses_back_to_what_was_set(measurement, calls, time):
    wanted_tags: dict[str, str] = {}
    wanted_fields: dict[str, tuple[str, object]] = {}
    try:
        builder = LineBuilder(measurement)
    except InfluxDBError:
        return
    for method, key, value in calls:
        try:
            getattr(builder, method)(key, value)
        except (InfluxDBError, ValueError):
            continue
        if method == "tag":
            wanted_tags[key] = value
        else:
            wanted_fields[key] = (KINDS[method], exact(value))
    builder.time_ns(time)
    try:
        line = builder.build()
    except InfluxDBError:
        assert not wanted_fields or wanted_tags.keys() & wanted_fields.keys()
        return
    result = reference_parser.parse(line.encode())
    assert not result.errors
    (point,) = result.points
    assert (point.measurement, point.time) == (measurement, time)
    assert list(point.tags) == list(wanted_tags.items())
    parsed = [(key, (kind, exact(value))) for key, kind, value in point.fields]
    assert parsed == list(wanted_fields.items())
    assert all(math.isfinite(v) for _, kind, v in point.fields if kind == "float")
