# Cells, types and times of files of tables; a bad row is refused by itself, with its place.
import io
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from engine.cli.import_lines import Columns, parse_time
from engine.cli.import_tables import (
    Shape,
    csv_batches,
    json_batches,
    parquet_batches,
    parse_cells,
)
from engine.errors import ConfigError

SHAPE = Shape("m", ("host",), {}, "time", "ns")


def read(text: str, shape: Shape = SHAPE, size: int = 1 << 20, make=csv_batches):
    found = list(make(io.BytesIO(text.encode()), size, shape, place=0, line=0, known=None))
    body = b"".join(batch.body for _, batch in found).decode()
    refused = [(row.line, row.reason) for _, batch in found for row in batch.refused]
    return body, refused, found


def test_cells() -> None:
    assert parse_cells("a,,b") == ["a", None, "b"]
    assert parse_cells('"",x,"a ""q"", b",') == ["", "x", 'a "q", b', None]
    for bad in ('a"b"', '"a"b', '"a'):
        with pytest.raises(ValueError, match="quote"):
            parse_cells(bad)


def test_times() -> None:
    assert parse_time("2024-01-01T00:00:00.123456789Z", 1) == 1704067200123456789
    assert parse_time("2024-01-01 01:00:00+01:00", 1) == 1704067200000000000
    assert parse_time("-5", 1000) == -5000
    for bad in ("2024-01-01", "now", "1.5", "2024-13-01T00:00:00Z"):
        with pytest.raises(ValueError):
            parse_time(bad, 1)


def test_types_are_inferred_from_all_first_rows() -> None:
    text = "time,host,i,u,f,b,s,n\n1,a,1,18446744073709551615,1,true,x,\n2,b,-2,0,1.5,FALSE,1,\n"
    body, refused, _ = read(text)
    assert not refused
    first, second = body.splitlines()
    assert first == 'm,host=a i=1i,u=18446744073709551615u,f=1.0,b=t,s="x" 1'
    assert second == 'm,host=b i=-2i,u=0u,f=1.5,b=f,s="1" 2'


def test_what_stands_in_front_tells_table_and_types() -> None:
    text = (
        '#constant measurement,"a b"\n#datatype dateTime:number,tag,double,ignored,string\n'
        'time,t,v,x,s\n1,,1,9,""\n2,"",,,\n'
    )
    body, refused, _ = read(text, Shape(None, (), {}, "time", "s"))
    assert body == 'a\\ b v=1.0,s="" 1000000000\n'
    assert [line for line, _ in refused] == [5]
    assert "field" in refused[0][1]


def test_bad_rows_are_refused_by_themselves() -> None:
    text = "time,host,v\n1,a,1\n2,a\nx,a,1\n,a,1\n3,a,1e5\n4,a,99999999999999999999\n5,a,5\n"
    shape = SHAPE._replace(types={"v": "long"})
    body, refused, _ = read(text, shape)
    assert body == "m,host=a v=1i 1\nm,host=a v=5i 5\n"
    assert [line for line, _ in refused] == [3, 4, 5, 6, 7]
    assert refused[0][1] == "it has 2 cells, and the header 3"
    assert refused[2][1] == "it has no time"
    assert refused[3][1].startswith("column 'v': ")


def test_reading_goes_on_from_any_batch() -> None:
    text = "time,host,v\n" + "".join(f'{row},h{row},"{row}\n"\n' for row in range(50))
    body, _, found = read(text, size=60)
    assert len(found) > 10
    for columns, batch in found:
        rest = io.BytesIO(text.encode()[batch.place :])
        assert text.encode()[: batch.place].count(b"\n") == batch.line
        again = csv_batches(rest, 60, SHAPE, place=batch.place, line=batch.line, known=columns)
        bodies = b"".join(one.body for _, one in again).decode()
        assert body.endswith(bodies)
        done = body.removesuffix(bodies)
        assert done.endswith(batch.body.decode())


def test_json_lines() -> None:
    text = (
        '{"time":1,"host":"a","v":1,"b":true}\n\n{"time":2,"v":2.5,"s":"x"}\nnope\n[1]\n'
        '{"time":3,"v":"x"}\n{"time":"1970-01-01T00:00:00.000000004Z","v":4}\n{}\n'
    )
    body, refused, _ = read(text, SHAPE._replace(types={"v": "double"}), make=json_batches)
    assert body.splitlines() == ["m,host=a v=1.0,b=t 1", 'm v=2.5,s="x" 2', "m v=4.0 4"]
    assert [line for line, _ in refused] == [4, 5, 6, 8]


def test_a_quote_within_a_cell_takes_no_other_row_along() -> None:
    text = 'time,host,v\n1,5" pipe,1\n2,b,2\n3,"c""\n",3\n4,"d,4\n'
    body, refused, _ = read(text, SHAPE._replace(types={"v": "string"}, tags=()))
    assert body == 'm host="b",v="2" 2\nm host="c\\"\n",v="3" 3\n'
    assert [line for line, _ in refused] == [2, 6]


def test_what_is_missing_is_said() -> None:
    for text, shape, message in (
        ("", SHAPE, "no rows and no header"),
        ("time,v\n1,1\n", SHAPE._replace(table=None, tags=()), "does not tell its table"),
        ("time,v\n1,1\n", SHAPE, "no column 'host'"),
        ("t,host,v\n1,a,1\n", SHAPE, "no column 'time'"),
        ("#datatype long\ntime,host,v\n1,a,1\n", SHAPE, "1 types for 3 columns"),
        ("#datatype long,x,x\ntime,host,v\n1,a,1\n", SHAPE, "no type 'x'"),
    ):
        with pytest.raises(ConfigError, match=message):
            read(text, shape)


def test_parquet_of_others(tmp_path: Path) -> None:
    path = str(tmp_path / "x.parquet")
    table = pyarrow.table(
        {
            "time": pyarrow.array([1, 2, None, 4], pyarrow.timestamp("ms")),
            "host": ["a", None, "c", "d"],
            "v": pyarrow.array([1.5, 2, 3, float("nan")], pyarrow.float32()),
            "n": pyarrow.array([1, None, 3, 4], pyarrow.int16()),
        }
    )
    pyarrow.parquet.write_table(table, path)
    batches = list(parquet_batches(path, 1 << 20, SHAPE, place=0))
    assert b"".join(batch.body for batch in batches).decode().splitlines() == [
        "m,host=a v=1.5,n=1i 1000000",
        "m v=2.0 2000000",
    ]
    assert [row.line for batch in batches for row in batch.refused] == [3, 4]
    for batch in batches:
        rest = list(parquet_batches(path, 1 << 20, SHAPE, place=batch.place))
        assert sum(one.body.count(b"\n") for one in rest) == sum(
            one.body.count(b"\n") for one in batches if one.place > batch.place
        )
    with pytest.raises(ConfigError, match="does not tell its table"):
        list(parquet_batches(path, 1, SHAPE._replace(table=None), place=0))


def test_columns_are_kept_as_plain_values() -> None:
    columns = Columns("m", ["time"], ["dateTime"])
    assert Columns(*list(columns)) == columns
