"""Spelling of retention periods."""

import pytest

from engine.catalog.retention import parse_retention, retention_text
from engine.errors import RequestError

SECOND = 1_000_000_000
DAY = 86_400 * SECOND


@pytest.mark.parametrize(
    ("text", "period_ns"),
    [
        ("30d", 30 * DAY),
        ("1h 30m", 5_400 * SECOND),
        ("1h30m", 5_400 * SECOND),
        ("2weeks", 14 * DAY),
        (" 7 days ", 7 * DAY),
        ("1y", 31_557_600 * SECOND),
        ("1month", 2_630_016 * SECOND),
        ("1M", 2_630_016 * SECOND),
        ("1s", SECOND),
    ],
)
def test_periods(text: str, period_ns: int) -> None:
    assert parse_retention(text) == period_ns


@pytest.mark.parametrize("text", ["", "soon", "5", "d", "0s", "-1d", "1d x", "300y", "1.5d", "٣d"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is not a retention period"):
        parse_retention(text)


def test_texts() -> None:
    assert retention_text(None) == "infinite"
    assert retention_text(30 * DAY) == "30d"
    assert retention_text(DAY + 3_661 * SECOND) == "1d 1h 1m 1s"
