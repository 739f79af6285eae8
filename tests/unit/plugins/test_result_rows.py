# Arrow query results as the dicts of plain scalars that plugins work with.

import datetime
import decimal
import math

import pyarrow as pa

from engine.plugins.result_rows import rows_from_stream


def rows(**columns):
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=2):
            writer.write_batch(batch)
    return rows_from_stream(sink.getvalue().to_pybytes())


def values(column):
    result = [row["c"] for row in rows(c=column)]
    assert all(type(value).__module__ == "builtins" for value in result)
    return result


def test_an_empty_result_is_an_empty_list():
    assert rows(time=pa.array([], pa.timestamp("ns"))) == []


def test_every_column_is_present_in_select_order():
    result = rows(b=pa.array([1, None]), a=pa.array(["x", None]))
    assert result == [{"b": 1, "a": "x"}, {"b": None, "a": None}]
    assert list(result[0]) == ["b", "a"]


def test_timestamps_of_every_unit_are_nanoseconds():
    for unit, factor in (("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1)):
        assert values(pa.array([5, None, -1], pa.timestamp(unit))) == [5 * factor, None, -factor]
        assert values(pa.array([7], pa.timestamp(unit, tz="UTC"))) == [7 * factor]
    assert values(pa.array([2**62], pa.timestamp("ns"))) == [2**62]
    assert values(pa.array([253_402_300_799], pa.timestamp("s"))) == [253_402_300_799 * 10**9]


def test_integers_keep_every_digit_beside_nulls():
    assert values(pa.array([2**63 - 1, None, 3], pa.int64())) == [2**63 - 1, None, 3]
    assert values(pa.array([2**64 - 1, None], pa.uint64())) == [2**64 - 1, None]
    assert values(pa.array([1, 2], pa.int32())) == [1, 2]


def test_floats_keep_nan_apart_from_null():
    result = values(pa.array([1.5, None, math.nan]))
    assert result[:2] == [1.5, None]
    assert math.isnan(result[2])
    assert values(pa.array([0.5], pa.float32())) == [0.5]


def test_booleans_and_text_are_plain():
    assert values(pa.array([True, None, False])) == [True, None, False]
    assert values(pa.array(["é", None, ""])) == ["é", None, ""]
    assert values(pa.array(["x", None], pa.large_string())) == ["x", None]
    assert values(pa.array(["x", None], pa.string_view())) == ["x", None]
    assert values(pa.array(["a", None, "a"]).dictionary_encode()) == ["a", None, "a"]
    assert values(pa.array([b"x"])) == [b"x"]
    assert values(pa.nulls(2)) == [None, None]


def test_decimals_are_ints_when_whole_by_type_or_value():
    sums = pa.array([decimal.Decimal(2**100), None], pa.decimal128(38, 0))
    assert values(sums) == [2**100, None]
    assert values(pa.array([decimal.Decimal("1.50")])) == [1.5]


def test_dates_times_and_nested_values_are_plain():
    assert values(pa.array([datetime.date(2026, 1, 2)])) == ["2026-01-02"]
    assert values(pa.array([datetime.time(1, 2, 3)])) == ["01:02:03"]
    assert values(pa.array([datetime.timedelta(seconds=1)])) == [10**9]
    moment = datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC)
    nested = pa.array([{"t": moment, "l": [decimal.Decimal(1), None]}])
    assert values(nested) == [{"t": 10**9, "l": [1, None]}]
