# Owns what a statement of InfluxQL gives: series of rows, each under a table's name and tags; and
# how large that may become, since rows are Python objects here.
"""Results of InfluxQL statements."""

from collections.abc import Iterable
from typing import Any

import msgspec

from engine.errors import QueryResourceError
from engine.influxql.tree import Limits

# Values of one request. Each takes some fifty bytes until it is written.
CELLS_MAX = 5_000_000


class Series(msgspec.Struct):
    """Rows of one table with the same values of the grouped tags."""

    name: str
    columns: list[str]
    values: list[list[Any]]
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    # Whether the first column is a time in nanoseconds.
    has_time: bool = False
    # In which these times are shown; empty for UTC.
    zone: str = ""


class StatementResult(msgspec.Struct):
    """The series of one statement, or why there are none."""

    series: list[Series] = msgspec.field(default_factory=list)
    error: str = ""


def limited(all_series: list[Series], limits: Limits) -> list[Series]:
    """Those series that SLIMIT and SOFFSET leave."""
    end = None if limits.series is None else limits.series_skipped + limits.series
    return all_series[limits.series_skipped : end]


def num_cells(all_series: Iterable[Series]) -> int:
    """How many values `all_series` have."""
    return sum(len(series.values) * len(series.columns) for series in all_series)


def check_cells(count: int) -> None:
    """Refuse an answer of `count` values if that is too many.

    Raises:
        QueryResourceError: It is.
    """
    if count > CELLS_MAX:
        raise QueryResourceError(
            f"the answer needs more than {CELLS_MAX} values",
            hint="ask for a shorter time range, fewer columns or LIMIT, or ask in SQL",
        )
