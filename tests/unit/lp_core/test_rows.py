# Rows as plugins get them: real dicts of plain values, tags first, time last, nothing for nulls.
import gc
import random
import weakref

import pyarrow
import pytest

from lp_core import ColumnType
from tests.support.segments import batch_of


class Marker:
    """Something that tells when it is gone."""


def test_row_has_tags_then_fields_then_time():
    (row,) = batch_of("m,host=A,region=west usage=1i,system=23.2 100")["m"].rows()
    assert list(row.items()) == [
        ("host", "A"),
        ("region", "west"),
        ("usage", 1),
        ("system", 23.2),
        ("time", 100),
    ]


def test_tag_that_appears_later_than_a_field_still_comes_first():
    rows = batch_of("m f=1 1\nm,t=x f=2,g=3 2")["m"].rows()
    assert [list(row) for row in rows] == [["f", "time"], ["t", "f", "g", "time"]]


def test_values_are_plain_python_objects():
    (row,) = batch_of('m,t=v i=-1i,u=2u,f=1,b=t,s="x" 5')["m"].rows()
    assert type(row) is dict
    kinds = {key: type(value) for key, value in row.items()}
    assert kinds == {
        "t": str, "i": int, "u": int, "f": float, "b": bool, "s": str, "time": int
    }  # fmt: skip


def test_extreme_values_survive():
    (row,) = batch_of(
        "m a=9223372036854775807i,b=-9223372036854775808i,c=18446744073709551615u,d=5e-324 -1"
    )["m"].rows()
    assert row == {"a": 2**63 - 1, "b": -(2**63), "c": 2**64 - 1, "d": 5e-324, "time": -1}


def test_column_that_a_row_lacks_is_absent():
    rows = batch_of('m a=1i 1\nm b="" 2\nm a=2i,b="x" 3\nm,t=y c=f 4')["m"].rows()
    assert rows == [
        {"a": 1, "time": 1},
        {"b": "", "time": 2},
        {"a": 2, "b": "x", "time": 3},
        {"t": "y", "c": False, "time": 4},
    ]


def test_rows_share_keys_and_tag_texts():
    first, second = batch_of("m,site=north-west-1 value=1 1\nm,site=north-west-1 value=2 2")[
        "m"
    ].rows()
    assert first["site"] is second["site"]
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_each_call_gives_new_rows():
    table = batch_of("m f=1 1")["m"]
    table.rows()[0]["f"] = "changed"
    table.rows().clear()
    assert table.rows() == [{"f": 1.0, "time": 1}]


def rows_through_arrow(table):
    """The rows by the way of Arrow, without what is null, tags first and time last."""
    tags = [name for name, kind in table.schema if kind is ColumnType.TAG]
    rest = [name for name, kind in table.schema if kind is not ColumnType.TAG]
    columns = pyarrow.record_batch(table)
    columns = columns.set_column(
        columns.num_columns - 1, "time", columns.column("time").cast(pyarrow.int64())
    )
    return [
        {key: row[key] for key in tags + rest if row[key] is not None}
        for row in columns.to_pylist()
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 64, 1_000])
def test_rows_with_any_columns_absent_match_the_arrow_columns(count):
    choice = random.Random(count)
    lines = []
    for number in range(count):
        tags = [f",t{i}=v{choice.randrange(4)}" for i in range(4) if choice.random() < 0.6]
        texts = ["{}i", "{}.5", "{}u", '"{}"', "t"]
        fields = [
            f"f{i}={texts[i % 5].format(choice.randrange(10 ** choice.randrange(1, 18)))}"
            for i in range(10)
            if choice.random() < 0.7
        ]
        lines.append(f"m{''.join(tags)} {','.join([*fields, 'last=1i'])} {number}")
    table = batch_of("\n".join(lines))["m"]
    rows = table.rows()
    assert [list(row.items()) for row in rows] == [
        list(row.items()) for row in rows_through_arrow(table)
    ]


def test_rows_do_not_share_what_is_changed_in_them():
    rows = batch_of("\n".join(f"m,t=a f={n}i {n}" for n in range(10)))["m"].rows()
    rows[0].clear()
    rows[1]["new"] = []
    del rows[2]["f"]
    assert rows[3:] == [{"t": "a", "f": n, "time": n} for n in range(3, 10)]
    assert rows[2] == {"t": "a", "time": 2}


def test_list_of_rows_takes_part_in_garbage_collection():
    rows = batch_of("m f=1 1")["m"].rows()
    assert gc.is_tracked(rows)
    rows[0]["own"] = rows
    marker = rows[0]["marker"] = Marker()
    gone = weakref.ref(marker)
    del rows, marker
    gc.collect()
    assert gone() is None
