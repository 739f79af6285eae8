# The promise of LineBuilder: whatever it does not refuse is one line that parses back.
import math
import struct

import pytest
from hypothesis import example, given
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


# Few keys, so that some come again, each time as another object; values with and without escapes.
few_keys = st.sampled_from(["a", "b", "c\\d", "e" * 120, "é"]).map(lambda key: "".join(list(key)))
tag_values = st.sampled_from(["x", "x y", "a,b=c", "\\\\ \\,z", "日本", "v" * 40, ",a=1i"])
field_values = st.sampled_from(['",b="', "x\\", "é", ",c\\d=", "plain text of some length"])
steps = st.one_of(
    st.tuples(st.just("tag"), few_keys, tag_values),
    st.tuples(st.just("string_field"), few_keys, field_values),
    st.tuples(st.just("int64_field"), few_keys, integers),
    st.tuples(st.just("bool_field"), few_keys, st.booleans()),
)
spelled_by = {
    "string_field": lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"',
    "int64_field": lambda number: f"{number}i",
    "bool_field": lambda truth: "t" if truth else "f",
}


def outcome(builder: LineBuilder) -> str:
    try:
        return builder.build()
    except InfluxDBError as error:
        return repr(error)


@given(st.lists(steps, max_size=8), st.data())
def test_looking_at_a_builder_changes_nothing(calls, data):
    looked_at, left_alone = LineBuilder("m"), LineBuilder("m")
    tags, fields = {}, {}
    look_after = data.draw(st.integers(0, len(calls)))
    for number, (method, key, value) in enumerate(calls):
        getattr(looked_at, method)(key, value)
        getattr(left_alone, method)(key, value)
        if method == "tag":
            tags[key] = value
        else:
            fields[key] = spelled_by[method](value)
        if number == look_after:
            assert list(looked_at.tags.items()) == list(tags.items())
            assert list(looked_at.fields.items()) == list(fields.items())
    assert outcome(looked_at) == outcome(left_alone) == outcome(left_alone)
    assert list(left_alone.tags.items()) == list(tags.items())
    assert list(left_alone.fields.items()) == list(fields.items())
    assert outcome(looked_at) == outcome(left_alone)


def wanted_float(number: float) -> str:
    if number == math.floor(number):
        return "-0.0" if number == 0 and math.copysign(1, number) < 0 else f"{int(number)}.0"
    return repr(number)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e6, 1e6))
@example(5e-324)
@example(2.2250738585072014e-308)
@example(-0.0)
@example(0.0001)
@example(9.999999999999999e-05)
@example(9007199254740993.0)
@example(18446744073709551616.0)
@example(1e23)
@example(1.7976931348623157e308)
def test_float_is_written_like_repr_but_for_integral_values(number):
    assert LineBuilder("m").float64_field("f", number).fields["f"] == wanted_float(number)


@pytest.mark.parametrize("significand", [0, 1, 2, 1 << 51, (1 << 52) - 2, (1 << 52) - 1])
def test_floats_at_the_ends_of_each_binade_are_exact(significand):
    line = LineBuilder("m")
    for exponent in range(2047):
        (number,) = struct.unpack("<d", struct.pack("<Q", exponent << 52 | significand))
        line.float64_field(f"f{exponent}", number)
    for exponent, text in enumerate(line.fields.values()):
        (number,) = struct.unpack("<d", struct.pack("<Q", exponent << 52 | significand))
        assert text == wanted_float(number)
