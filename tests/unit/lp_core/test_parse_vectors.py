# Holds parse() against every shared vector of line protocol that is not uncertain.
import math

import pyarrow
import pytest

from lp_core import ColumnType, LineProtocolError, ParseResult, parse
from tests.support.simd import SIMD_PATHS, simd_path
from tests.support.vectors import Vector, body_of, expanded_points, load_vectors

NOW_NS = 1_700_000_000_123_456_789
KINDS = {
    ColumnType.INT64: "int",
    ColumnType.UINT64: "uint",
    ColumnType.FLOAT64: "float",
    ColumnType.BOOL: "bool",
    ColumnType.STRING: "string",
}
UNIT_NS = {"auto": 1, "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}

# The documented tolerant choices: what these vectors give instead of the reference's errors.
TOLERATED = {
    "lp-034": 1,
    "lp-035": 2,
    "lp-054": 2,
    "lp-055": 1,
    "lp-056": 0,
    "lp-057": 0,
    "lp-058": 1,
    "lp-218": 1,
}


def table_points(result: ParseResult) -> dict[str, list[tuple[dict, dict, int]]]:
    """Return (tags, fields, time) of each row, in order, by table."""
    tables = {}
    for name, table in result.batch.items():
        types = dict(table.schema)
        arrow = pyarrow.record_batch(table)
        arrow.validate(full=True)
        columns = {key: arrow.column(i).to_pylist() for i, key in enumerate(list(types)[:-1])}
        columns["time"] = arrow.column(arrow.num_columns - 1).cast(pyarrow.int64()).to_pylist()
        rows = []
        for i in range(table.num_rows):
            row = {key: columns[key][i] for key in types if columns[key][i] is not None}
            tags = {key: value for key, value in row.items() if types[key] == ColumnType.TAG}
            fields = {
                key: (KINDS[types[key]], value)
                for key, value in row.items()
                if types[key] not in (ColumnType.TAG, ColumnType.TIME)
            }
            rows.append((tags, fields, row["time"]))
        tables[name] = rows
    return tables


def value_of(kind: str, text: str) -> object:
    if kind in ("int", "uint"):
        return int(text)
    if kind == "float":
        return float(text)
    return text == "true" if kind == "bool" else text


def wanted_points(vector: Vector) -> dict[str, list[tuple[dict, dict, int]]]:
    unit_ns = UNIT_NS[vector["precision"]]
    tables: dict[str, list[tuple[dict, dict, int]]] = {}
    for point in expanded_points(vector):
        fields = {key: (kind, value_of(kind, text)) for key, kind, text in point["fields"]}
        time = NOW_NS // unit_ns * unit_ns if point["time"] is None else int(point["time"])
        tables.setdefault(point["measurement"], []).append((dict(point["tags"]), fields, time))
    return tables


def assert_equal_points(got: dict, wanted: dict) -> None:
    assert got == wanted
    for name, rows in wanted.items():
        for (_, got_fields, _), (_, fields, _) in zip(got[name], rows, strict=True):
            for key, (kind, value) in fields.items():
                if kind == "float":
                    assert math.copysign(1, got_fields[key][1]) == math.copysign(1, value)


@pytest.fixture(params=SIMD_PATHS, autouse=True)
def path(request):
    with simd_path(request.param):
        yield request.param


@pytest.fixture(scope="module")
def vectors() -> list[Vector]:
    return load_vectors("line_protocol.jsonl")


def test_every_vector_gives_its_points_and_errors(vectors):
    for vector in vectors:
        if vector["id"] in TOLERATED or any(e["line"] == 0 for e in vector["errors"]):
            continue
        result = parse(body_of(vector), precision=vector["precision"], now_ns=NOW_NS)
        assert_equal_points(table_points(result), wanted_points(vector))
        got = [(e.line_number, e.nth, e.code, e.message) for e in result.errors]
        wanted = [(e["line"], e["nth"], e["why"], e["msg"]) for e in vector["errors"]]
        assert got == wanted, vector["id"]


def test_tolerant_vectors_are_accepted(vectors):
    tolerated = [vector for vector in vectors if vector["id"] in TOLERATED]
    assert len(tolerated) == len(TOLERATED)
    for vector in tolerated:
        assert vector["lenient_ok"]
        result = parse(body_of(vector), precision=vector["precision"], now_ns=NOW_NS)
        assert (result.batch.num_rows, result.errors) == (TOLERATED[vector["id"]], [])


def test_body_that_is_not_utf8_is_refused_as_a_whole(vectors):
    refused = [v for v in vectors if any(e["line"] == 0 for e in v["errors"])]
    assert refused
    for vector in refused:
        with pytest.raises(LineProtocolError) as caught:
            parse(body_of(vector), now_ns=NOW_NS)
        error = caught.value
        assert (error.line_number, error.code) == (0, "utf8")
        assert error.message == vector["errors"][0]["msg"]
        assert error.message.endswith(f"from index {error.byte_offset}")


def test_first_error_of_each_vector_is_raised_when_all_or_nothing(vectors):
    for vector in vectors:
        if vector["id"] in TOLERATED or not vector["errors"] or vector["errors"][0]["line"] == 0:
            continue
        with pytest.raises(LineProtocolError) as caught:
            parse(
                body_of(vector), precision=vector["precision"], now_ns=NOW_NS, accept_partial=False
            )
        wanted = vector["errors"][0]
        got = caught.value
        assert (got.line_number, got.code, got.message) == (
            wanted["line"],
            wanted["why"],
            wanted["msg"],
        )
        assert got.line
