"""Tickets, handles, values of placeholders, and the form in which tables are sent."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow
import pytest

from engine.errors import RequestError
from engine.flight.about import db_schemas, sql_info
from engine.flight.messages import GetDbSchemas, GetSqlInfo
from engine.flight.parameters import parameter_schema, values_of
from engine.flight.plain import BATCH_BYTES_MAX, batches, plain
from engine.flight.questions import (
    Language,
    Prepared,
    Question,
    database_of,
    is_json,
    read_handle,
    read_ticket,
)

NO_HEADERS: Mapping[str, Sequence[str | bytes]] = {}


def ticket(**members: Any) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize("name", ["database", "namespace_name", "bucket", "bucket-name"])
def test_a_ticket_names_its_database_in_the_ways_of_the_reference(name: str) -> None:
    question = read_ticket(ticket(**{name: "db"}, sql_query="SELECT 1"), NO_HEADERS)
    assert question == Question("db", "SELECT 1", Language.SQL)


def test_a_ticket_has_a_language_and_values() -> None:
    members = {"database": "db", "sql_query": "q", "query_type": "influxql", "params": {"a": 1}}
    assert read_ticket(ticket(**members, is_debug=True), NO_HEADERS) == Question(
        "db", "q", Language.INFLUXQL, {"a": 1}
    )
    assert read_ticket(ticket(sql_query="q"), {"database": ["db"]}).database == "db"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not a JSON object"),
        (b"{}", "no 'database' header"),
        (b"\xff", "not a JSON object"),
        (ticket(database="a", bucket="b", sql_query="q"), "several databases.*a, b"),
        (ticket(database="a"), "no text 'sql_query'"),
        (ticket(database="a", sql_query=1), "no text 'sql_query'"),
        (ticket(database="a", sql_query="q", query_type="flux"), "unknown query_type 'flux'"),
        (ticket(database="a", sql_query="q", query_type=["sql"]), "unknown query_type"),
        (ticket(database="a", sql_query="q", params=[1]), "not an object"),
    ],
)
def test_wrong_tickets_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        read_ticket(content, NO_HEADERS)


def test_headers_name_one_database() -> None:
    assert database_of({"bucket": [b"db"], "database": ["db"]}) == "db"
    with pytest.raises(RequestError, match="several databases are named in the headers: a, b"):
        database_of({"bucket": ["b"], "iox-namespace-name": ["a"]})
    with pytest.raises(RequestError, match="no 'database' header in request"):
        database_of({"bucket": [""]})


def test_json_and_messages_are_told_apart() -> None:
    assert is_json(b' \n{"a": 1}')
    assert not is_json(b"\x0a\x01{")
    assert not is_json(b"")


def test_handles_hold_statement_and_values() -> None:
    prepared = Prepared("SELECT $a", {"a": "ä"})
    assert read_handle(prepared.handle) == prepared
    for handle in (b"", b"\xff", b"[]", b'{"query": 1}'):
        with pytest.raises(RequestError, match="not one of this server"):
            read_handle(handle)


def row(**columns: Any) -> Any:
    return pyarrow.record_batch([pyarrow.array([value]) for value in columns.values()], [*columns])


def test_values_are_taken_by_name_or_by_place() -> None:
    assert values_of(row(b=1, a="x"), ["a", "b"]) == {"a": "x", "b": 1}
    assert values_of(row(**{"$b": 1, "$a": "x"}), ["a", "b"]) == {"a": "x", "b": 1}
    assert values_of(row(**{"0": 1, "1": "x"}), ["a", "b"]) == {"a": 1, "b": "x"}
    assert values_of(row(**{"1": 1, "2": None}), ["1", "2"]) == {"1": 1, "2": None}


def test_values_of_arrow_become_those_of_queries() -> None:
    import datetime
    import decimal

    columns = [
        pyarrow.array([1_000_000_000_000_000_001], pyarrow.timestamp("ns")),
        pyarrow.array([1], pyarrow.timestamp("s", "UTC")),
        pyarrow.array([datetime.date(2026, 2, 1)]),
        pyarrow.array([decimal.Decimal("1.50")]),
        pyarrow.array(["tag"]).dictionary_encode(),
        pyarrow.array([True]),
        pyarrow.array([2.5], pyarrow.float32()),
    ]
    names = [str(number) for number in range(len(columns))]
    values = values_of(pyarrow.record_batch(columns, names), names)
    assert list(values.values()) == [
        *("2001-09-09 01:46:40.000000001", "1970-01-01 00:00:01.000000000"),
        *("2026-02-01", 1.5, "tag", True, 2.5),
    ]


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (row(a=1, b=2), "1 placeholders, and 2 values"),
        (row(a=b"bytes"), "of type binary"),
        (row(a=[1]), "of type list"),
        (pyarrow.record_batch([pyarrow.array([1, 2])], ["a"]), "2 rows of parameters"),
    ],
)
def test_values_that_do_not_fit_are_refused(batch: Any, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        values_of(batch, ["a"])


def test_placeholders_have_names_and_no_types() -> None:
    assert parameter_schema(["a", "1"]).names == ["a", "1"]


def test_tables_are_sent_without_dictionaries() -> None:
    tags = pyarrow.chunked_array([pyarrow.array(["a", None, "a"]).dictionary_encode()])
    sent = plain(pyarrow.table({"tag": tags, "f": [1, 2, 3]}))
    assert sent.schema.field("tag").type == pyarrow.utf8()
    assert sent.column("tag").to_pylist() == ["a", None, "a"]


def test_batches_are_small_whatever_the_rows() -> None:
    texts = ["x"] * 50_000 + ["y" * 500_000] * 20 + ["z" * (BATCH_BYTES_MAX + 1)]
    table = pyarrow.table({"n": pyarrow.array(range(len(texts))), "s": texts})
    sent = list(batches(table))
    assert pyarrow.Table.from_batches(sent) == table
    assert all(batch.nbytes <= BATCH_BYTES_MAX or batch.num_rows == 1 for batch in sent)
    assert list(batches(table.slice(0, 0))) == [] or len(sent) > 1


def test_patterns_of_names() -> None:
    def found(pattern: str | None, catalog: str | None = None) -> list[str]:
        names = db_schemas(GetDbSchemas(catalog, pattern)).column("db_schema_name")
        return list(names.to_pylist())

    assert found(None) == ["information_schema", "iox", "system"]
    assert found("i%") == ["information_schema", "iox"]
    assert found("i__") == ["iox"]
    assert found("i.x") == []
    assert found("iox", "public") == ["iox"]
    assert found(None, "") == found(None, "other") == []


def test_facts_about_the_server_are_given_as_asked() -> None:
    some = sql_info(GetSqlInfo((504, 0, 3, 99_999)))
    assert dict(zip(some.column(0).to_pylist(), some.column(1).to_pylist(), strict=True)) == {
        0: "Headrace",
        3: True,
        504: '"',
    }
    some.validate(full=True)
    assert sql_info(GetSqlInfo()).num_rows > some.num_rows
