import functools
import json
import math
from pathlib import Path

import pytest

from engine.errors import QueryError
from engine.query import formats
from engine.query.executor import QueryConfig, QueryExecutor
from tests.corpus.sql.tables import NOW_NS, catalog

FOLDER = Path(__file__).parents[2] / "corpus" / "sql"


class Case:
    """One statement and what must come of it."""

    def __init__(self, place):
        self.place = place
        self.lines = []
        self.rows = []
        self.params = {}
        self.names = None
        self.refusal = None
        self.row_count = None
        self.in_order = True
        self.is_marked = False

    @property
    def sql(self):
        return "\n".join(self.lines).strip()

    def mark(self, line):
        self.is_marked = True
        kind, text = line[2], line[3:].strip()
        match kind:
            case ">":
                self.rows.append(json.loads(text))
            case "=":
                self.names = [name.strip() for name in text.split(" | ")]
            case "$":
                self.params = json.loads(text)
            case "!":
                self.refusal = tuple(part.strip() for part in text.split(":", 1))
            case "*":
                self.row_count = int(text)
            case "~":
                self.in_order = False
            case "0":
                assert self.rows == []


def cases():
    found = []
    for path in sorted(FOLDER.glob("*.sql")):
        case = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            is_mark = line[:2] == "--" and line[2:3] in tuple(">=$!~0*")
            if is_mark:
                assert case is not None, (path, number)
                case.mark(line)
            elif line.strip() and not line.startswith("--"):
                if case is None or case.is_marked:
                    case = Case(f"{path.stem}:{number}")
                    found.append(case)
                case.lines.append(line)
    return found


@pytest.fixture(scope="module")
def executor():
    executor = QueryExecutor(QueryConfig(threads=2), catalog(), lambda: NOW_NS)
    yield executor
    executor.close()


def shown(table):
    """The rows with values as JSON shows them."""
    columns = []
    for number in range(table.num_columns):
        one = table.select([number]).rename_columns(["x"])
        lines = formats.encode(one, formats.ResultFormat.JSON_LINES).decode().splitlines()
        columns.append([json.loads(line).get("x") for line in lines])
    return [list(row) for row in zip(*columns, strict=True)]


def same(found, expected):
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            same(value, expected[key]) for key, value in found.items()
        )
    return type(found) is type(expected) and found == expected


@pytest.mark.parametrize("case", [pytest.param(case, id=case.place) for case in cases()])
def test_statement(executor, case):
    assert case.is_marked, "a statement without an answer"
    ask = functools.partial(executor.run, "db", case.sql, case.params)
    if case.refusal is not None:
        with pytest.raises(QueryError) as caught:
            ask()
        code, text = case.refusal
        assert (caught.value.code, text in caught.value.message) == (code, True), caught.value
        return
    table = ask()
    if case.names is not None:
        assert table.column_names == case.names
    if case.row_count is not None:
        assert table.num_rows == case.row_count
        return
    rows, expected = shown(table), case.rows
    if not case.in_order:
        rows, expected = sorted(rows, key=repr), sorted(expected, key=repr)
    assert len(rows) == len(expected), rows
    for row, wanted in zip(rows, expected, strict=True):
        assert same(row, wanted), (row, wanted)


def test_the_corpus_is_large():
    found = cases()
    assert len(found) >= 300
    assert len({case.sql + str(case.params) for case in found}) == len(found)
