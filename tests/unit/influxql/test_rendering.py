"""The bytes of InfluxQL answers."""

import json
import struct
from typing import Any

import msgspec
import pytest

from engine.errors import RequestError
from engine.influxql.rendering import (
    Form,
    answer_accepted,
    csv_answer,
    epoch_ns,
    json_answer,
    msgpack_answer,
    table,
)
from engine.influxql.results import Series, StatementResult

T0 = 1_735_689_600 * 10**9
CPU = Series(
    name="cpu",
    columns=["time", "usage", "note", "up"],
    values=[
        [T0, 1.0, "a,b", True],
        [T0 + 120_000_000, 2.5, None, False],
        [T0 + 10**9, None, "", None],
    ],
    tags={"host": "x", "site": 'y"z'},
    has_time=True,
)
KEYS = Series(name="m", columns=["fieldKey", "fieldType"], values=[["f", "float"]])


def answer(results: list[StatementResult], form: Form | None = None) -> object:
    return json.loads(json_answer(results, form or Form()))


def test_times_are_text_and_whole_floats_whole_numbers() -> None:
    assert answer([StatementResult([CPU]), StatementResult(error="bad")]) == {
        "results": [
            {
                "statement_id": 0,
                "series": [
                    {
                        "name": "cpu",
                        "tags": {"host": "x", "site": 'y"z'},
                        "columns": ["time", "usage", "note", "up"],
                        "values": [
                            ["2025-01-01T00:00:00Z", 1, "a,b", True],
                            ["2025-01-01T00:00:00.12Z", 2.5, None, False],
                            ["2025-01-01T00:00:01Z", None, "", None],
                        ],
                    }
                ],
            },
            {"statement_id": 1, "error": "bad"},
        ]
    }


def test_packed_times_are_an_extension_and_floats_stay_floats() -> None:
    made = msgpack_answer(
        [StatementResult([CPU]), StatementResult(), StatementResult([], "bad")], Form()
    )
    first, second, third = msgspec.msgpack.decode(made)["results"]
    (series,) = first["series"]
    assert series["columns"] == ["time", "usage", "note", "up"]
    seconds = T0 // 10**9
    assert [row[0] for row in series["values"]] == [
        msgspec.msgpack.Ext(5, struct.pack(">qI", *time))
        for time in ((seconds, 0), (seconds, 120_000_000), (seconds + 1, 0))
    ]
    assert [type(row[1]) for row in series["values"]] == [float, float, type(None)]
    assert second == {"statement_id": 1, "series": []}
    assert third == {"statement_id": 2, "error": "bad"}
    made = msgpack_answer([StatementResult([CPU])], Form(epoch_ns=epoch_ns("ms")))
    assert msgspec.msgpack.decode(made)["results"][0]["series"][0]["values"][0][0] == T0 // 10**6


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/x-msgpack", "application/x-msgpack"),
        ("application/xml, Text/CSV;q=0.9", "application/csv"),
        ("application/json, application/csv", "application/json"),
    ],
)
def test_the_first_known_type_is_answered(accept: str, kind: str) -> None:
    assert answer_accepted(accept, Form())[1] == kind


def test_chunks_are_never_packed() -> None:
    chosen = answer_accepted("application/x-msgpack", Form(chunk_rows=1))
    assert chosen == (json_answer, "application/json")


def test_no_series_is_no_key() -> None:
    assert json_answer([StatementResult()], Form()) == b'{"results":[{"statement_id":0}]}\n'


@pytest.mark.parametrize(
    ("epoch", "times"),
    [
        ("ns", [T0, T0 + 120_000_000]),
        ("u", [T0 // 1000, T0 // 1000 + 120_000]),
        ("ms", [T0 // 10**6, T0 // 10**6 + 120]),
        ("s", [T0 // 10**9, T0 // 10**9]),
        ("h", [T0 // 3600 // 10**9] * 2),
    ],
)
def test_times_as_numbers(epoch: str, times: list[int]) -> None:
    shown = answer([StatementResult([CPU])], Form(epoch_ns=epoch_ns(epoch)))
    assert [row[0] for row in shown["results"][0]["series"][0]["values"][:2]] == times


def test_units_of_epoch() -> None:
    assert epoch_ns("") is None
    assert epoch_ns("µ") == 1000
    with pytest.raises(RequestError):
        epoch_ns("fortnight")


def test_times_before_the_epoch() -> None:
    early = Series(name="m", columns=["time", "f"], values=[[-1, float("nan")]], has_time=True)
    assert answer([StatementResult([early])])["results"][0]["series"][0]["values"] == [
        ["1969-12-31T23:59:59.999999999Z", None]
    ]


def test_chunks_are_documents_of_their_own() -> None:
    made = json_answer([StatementResult([CPU, KEYS]), StatementResult()], Form(chunk_rows=2))
    parts = [json.loads(line)["results"][0] for line in made.splitlines()]
    assert [len(part.get("series", [{}])[0].get("values", [])) for part in parts] == [2, 1, 1, 0]
    assert [part.get("partial", False) for part in parts] == [True, True, False, False]
    assert [part.get("series", [{}])[0].get("partial", False) for part in parts] == [
        *(True, False, False, False)
    ]
    assert [part["statement_id"] for part in parts] == [0, 0, 0, 1]


def test_pretty() -> None:
    made = json_answer([StatementResult([KEYS])], Form(is_pretty=True)).decode()
    assert '\n    "results": [' in made
    assert json.loads(made)


def test_csv() -> None:
    made = csv_answer([StatementResult([CPU]), StatementResult([KEYS])], Form()).decode()
    assert made == (
        "name,tags,time,usage,note,up\n"
        f'cpu,"host=x,site=y""z",{T0},1,"a,b",true\n'
        f'cpu,"host=x,site=y""z",{T0 + 120_000_000},2.5,,false\n'
        f'cpu,"host=x,site=y""z",{T0 + 10**9},,,\n'
        "\n"
        "name,tags,fieldKey,fieldType\n"
        "m,,f,float\n"
    )
    assert csv_answer([StatementResult(error="no")], Form()) == b"error\nno\n"


@pytest.mark.parametrize(
    ("values", "kind", "shown"),
    [
        ([1, 2**63, None], "uint64", [1, 2**63, None]),
        ([-1, 2**63, None], "double", [-1.0, 2.0**63, None]),
        ([1, 2.0**64], "double", [1.0, 2.0**64]),
        ([1.5, 2**63], "double", [1.5, 2.0**63]),
        ([2**63, "text"], "string", [str(2**63), "text"]),
        ([2**63, True], "string", [str(2**63), "True"]),
    ],
)
def test_large_numbers_in_a_table(values: list[Any], kind: str, shown: list[Any]) -> None:
    series = Series("m", ["time", "f"], [[T0, value] for value in values], has_time=True)
    column = table([series]).column("f")
    assert (str(column.type), column.to_pylist()) == (kind, shown)


def test_series_as_one_table() -> None:
    other = Series(name="mem", columns=["time", "usage"], values=[[T0, "text"]], has_time=True)
    made = table([CPU, other])
    assert made.column_names == [
        *("iox::measurement", "time", "host", "site", "usage", "note", "up")
    ]
    assert made.column("iox::measurement").to_pylist() == ["cpu"] * 3 + ["mem"]
    assert made.column("host").to_pylist() == ["x", "x", "x", None]
    assert made.column("usage").to_pylist() == ["1.0", "2.5", None, "text"]
    assert str(made.column("time").type) == "timestamp[ns]"
    assert table([]).num_rows == 0
