import csv
import io
import json
import math

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RequestError
from engine.query.formats import (
    CONTENT_TYPES,
    ResultFormat,
    arrow_ipc,
    encode,
    format_accepted,
    format_named,
    pieces,
)

TIME = pyarrow.timestamp("ns")


@pytest.fixture
def table():
    return pyarrow.table(
        {
            "host": pyarrow.array(["a", None]).dictionary_encode(),
            "time": pyarrow.array([3_001_339_731_000_000_000, 123], TIME),
            "usage": [90.0, None],
            "cores": pyarrow.array([1, 2**64 - 1], pyarrow.uint64()),
            "up": [True, None],
        }
    )


def one(value, data_type):
    return json.loads(
        encode(pyarrow.table({"x": pyarrow.array([value], data_type)}), ResultFormat.JSON)
    )


def test_json_leaves_nulls_out_and_keeps_the_order(table):
    assert encode(table, ResultFormat.JSON) == (
        b'[{"host":"a","time":"2065-02-08T17:28:51","usage":90.0,"cores":1,"up":true},'
        b'{"time":"1970-01-01T00:00:00.000000123","cores":18446744073709551615}]'
    )


def test_json_lines_are_one_object_each(table):
    lines = encode(table, ResultFormat.JSON_LINES).decode().splitlines()
    assert [json.loads(line)["cores"] for line in lines] == [1, 2**64 - 1]


def test_csv_has_a_header_and_empty_nulls(table):
    assert encode(table, ResultFormat.CSV).decode() == (
        "host,time,usage,cores,up\n"
        "a,2065-02-08T17:28:51,90.0,1,true\n"
        ",1970-01-01T00:00:00.000000123,,18446744073709551615,\n"
    )


def test_pretty_is_an_ascii_table_without_newline_at_the_end(table):
    assert encode(table.select(["host", "usage"]), ResultFormat.PRETTY).decode() == (
        "+------+-------+\n"
        "| host | usage |\n"
        "+------+-------+\n"
        "| a    | 90.0  |\n"
        "|      |       |\n"
        "+------+-------+"
    )


def test_pretty_keeps_columns_straight_for_wide_signs_and_lines():
    table = pyarrow.table({"x": ["日本", "a\nb"], "y": ["1", "2"]})
    assert encode(table, ResultFormat.PRETTY).decode().split("\n")[3:6] == [
        "| 日本 | 1 |",
        "| a    | 2 |",
        "| b    |   |",
    ]


@pytest.mark.parametrize(
    ("result_format", "body"),
    [
        (ResultFormat.JSON, b"[]"),
        (ResultFormat.JSON_LINES, b""),
        (ResultFormat.CSV, b""),
        (ResultFormat.PRETTY, b"++\n++"),
        (ResultFormat.PARQUET, b""),
    ],
)
def test_results_without_rows(table, result_format, body):
    assert encode(table.slice(0, 0), result_format) == body


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00"),
        (1_000_000, "1970-01-01T00:00:00.001"),
        (120_000_000, "1970-01-01T00:00:00.120"),
        (1_000, "1970-01-01T00:00:00.000001"),
        (1, "1970-01-01T00:00:00.000000001"),
        (-1, "1969-12-31T23:59:59.999999999"),
        (10_000_000_000, "1970-01-01T00:00:10"),
    ],
)
def test_times_have_as_many_digits_as_they_need(time_ns, text):
    assert one(time_ns, TIME) == [{"x": text}]
    both = pyarrow.table({"x": pyarrow.array([time_ns, 1], TIME)})
    assert json.loads(encode(both, ResultFormat.JSON))[0] == {"x": text}


@pytest.mark.parametrize(
    ("value", "text"),
    [(90.0, "90.0"), (-0.0, "-0.0"), (0.1, "0.1"), (1e20, "1e20"), (1.5e-7, "1.5e-7")],
)
def test_floats_stay_floats(value, text):
    table = pyarrow.table({"x": [value]})
    assert encode(table, ResultFormat.JSON).decode() == f'[{{"x":{text}}}]'


def test_numbers_that_are_none_are_null_in_json_and_words_in_csv():
    table = pyarrow.table({"x": [math.nan, math.inf, -math.inf, 1.0, None]})
    assert encode(table, ResultFormat.JSON) == b'[{"x":null},{"x":null},{"x":null},{"x":1.0},{}]'
    assert encode(table, ResultFormat.CSV) == b"x\nNaN\ninf\n-inf\n1.0\n\n"


@pytest.mark.parametrize("width", [1, 2, 3])
def test_rows_of_nulls_are_empty_objects(width):
    nulls = pyarrow.array([None, None], pyarrow.int64())
    table = pyarrow.table({f"c{number}": nulls for number in range(width)})
    assert encode(table, ResultFormat.JSON) == b"[{},{}]"


def test_nested_values():
    struct = pyarrow.StructArray.from_arrays(
        [pyarrow.array([1], TIME), pyarrow.array([2.0])], ["time", "value"]
    )
    table = pyarrow.table(
        {"s": struct, "l": [[1, 2]], "d": pyarrow.array([1], pyarrow.duration("s"))}
    )
    assert json.loads(encode(table, ResultFormat.JSON)) == [
        {"s": {"time": "1970-01-01T00:00:00.000000001", "value": 2.0}, "l": [1, 2], "d": "PT1S"}
    ]
    assert encode(table, ResultFormat.CSV).decode().splitlines()[1] == (
        '"{time: 1970-01-01T00:00:00.000000001, value: 2.0}","[1, 2]",PT1S'
    )


TEXT = st.text(st.characters(exclude_categories=("Cs",)))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(TEXT | st.none(), st.floats() | st.none(), st.integers(-(2**63), 2**63 - 1))
    ),
    TEXT,
)
def test_json_reads_back(rows, name):
    names = [f"{name}0", f"{name}1", f"{name}2"]
    types = [pyarrow.utf8(), pyarrow.float64(), pyarrow.int64()]
    columns = [
        pyarrow.array([row[number] for row in rows], data_type)
        for number, data_type in enumerate(types)
    ]
    table = pyarrow.table(columns, names=names)
    expected = [
        {
            key: value if not isinstance(value, float) or math.isfinite(value) else None
            for key, value in zip(names, row, strict=True)
            if value is not None
        }
        for row in rows
    ]
    assert json.loads(encode(table, ResultFormat.JSON)) == expected
    lines = encode(table, ResultFormat.JSON_LINES).decode().split("\n")[:-1]
    assert [json.loads(line) for line in lines] == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1))
def test_csv_reads_back(rows):
    table = pyarrow.table({"a,b": [row[0] for row in rows], "c": [row[1] for row in rows]})
    text = encode(table, ResultFormat.CSV).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["a,b", "c"], *map(list, rows)]


def test_long_results_come_in_pieces():
    table = pyarrow.table({"x": list(range(40_000)), "s": ['"'] * 40_000})
    parts = list(pieces(table, ResultFormat.JSON))
    assert len(parts) > 2
    assert [row["x"] for row in json.loads(b"".join(parts))] == list(range(40_000))
    chunked = pyarrow.concat_tables([table.slice(0, 10), table.slice(10)])
    assert encode(chunked, ResultFormat.CSV) == encode(table, ResultFormat.CSV)


def test_parquet_and_arrow_read_back(table):
    read = pyarrow.parquet.read_table(io.BytesIO(encode(table, ResultFormat.PARQUET)))
    assert read.column("time").cast(pyarrow.int64()).to_pylist() == [3_001_339_731_000_000_000, 123]
    assert pyarrow.ipc.open_stream(arrow_ipc(table)).read_all().equals(table)


def test_formats_by_name():
    assert format_named("json_lines") is ResultFormat.JSON_LINES
    assert [format_named(name) for name in CONTENT_TYPES] == list(ResultFormat)
    with pytest.raises(RequestError, match="yaml"):
        format_named("yaml")


@pytest.mark.parametrize(
    ("accept", "result_format"),
    [
        (None, ResultFormat.JSON),
        ("*/*", ResultFormat.JSON),
        ("text/html,application/xhtml+xml", ResultFormat.JSON),
        ("application/json", ResultFormat.JSON),
        ("text/csv", ResultFormat.CSV),
        ("text/plain; charset=utf-8", ResultFormat.PRETTY),
        ("application/vnd.apache.parquet", ResultFormat.PARQUET),
    ],
)
def test_formats_by_accept_header(accept, result_format):
    assert format_accepted(accept) is result_format


def test_other_mime_types_are_refused():
    with pytest.raises(RequestError, match=r"^invalid mime type \(image/png\)$"):
        format_accepted("image/png")
