# Queries over known groups of files beside the same queries over rows, and which queries have two
# steps at all.
import random
from pathlib import Path

import msgspec
import pytest

from engine.errors import FileDamagedError, QueryError
from engine.persist.thread import PersistConfig
from engine.query import file_parts
from engine.query.dialect import ParseLimits, TableName
from engine.query.executor import QueryExecutor
from engine.query.kinds import Kind
from engine.query.questions import plain_question, template_of
from tests.support.storage import HandClock, Storage

HOUR_NS = 3_600_000_000_000
WHOLE = "time >= '1970-01-01T00:00:00Z' AND time < '1970-01-02T00:00:00Z'"
PART = "time >= '1970-01-01T01:10:00Z' AND time <= '1970-01-01T04:20:00Z'"
BIN = "date_bin(INTERVAL '30 minutes', time)"
QUESTIONS = (
    f"SELECT {BIN} AS bin, host, avg(f), sum(f), count(f) FROM m WHERE {WHOLE} GROUP BY 1, 2",
    f"SELECT host, {BIN} AS t, avg(g), min(u), max(s) FROM m WHERE {PART} GROUP BY host, t "
    "ORDER BY t DESC, 1 LIMIT 7 OFFSET 1",
    "SELECT host, region, count(*) AS n, max(time) AS time, sum(u) FROM m GROUP BY region, host",
    f"SELECT max(b), region, {BIN} FROM m WHERE time BETWEEN $low AND $high GROUP BY region, {BIN}",
    f"SELECT {BIN} AS time, avg(f) AS k0, count(host) AS a0 FROM m WHERE {PART} GROUP BY 1 ORDER BY time",
    f"SELECT {BIN} AS bin, sum(nothing) AS s, avg(nothing) AS a FROM m WHERE {WHOLE} GROUP BY bin",
    f"SELECT count(*) AS n, avg(g), sum(f), min(s), max(b), count(region) FROM m WHERE {PART}",
    "SELECT sum(nothing), avg(nothing), count(nothing), min(time) AS time FROM m",
    "SELECT avg(u) AS u FROM m WHERE time > $low AND time < $high ORDER BY 1 LIMIT 1",
)
# Of whole files nothing is read for these.
TOLD = (
    "SELECT count(*) FROM m",
    f"SELECT max(time) AS time, count(time) AS n, min(time) AS t FROM m WHERE {PART}",
    "SELECT count(*) AS n, max(time) - min(time) FROM m WHERE time > '2000-01-01T00:00:00Z'",
    "SELECT min(time) AS least FROM m WHERE time > '2000-01-01T00:00:00Z'",
)  # fmt: skip
SHAPED = {"low": "1970-01-01T00:40:00Z", "high": "1970-01-01T05:00:00Z"}


def storage_in(directory: Path) -> Storage:
    config = PersistConfig(log_bytes=1, window_ns=HOUR_NS)
    storage = Storage(directory, config, clock=HandClock(1_000))
    storage.create_database()
    return storage


def line(rng: random.Random, number: int) -> str:
    host, region = rng.choice("abc"), rng.choice(("", ",region=x", ",region=y"))
    fields = [f"f={number}i", f"u={number}u", f"b={number % 3 == 0}", f"g={number / 4}"]
    fields.append(f's="{number}"')
    chosen = rng.sample(fields, rng.randint(1, len(fields)))
    if number == 7:
        chosen.append("nothing=1i")
    return f"m,host={host}{region} {','.join(chosen)} {number * HOUR_NS // 20 + number}"


def plain(storage: Storage) -> QueryExecutor:
    """Another executor over the same rows, which keeps nothing."""
    executor = storage.executor
    return QueryExecutor(
        msgspec.structs.replace(executor._config, cache_bytes_max=0),
        executor._catalog,
        storage.clock.now_ns,
        faults=storage.faults,
    )


def ordered(table, sql):
    rows = list(map(repr, table.to_pylist()))
    return (table.schema, rows if "ORDER BY" in sql else sorted(rows))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each query over known groups had known; groups are always worth it."""
    counts: list[int] = []
    of = file_parts.FileParts.of

    def noted(*arguments):
        found = of(*arguments)
        counts.append(len(found))
        return found

    monkeypatch.setattr(file_parts, "WORTH_SHARE", 0)
    monkeypatch.setattr(file_parts.FileParts, "of", noted)
    return counts


def test_known_groups_give_what_rows_give(tmp_path: Path, computed: list[int]) -> None:
    storage = storage_in(tmp_path)
    rng = random.Random(2)
    for start in range(0, 120, 20):
        storage.write("\n".join(line(rng, number) for number in range(start, start + 20)))
        if start < 100:
            storage.persist_all()
    reference = plain(storage)
    for sql in QUESTIONS + TOLD:
        expected = ordered(reference.run("db", sql, SHAPED), sql)
        for _ in range(3):
            assert ordered(storage.executor.run("db", sql, SHAPED), sql) == expected
        planned = storage.executor.run("db", sql, SHAPED, is_schema_only=True)
        assert planned.column_names == expected[0].names
    # The first time of each question nothing is known; a part of the files is left to be scanned.
    assert len(computed) == 2 * len(QUESTIONS)
    assert min(computed) > 0
    assert max(computed) > min(computed)
    reference.close()
    storage.close()


def test_counts_and_ends_are_told_without_reading_files(tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    storage.write("m,host=a f=1i 1\nm,host=b f=1i 3")
    storage.persist_all()
    storage.write(f"m,host=a f=1i {HOUR_NS}")
    for path in storage.paths.parquet_dir.rglob("*.parquet"):
        path.write_bytes(b"x" * path.stat().st_size)
    sql = "SELECT count(*) AS n, min(time) AS low, max(time) AS high FROM m"
    assert storage.query(sql) == [{"n": 3, "low": 1, "high": HOUR_NS}]
    assert storage.query(f"{sql} WHERE time < '1970-01-01T00:10:00Z'") == [
        {"n": 2, "low": 1, "high": 3}
    ]
    # Of a file that the range does not cover, rows are looked at.
    with pytest.raises(FileDamagedError):
        storage.query(f"{sql} WHERE time > '1970-01-01T00:00:00.000000001Z'")
    storage.close()


def test_files_with_rows_that_do_not_count_are_read(tmp_path: Path, computed: list[int]) -> None:
    storage = storage_in(tmp_path)
    sql = "SELECT host, sum(f) AS f FROM m GROUP BY host"
    storage.write("m,host=a f=1i 1\nm,host=a f=2i 2")
    storage.persist_all()
    for _ in range(3):
        assert storage.query(sql) == [{"host": "a", "f": 3}]
    assert computed == [1, 1]
    # A live row in place of one in the file, then a deleted one, then one whose time is over.
    storage.write("m,host=a f=5i 2")
    assert storage.query(sql) == [{"host": "a", "f": 6}]
    storage.delete_rows("m", where="host = 'a'", low_ns=1, high_ns=1)
    assert storage.query(sql) == [{"host": "a", "f": 5}]
    assert computed == [1, 1]
    storage.close()


def test_groups_of_removed_files_are_forgotten(tmp_path: Path, computed: list[int]) -> None:
    storage = storage_in(tmp_path)
    storage.write("m,host=a f=1i 1")
    storage.persist_all()
    for _ in range(2):
        storage.query("SELECT host, sum(f) AS f FROM m GROUP BY host")
    parts = storage.executor._grouped._parts
    assert computed == [1]
    assert parts.kept.size_bytes > 0
    for path in storage.paths.parquet_dir.rglob("*.parquet"):
        path.unlink()
    storage.executor.files_removed(1)
    assert parts.kept.size_bytes == 0
    storage.close()


def test_mistakes_are_told_as_without_known_groups(tmp_path: Path, computed: list[int]) -> None:
    storage = storage_in(tmp_path)
    storage.write('m,host=a s="x" 1')
    storage.persist_all()
    messages = set()
    for _ in range(3):
        with pytest.raises(QueryError) as caught:
            storage.query("SELECT host, sum(s) FROM m GROUP BY host")
        messages.add(caught.value.message)
    assert len(messages) == 1
    assert not computed
    storage.close()


def test_without_room_nothing_is_computed(tmp_path: Path, computed: list[int]) -> None:
    storage = storage_in(tmp_path)
    storage.write("m,host=a f=1i 1")
    storage.persist_all()
    executor = plain(storage)
    for _ in range(3):
        executor.run("db", "SELECT host, sum(f) AS f FROM m GROUP BY host")
    assert not any(computed)
    executor.close()
    storage.close()


COLUMNS = (("f", Kind.INTEGER), ("host", Kind.TEXT), ("time", Kind.TIME))


def has_two_steps(sql: str) -> bool:
    limits = ParseLimits()
    tables = ((TableName("iox", "m"), COLUMNS),)
    return template_of(plain_question(sql, {}, limits), limits, tables, {}).parts is not None


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT host, max(f) FROM m GROUP BY host", True),
        ("SELECT m.host, max(m.f) FROM m GROUP BY m.host", True),
        (f"SELECT {BIN} AS b, count(*) FROM m GROUP BY b ORDER BY b, 2 LIMIT 1", True),
        ("SELECT max(f) FROM m", True),
        ("SELECT max(f), host FROM m", False),
        ("SELECT max(f), 1 FROM m", False),
        ("SELECT max(f) FROM m HAVING max(f) > 1", False),
        ("SELECT host FROM m", False),
        ("SELECT host, max(f) FROM m GROUP BY host HAVING max(f) > 1", False),
        ("SELECT host, max(f) + 1 FROM m GROUP BY host", False),
        ("SELECT host, count(DISTINCT f) FROM m GROUP BY host", False),
        ("SELECT host, median(f) FROM m GROUP BY host", False),
        ("SELECT host, max(f) FILTER (WHERE f > 1) FROM m GROUP BY host", False),
        ("SELECT host, max(f) FROM m GROUP BY host ORDER BY max(f)", False),
        ("SELECT upper(host), max(f) FROM m GROUP BY 1", False),
        # To DuckDB it is the column.
        (f'SELECT {BIN} AS "Host", max(f) FROM m GROUP BY "Host"', False),
        ("SELECT host, max(f) FROM m GROUP BY 1", True),
        ("SELECT host, max(f) FROM m GROUP BY 1.5", False),
        ("SELECT host, max(f) FROM m GROUP BY 1e0", False),
        ("SELECT DISTINCT host, max(f) FROM m GROUP BY host", False),
        ("SELECT host, max(f) FROM m GROUP BY ROLLUP (host)", False),
        ("SELECT a.host, max(a.f) FROM m AS a, m AS b GROUP BY a.host", False),
        ("SELECT host, max(f) FROM (SELECT * FROM m) AS q GROUP BY host", False),
        ("WITH m AS (SELECT 1 AS f, 'x' AS host) SELECT host, max(f) FROM m GROUP BY host", False),
    ],
)
def test_which_queries_have_two_steps(sql: str, expected: bool) -> None:
    if sql.startswith("WITH"):
        question = plain_question(sql, {}, ParseLimits())
        assert template_of(question, ParseLimits(), (), {}).parts is None
        return
    assert has_two_steps(sql) is expected
