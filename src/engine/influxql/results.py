# Owns what a statement of InfluxQL gives: series of rows, each under a table's name and tags.
"""Results of InfluxQL statements."""

from typing import Any

import msgspec


class Series(msgspec.Struct):
    """Rows of one table with the same values of the grouped tags."""

    name: str
    columns: list[str]
    values: list[list[Any]]
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    # Whether the first column is a time in nanoseconds.
    has_time: bool = False


class StatementResult(msgspec.Struct):
    """The series of one statement, or why there are none."""

    series: list[Series] = msgspec.field(default_factory=list)
    error: str = ""
