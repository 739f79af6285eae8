# Owns our own answers to the statements of the corpus, and when they are those of InfluxDB.
"""Our answers to InfluxQL."""

import json
import math
from typing import Any

from engine.errors import EngineError
from engine.influxql.engine import InfluxqlEngine
from engine.influxql.parser import parse
from engine.influxql.rendering import Form, json_answer
from engine.influxql.results import StatementResult
from engine.query.executor import QueryConfig, QueryExecutor
from lp_core.enums import ColumnType
from tests.support import influxql_corpus
from tests.unit.query.fakes import FakeCatalog, snapshot

_TYPES = {
    bool: ColumnType.BOOL,
    int: ColumnType.INT64,
    float: ColumnType.FLOAT64,
    str: ColumnType.STRING,
}
_NOW_NS = 1_800_000_000 * 10**9


def engine() -> InfluxqlEngine:
    """An engine over the rows of the corpus."""
    columns: dict[str, dict[str, ColumnType]] = {}
    rows: dict[str, list[dict[str, object]]] = {}
    for table, tags, fields, at_s in influxql_corpus.rows():
        known = columns.setdefault(table, {})
        known |= dict.fromkeys(tags, ColumnType.TAG)
        known |= {name: _TYPES[type(value)] for name, value in fields.items()}
        rows.setdefault(table, []).append({**tags, **fields, "time": at_s * 10**9})
    tables = (snapshot(name, known, rows[name]) for name, known in columns.items())
    catalog = FakeCatalog(*tables)
    return InfluxqlEngine(
        QueryExecutor(QueryConfig(threads=1, timeout_ms=0), catalog), catalog, lambda: _NOW_NS
    )


def ask(influxql: InfluxqlEngine, text: str) -> list[dict[str, Any]]:
    """The results of the statements in `text`, as a client of version 1 reads them."""
    results = []
    try:
        for statement in parse(text):
            series = influxql.series(statement, "db", "")
            results.append(StatementResult(series))
    except EngineError as error:
        results.append(StatementResult(error=error.message))
    answer: dict[str, Any] = json.loads(json_answer(results, Form()))
    found: list[dict[str, Any]] = answer["results"]
    return found


def is_same(mine: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Whether two lists of results say the same: errors in any words, floats nearly."""
    if any("error" in result for result in (*mine, *other)):
        return any("error" in one for one in mine) and any("error" in one for one in other)
    return _is_near(mine, other)


def _is_near(mine: Any, other: Any) -> bool:
    match mine, other:
        case dict(), dict():
            return mine.keys() == other.keys() and all(
                _is_near(value, other[name]) for name, value in mine.items()
            )
        case list(), list():
            return len(mine) == len(other) and all(map(_is_near, mine, other))
        case bool(), bool():
            return mine is other
        case int() | float(), int() | float():
            return math.isclose(mine, other, rel_tol=1e-9, abs_tol=1e-9)
        case _:
            return bool(mine == other)
