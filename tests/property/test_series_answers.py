# Questions about single series that are answered without DuckDB, over random rows: each answer is
# that which DuckDB gives, with the same types.
import os
import random

import msgspec
import pytest

from engine.query import preparer, views
from engine.query.executor import QueryConfig, QueryExecutor
from lp_core.enums import ColumnType
from tests.support.series_questions import HOSTS, check_both_ways, random_question
from tests.unit.query.fakes import FakeCatalog, snapshot

ROUNDS = int(os.environ.get("HEADRACE_SERIES_ROUNDS", "5"))
QUESTIONS = 40
COLUMNS = {
    "host": ColumnType.TAG,
    "region": ColumnType.TAG,
    "i": ColumnType.INT64,
    "u": ColumnType.UINT64,
    "f": ColumnType.FLOAT64,
    "b": ColumnType.BOOL,
    "s": ColumnType.STRING,
}
# Beyond a day, so that all bins have edges among the rows; some times are before 1970.
LOW_NS, HIGH_NS = -60, 120
ODD = {
    "i": (2**62, -(2**63), 2**63 - 1, 2**53 + 1),
    "u": (2**64 - 1, 2**63, 2**53 + 1),
    "f": (float("nan"), float("inf"), -0.0, 1e300),
}


def random_rows(rng: random.Random, count: int) -> list[dict[str, object]]:
    """Rows with nulls; sums of their floats are exact in any order."""
    odd = rng.choice((0, 0, 0.02, 0.2))
    nulls = rng.choice((0, 0.1, 0.6))
    rows = []
    for _ in range(count):
        row: dict[str, object] = {
            "host": rng.choice((*HOSTS[:4], None)),
            "region": rng.choice(("x", "y", None)),
            "i": rng.randint(-9, 9),
            "u": rng.randint(0, 9),
            "f": rng.randint(-20, 20) / 4,
            "b": rng.random() < 0.5,
            "s": str(rng.randint(0, 9)),
        }
        for name in (*ODD, "b", "s"):
            if rng.random() < nulls:
                row[name] = None
            elif name in ODD and rng.random() < odd:
                row[name] = rng.choice(ODD[name])
        rows.append({**row, "time": rng.randint(LOW_NS, HIGH_NS)})
    return rows


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_answers_are_those_of_duckdb(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "CHUNK_ROWS", 8)
    monkeypatch.setattr(views, "LOOKED_THROUGH_ROWS", 3)
    answered = []

    def noted(*arguments):
        answer = series_answer(*arguments)
        answered.append(answer is not None)
        return answer

    series_answer = preparer.series_answer
    monkeypatch.setattr(preparer, "series_answer", noted)
    rng = random.Random(seed)
    count = rng.choice((0, 1, 30, 80))
    # Rows of one identity are folded where they may be.
    overlaps = rng.choice(((), ((LOW_NS, HIGH_NS),), ((0, 20), (50, 60))))
    table = snapshot("m", COLUMNS, random_rows(rng, count), overlaps)
    least_ns = rng.choice((None, None, 30))
    table = msgspec.structs.replace(table, least_time_ns=least_ns)
    executor = QueryExecutor(QueryConfig(threads=1), FakeCatalog(table), lambda: HIGH_NS)
    for _ in range(QUESTIONS):
        check_both_ways(executor, random_question(rng, LOW_NS, HIGH_NS))
    executor.close()
    assert sum(answered) > QUESTIONS / 4
