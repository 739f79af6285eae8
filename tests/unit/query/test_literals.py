import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import QueryError
from engine.query.literals import Interval, parse_interval, parse_timestamp, value_sql

SECOND = 1_000_000_000
EARLIEST = datetime.datetime(1700, 1, 1)  # noqa: DTZ001 - hypothesis wants them without zone
LATEST = datetime.datetime(2250, 1, 1)  # noqa: DTZ001 - hypothesis wants them without zone
NEW_YEAR = 1_735_689_600 * SECOND


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2025-01-01T00:00:00Z", NEW_YEAR),
        ("2025-01-01T00:00:00", NEW_YEAR),
        ("2025-01-01 00:00:00", NEW_YEAR),
        ("2025-01-01", NEW_YEAR),
        ("2025-01-01T00:00", NEW_YEAR),
        ("2025-01-01T00:00:00+00:00", NEW_YEAR),
        ("2025-01-01T02:00:00+02:00", NEW_YEAR),
        ("2024-12-31T19:00:00-0500", NEW_YEAR),
        ("2025-01-01T00:00:00.123Z", NEW_YEAR + 123_000_000),
        ("2025-01-01T00:00:00.123456789Z", NEW_YEAR + 123_456_789),
        ("2025-01-01 00:00:00.123456+00:00", NEW_YEAR + 123_456_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
    ],
)
def test_every_spelling_of_a_timestamp_is_understood(text, time_ns):
    assert parse_timestamp(text) == time_ns


@pytest.mark.parametrize("text", ["", "now", "2025", "2025-13-01", "2025-01-01T25:00:00", "12:00"])
def test_other_text_is_no_timestamp(text):
    assert parse_timestamp(text) is None


def test_a_timestamp_out_of_range_is_refused():
    with pytest.raises(QueryError, match="outside"):
        parse_timestamp("9999-01-01")


@given(st.datetimes(EARLIEST, LATEST))
def test_timestamps_agree_with_datetime(moment):
    whole = moment.replace(tzinfo=datetime.UTC)
    expected = int(whole.timestamp() // 1) * SECOND + moment.microsecond * 1000
    assert parse_timestamp(moment.isoformat() + "Z") == expected


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("5 minutes", Interval(0, 300 * SECOND)),
        ("1 weeks", Interval(0, 604_800 * SECOND)),
        ("24 hours", Interval(0, 86_400 * SECOND)),
        ("interval 5m", Interval(0, 300 * SECOND)),
        ("1 hour 30 minutes", Interval(0, 5_400 * SECOND)),
        ("1h30m", Interval(0, 5_400 * SECOND)),
        ("1.5 seconds", Interval(0, 1_500_000_000)),
        ("-10 ms", Interval(0, -10_000_000)),
        ("1 year 2 mons", Interval(14, 0)),
        ("1 day 00:05:00", Interval(0, 86_700 * SECOND)),
        ("3 nanoseconds", Interval(0, 3)),
    ],
)
def test_every_spelling_of_an_interval_is_understood(text, interval):
    assert parse_interval(text) == interval


@pytest.mark.parametrize("text", ["", "5", "minutes", "5 parsecs", "0.5 months", "5 m;"])
def test_other_text_is_no_interval(text):
    assert parse_interval(text) is None


def test_values_are_written_so_that_they_cannot_end_early():
    assert value_sql("it's") == "'it''s'"
    assert value_sql(True) == "TRUE"
    assert value_sql(None) == "NULL"
    assert value_sql(-3) == "-3"


@pytest.mark.parametrize("value", ["a\x00b", [1], {"a": 1}, object()])
def test_values_that_sql_cannot_hold_are_refused(value):
    with pytest.raises(QueryError):
        value_sql(value)
