# Rows as JSON beside a slow, obvious writer: every type it writes itself, nulls, slices, dictionaries.
import math

import msgspec
import numpy
import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lp_core._json_rows import foreign_columns, json_rows

INT64 = st.integers(-(2**63), 2**63 - 1)
# The least of them is no time for numpy, nor for Arrow.
TIME = st.integers(1 - 2**63, 2**63 - 1) | st.integers(-(2**40), 2**40).map(lambda us: us * 1000)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
PLAIN = st.floats(1e-4, 1e10, exclude_max=True)
KINDS = {
    "i": (pyarrow.int64(), INT64),
    "u": (pyarrow.uint64(), st.integers(0, 2**64 - 1)),
    "f": (pyarrow.float64(), PLAIN | PLAIN.map(lambda value: -value) | st.just(0.0)),
    "b": (pyarrow.bool_(), st.booleans()),
    "t": (pyarrow.timestamp("ns"), TIME),
    "s": (pyarrow.utf8(), TEXT),
    "l": (pyarrow.large_utf8(), TEXT),
    "d": (pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8()), st.sampled_from(["", "a", 'é"\n'])),
}
KEYS = [f'"{name}":'.encode() for name in KINDS]
ROWS = st.lists(st.tuples(*(values | st.none() for _, values in KINDS.values())), max_size=12)


def spelled(kind, value):
    if kind == "t":
        text = str(numpy.datetime64(value, "ns"))
        for _ in range(3):
            text = text.removesuffix("000") if "." in text else text
        return f'"{text.removesuffix(".")}"'
    if kind == "f":
        return repr(value)
    return msgspec.json.encode(value).decode()


def expected(rows):
    objects = []
    for row in rows:
        members = [
            f'"{name}":{spelled(name, value)}'
            for name, value in zip(KINDS, row, strict=True)
            if value is not None
        ]
        objects.append("{" + ",".join(members) + "}\n")
    return "".join(objects).encode()


def batch_of(rows):
    columns = [
        pyarrow.array([row[number] for row in rows], data_type)
        for number, (data_type, _) in enumerate(KINDS.values())
    ]
    return pyarrow.record_batch(columns, names=list(KINDS))


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(0, 12), st.integers(0, 12))
@example([(-(2**63), 2**64 - 1, -0.0, True, 1 - 2**63, "\x00\x1f\x7f", "", "a")], 0, 1)
@example([(0, 0, 0.1, False, 2**63 - 1, "\\", "\b\f\r\t", None)], 0, 1)
def test_rows_are_those_of_a_slow_writer(rows, start, count):
    batch = batch_of(rows).slice(min(start, len(rows)), count)
    assert foreign_columns(batch) == []
    assert json_rows(batch, KEYS, (), b"\n") == expected(rows[start : start + count])


def test_a_null_of_the_dictionary_is_null():
    texts = pyarrow.array(["a", None, "b"])
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([2, 1, 0], pyarrow.int32()), texts)
    batch = pyarrow.record_batch([column], names=["d"])
    assert json_rows(batch, [b'"d":'], (), b",") == b'{"d":"b"},{},{"d":"a"},'


@pytest.mark.parametrize("value", [1e10, -1e300, 9.9e-5, 5e-324])
def test_floats_with_an_exponent_are_left_to_others(value):
    batch = pyarrow.record_batch([pyarrow.array([1.5, value])], names=["f"])
    assert foreign_columns(batch) == [0]
    assert foreign_columns(batch.slice(0, 1)) == []


def test_floats_that_are_no_numbers_are_null():
    batch = pyarrow.record_batch([pyarrow.array([math.nan, -math.inf])], names=["f"])
    assert foreign_columns(batch) == []
    assert json_rows(batch, [b'"f":'], (), b",") == b'{"f":null},{"f":null},'


def test_other_types_must_be_given():
    spans = pyarrow.array([1, 2], pyarrow.duration("s"))
    batch = pyarrow.record_batch([spans], names=["x"])
    assert foreign_columns(batch) == [0]
    with pytest.raises(TypeError, match="column 0"):
        json_rows(batch, [b'"x":'], (), b",")
    with pytest.raises(TypeError, match="large texts"):
        json_rows(batch, [b'"x":'], (0,), b",")
    ready = pyarrow.record_batch([pyarrow.array(["[1]", "{}"], pyarrow.large_utf8())], names=["x"])
    assert json_rows(ready, [b'"x":'], (0,), b",") == b'{"x":[1]},{"x":{}},'


def test_it_wants_a_key_for_each_column_and_a_batch():
    batch = pyarrow.record_batch([pyarrow.array([1])], names=["x"])
    with pytest.raises(ValueError, match="one key for each"):
        json_rows(batch, [], (), b",")
    with pytest.raises(TypeError, match="record batch"):
        json_rows(pyarrow.array([1]), [b'"x":'], (), b",")
