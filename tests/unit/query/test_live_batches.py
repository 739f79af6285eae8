import random

import pytest

from engine.ids import DatabaseId, Position
from engine.query.executor import QueryConfig, QueryExecutor
from engine.store.live import LiveDatabase
from lp_core import parse
from tests.unit.query.fakes import FakeCatalog


class LiveCatalog(FakeCatalog):
    """The tables of one live database."""

    def __init__(self, database):
        super().__init__()
        self._database = database

    def table_names(self, database):
        return self._database.table_names()

    def snapshot(self, database, table):
        return self._database.snapshot(table)


@pytest.fixture
def database():
    return LiveDatabase("db", DatabaseId(1))


@pytest.fixture
def executor(database):
    executor = QueryExecutor(QueryConfig(threads=1), LiveCatalog(database))
    yield executor
    executor.close()


def write(database, lines):
    parsed = parse(lines.encode(), precision="ns", now_ns=1)
    assert not parsed.errors
    database.add(parsed.batch, Position(1))


def test_parsed_lines_can_be_queried(database, executor):
    write(database, 'cpu,host=a usage=1.5,cores=2i,total=3u,up=t,note="it\'s" 10\ncpu usage=2.5 20')
    write(database, "cpu,host=b,rack=r usage=3.5 30")
    names = ["cores", "host", "note", "rack", "total", "up", "usage"]
    rows = [
        (2, "a", "it's", None, 3, True, 1.5),
        (None, None, None, None, None, None, 2.5),
        (None, "b", None, "r", None, None, 3.5),
    ]
    table = executor.run("db", "SELECT * FROM cpu ORDER BY time")
    assert table.column_names == sorted([*names, "time"])
    expected = [dict(zip(names, row, strict=True)) for row in rows]
    assert table.select(names).to_pylist() == expected
    sql = "SELECT host, avg(usage) AS m FROM cpu WHERE time >= $t GROUP BY host ORDER BY host"
    found = executor.run("db", sql, {"t": "1970-01-01T00:00:00.00000002Z"}).to_pylist()
    assert found == [{"host": "b", "m": 3.5}, {"host": None, "m": 2.5}]


def test_the_last_write_of_a_field_wins(database, executor):
    write(database, "cpu,host=a usage=1,cores=1i 10\ncpu,host=a usage=2 10")
    write(database, "cpu,host=a cores=7i 10\ncpu,host=b usage=9 10")
    found = executor.run("db", "SELECT host, usage, cores FROM cpu ORDER BY host").to_pylist()
    assert found == [
        {"host": "a", "usage": 2.0, "cores": 7},
        {"host": "b", "usage": 9.0, "cores": None},
    ]


def test_overwrites_among_many_writes_agree_with_a_dictionary(database, executor):
    chance = random.Random(7)
    expected = {}
    for step in range(300):
        host, time, value = chance.choice("abc"), chance.randrange(400), float(step)
        write(database, f"cpu,host={host} usage={value} {time}")
        expected[host, time] = value
        if step % 60 == 59:
            sql = "SELECT host, arrow_cast(time, 'Int64') AS t, usage FROM cpu"
            table = executor.run("db", sql)
            assert table.num_rows == len(expected)
            found = {(row["host"], row["t"]): row["usage"] for row in table.to_pylist()}
            assert found == expected
