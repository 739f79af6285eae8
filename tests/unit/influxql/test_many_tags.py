"""SHOW statements about tables of many tags."""

import pytest

from engine.errors import QueryResourceError
from engine.influxql import results
from engine.influxql.engine import InfluxqlEngine
from engine.influxql.parser import parse
from engine.query.executor import QueryConfig, QueryExecutor
from lp_core.enums import ColumnType
from tests.unit.query.fakes import FakeCatalog, snapshot

TAGS = [f"t{number:03d}" for number in range(100)]


class Counted(QueryExecutor):
    """Counts what it is asked."""

    asked = 0

    def run(self, *arguments, **options):
        self.asked += 1
        return super().run(*arguments, **options)


@pytest.fixture
def executor():
    rows = [
        {tag: f"{tag[-1]}{number}" for tag in TAGS[number::3]} | {"f": 1.0, "time": number}
        for number in range(6)
    ]
    rows += [{"f": 2.0, "time": 9}, {"t000": "a b,c=d", "f": 3.0, "time": 10}]
    columns = {**dict.fromkeys(TAGS, ColumnType.TAG), "f": ColumnType.FLOAT64}
    executor = Counted(QueryConfig(threads=1), FakeCatalog(snapshot("m m", columns, rows)))
    yield executor
    executor.close()


def values(executor, text):
    (statement,) = parse(text)
    (series,) = InfluxqlEngine(executor, executor._catalog, lambda: 0).series(statement, "db", "")
    return series.values


def test_values_of_many_tags_are_asked_for_together(executor):
    found = values(executor, "SHOW TAG VALUES WITH KEY =~ /t/")
    assert executor.asked == 4
    assert found[:4] == [["t000", "00"], ["t000", "a b,c=d"], ["t001", "11"], ["t002", "22"]]
    assert found == sorted(found)
    assert {key for key, _ in found} == set(TAGS)
    assert values(executor, "SHOW TAG VALUES WITH KEY =~ /t/ WHERE f = 3") == [["t000", "a b,c=d"]]


def test_no_more_is_asked_for_than_is_shown(executor):
    found = values(executor, "SHOW TAG VALUES WITH KEY =~ /t/ LIMIT 2 OFFSET 1")
    assert executor.asked == 1
    assert found == [["t000", "a b,c=d"], ["t001", "11"]]


def test_series_are_named_by_the_tags_that_they_have(executor):
    keys = [key for (key,) in values(executor, "SHOW SERIES")]
    assert keys == sorted(keys)
    assert len(keys) == 8
    assert keys[0] == "m\\ m"
    assert "m\\ m,t000=a\\ b\\,c\\=d" in keys
    assert ",".join(["m\\ m", *(f"{tag}={tag[-1]}2" for tag in TAGS[2::3])]) in keys


def test_answers_that_are_too_large_are_refused_before_they_are_made(executor, monkeypatch):
    monkeypatch.setattr(results, "CELLS_MAX", 7)
    for text in ("SHOW SERIES", "SHOW TAG VALUES WITH KEY =~ /t/"):
        with pytest.raises(QueryResourceError, match="more than 7 values"):
            values(executor, text)
