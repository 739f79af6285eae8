"""Arrow tables in place of dicts: write runs, queries and write-backs."""

import pyarrow as pa
import pytest

from engine.plugins.channel import WritesRun
from engine.plugins.result_rows import in_form
from engine.plugins.table_batches import delivery_for, merged_sections
from engine.plugins.testing import FakeApi, Plugin, tables
from lp_core import ColumnType, Section
from tests.support.segments import batch_of


def sections(*bodies, database="db"):
    return [Section(database, batch_of(body)) for body in bodies]


def arrow_of(bodies, **settings):
    run = WritesRun(database="db", **settings)
    return merged_sections(sections(*bodies), run).arrow_tables()


def plain(table):
    times = table.column("time").cast(pa.int64())
    index = table.column_names.index("time")
    return table.set_column(index, "time", times).to_pylist()


def test_a_table_has_typed_columns_with_tags_as_dictionaries_and_time_last():
    (table,) = arrow_of(['m,t=a i=1i,u=2u,f=3,b=t,s="x" 5']).values()
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("t", "dictionary<values=string, indices=int32, ordered=0>"),
        ("i", "int64"),
        ("u", "uint64"),
        ("f", "double"),
        ("b", "bool"),
        ("s", "string"),
        ("time", "timestamp[ns]"),
    ]
    assert plain(table) == [{"t": "a", "i": 1, "u": 2, "f": 3.0, "b": True, "s": "x", "time": 5}]


def test_frames_with_different_columns_become_one_table_with_nulls():
    found = arrow_of(["m,t=a f=1 1\nn g=1i 1", "m,u=b h=2i 2", "m,t=c f=3 3"])
    assert list(found) == ["m", "n"]
    assert found["m"].column_names == ["t", "f", "u", "h", "time"]
    assert plain(found["m"]) == [
        {"t": "a", "f": 1.0, "u": None, "h": None, "time": 1},
        {"t": None, "f": None, "u": "b", "h": 2, "time": 2},
        {"t": "c", "f": 3.0, "u": None, "h": None, "time": 3},
    ]


@pytest.mark.parametrize(("start", "end"), [(0, None), (1, 4), (2, 3), (4, None), (0, 1), (3, 3)])
def test_a_stretch_of_rows_is_the_same_as_dicts_and_as_arrow(start, end):
    bodies = ["m f=0 0\nm f=1 1\nn f=2 2", "m f=3 3\nn f=4 4"]
    run = WritesRun(database="db", row_start=start, row_end=end)
    delivery = merged_sections(sections(*bodies), run)
    dicts = {batch["table_name"]: batch["rows"] for batch in delivery.table_batches()}
    arrow = {name: plain(table) for name, table in delivery.arrow_tables().items()}
    assert arrow == dicts
    ordered = [0, 1, 3, 2, 4][start:end]  # table by table
    assert [row["time"] for rows in dicts.values() for row in rows] == ordered
    assert delivery.rows == len(ordered)


def test_the_columns_are_those_of_the_frame_not_copies():
    (section,) = sections("m i=1i 1\nm i=2i 2")
    own = pa.record_batch(section.batch["m"]).column("i").buffers()[1].address
    delivery = merged_sections([section], WritesRun(database="db"))
    table = delivery.arrow_tables()["m"]
    assert table.column("i").chunk(0).buffers()[1].address == own


def test_rows_that_came_with_the_run_have_dictionary_tags():
    run = WritesRun(
        database="db",
        inline=[("m", [{"t": "a", "s": "x", "time": 1}, {"f": 1.5, "u": 3, "time": 2}])],
        inline_types={"m": {"t": ColumnType.TAG, "u": ColumnType.UINT64}},
    )
    (table,) = delivery_for(run).arrow_tables().values()
    assert pa.types.is_dictionary(table.schema.field("t").type)
    assert pa.types.is_string(table.schema.field("s").type)
    assert plain(table) == [
        {"t": "a", "s": "x", "f": None, "u": None, "time": 1},
        {"t": None, "s": None, "f": 1.5, "u": 3, "time": 2},
    ]
    assert table.schema.field("u").type == pa.uint64()


def test_inline_rows_have_the_schema_of_the_log():
    """So that a plugin that is given dead letters again cannot tell the difference."""
    (section,) = sections('m,t=a i=1i,u=2u,f=1,b=t,s="x" 1\nm,t=b i=2i,u=3u,f=2,b=f,s="y" 2')
    from_log = merged_sections([section], WritesRun(database="db"))
    types = {
        "t": ColumnType.TAG,
        "i": ColumnType.INT64,
        "u": ColumnType.UINT64,
        "f": ColumnType.FLOAT64,
        "b": ColumnType.BOOL,
        "s": ColumnType.STRING,
    }
    rows = from_log.table_batches()[0]["rows"]
    run = WritesRun(database="db", inline=[("m", rows)], inline_types={"m": types})
    inline = delivery_for(run).arrow_tables()["m"]
    assert inline.schema == from_log.arrow_tables()["m"].schema


def written(table, **settings):
    api = FakeApi()
    api.write_table("out", table, **settings)
    return api.lines_of(settings.get("database", "test"))


def test_write_table_makes_lines_of_any_arrow_table():
    times = pa.array([1, 2], pa.timestamp("ns"))
    table = pa.table({"host": ["a", "b"], "f": [1.5, None], "n": [None, 2], "time": times})
    assert written(table, tags=["host"]) == ["out,host=a f=1.5 1\nout,host=b n=2i 2"]
    dictionary = table.set_column(0, "host", table["host"].dictionary_encode())
    assert written(dictionary) == ["out,host=a f=1.5 1\nout,host=b n=2i 2"]
    renamed = table.rename_columns(["host", "f", "n", "at"])
    assert written(renamed, tags=["host"], time="at", database="x")[0].endswith("n=2i 2")
    without = table.drop_columns(["time"])
    assert written(without, tags=["host"], time=None) == ["out,host=a f=1.5\nout,host=b n=2i"]
    assert written(table.slice(0, 0), tags=["host"]) == []


def test_write_table_refuses_in_the_plugin_what_no_line_can_carry():
    with pytest.raises(ValueError, match="nothere"):
        written(pa.table({"f": [1.0]}), time="nothere")
    with pytest.raises(TypeError):
        written([{"f": 1}])


def test_an_arrow_plugin_is_tested_with_tables(tmp_path):
    path = tmp_path / "sums.py"
    path.write_text(
        "import pyarrow.compute as pc\n"
        "def process_batches(api, tables, args):\n"
        "    for name, table in tables.items():\n"
        "        total = pc.sum(table['f']).as_py()\n"
        "        api.write(LineBuilder('sums').tag('of', name).float64_field('f', total))\n"
    )
    api = FakeApi()
    Plugin(path).process_batches(api, tables("m f=1 1\nm f=2 2"))
    assert api.lines == ["sums,of=m f=3.0"]
    with pytest.raises(TypeError, match="process_batches"):
        Plugin(path).process_writes(api, [])


def test_results_of_the_fake_come_in_every_form():
    api = FakeApi({"Q": [{"x": 1}, {"x": 2}]})
    assert api.query("Q", as_="arrow").to_pydict() == {"x": [1, 2]}
    with pytest.raises(ValueError, match="as_"):
        in_form_of_real_api(api)


def in_form_of_real_api(api):
    """The check of the form is the real API's."""
    from engine.plugins.api import InfluxDB3Local

    InfluxDB3Local.query(api, "Q", as_="excel")


@pytest.mark.parametrize("form", ["pandas", "polars"])
def test_a_library_that_is_not_there_is_named(form, monkeypatch):
    import sys

    table = pa.table({"x": [1]})  # first, because pyarrow looks for pandas when it is first used
    monkeypatch.setitem(sys.modules, form, None)
    with pytest.raises(ImportError, match=f"headrace install package {form}"):
        in_form(table, form)


def test_tables_of_pandas_and_polars():
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    table = pa.table({"x": [1, 2]})
    assert isinstance(in_form(table, "pandas"), pandas.DataFrame)
    assert isinstance(in_form(table, "polars"), polars.DataFrame)
    assert written(in_form(table, "polars"), time=None) == ["out x=1i\nout x=2i"]
    assert written(in_form(table, "pandas"), time=None) == ["out x=1i\nout x=2i"]


@pytest.mark.parametrize(
    ("value", "later", "expected"),
    [
        (1, ColumnType.TAG, "int64"),
        ("x", ColumnType.INT64, "string"),
        ("x", ColumnType.FLOAT64, "string"),
        (1.5, ColumnType.UINT64, "double"),
    ],
)
def test_parked_rows_of_a_table_whose_successor_has_other_types_keep_their_own(
    value, later, expected
):
    run = WritesRun(
        database="db", inline=[("m", [{"f": value, "time": 1}])], inline_types={"m": {"f": later}}
    )
    table = delivery_for(run).arrow_tables()["m"]
    assert str(table.schema.field("f").type) == expected
    assert plain(table) == [{"f": value, "time": 1}]
