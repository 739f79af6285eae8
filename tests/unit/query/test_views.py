import threading

import pyarrow
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.query.views import CHUNK_ROWS, ArrowTables, distinct_names, original_name
from engine.store.snapshot import TableSnapshot
from lp_core.enums import ColumnType
from tests.unit.query.fakes import FakeBatch

COLUMNS = {
    "host": ColumnType.TAG,
    "Rack": ColumnType.TAG,
    "usage": ColumnType.FLOAT64,
    "usage_last": ColumnType.INT64,
    "note": ColumnType.STRING,
    "up": ColumnType.BOOL,
}
NAMES = sorted([*COLUMNS, "time"])
FIELDS = [name for name, kind in COLUMNS.items() if kind is not ColumnType.TAG]


def batch(*rows):
    named = {name for row in rows for name in row} - {"time"}
    return FakeBatch({name: kind for name, kind in COLUMNS.items() if name in named}, rows)


def shot(batches, ranges=()):
    return TableSnapshot(
        name="t",
        columns=tuple(COLUMNS.items()),
        batches=tuple(batches),
        overlap_ranges=tuple(ranges),
    )


def rows_of(table):
    table = table.set_column(
        table.column_names.index("time"), "time", table.column("time").cast(pyarrow.int64())
    )
    return table.to_pylist()


def full(row):
    return {name: row.get(name) for name in NAMES}


def test_columns_are_alphabetical_and_missing_ones_null():
    table = ArrowTables().table(
        "db", shot([batch({"usage": 1.0, "time": 1}), batch({"host": "a", "time": 2})])
    )
    assert table.column_names == NAMES
    assert rows_of(table) == [full({"usage": 1.0, "time": 1}), full({"host": "a", "time": 2})]
    assert table.schema.field("host").type == pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8())
    assert table.schema.field("time").type == pyarrow.timestamp("ns")


def test_a_table_without_batches_has_its_columns():
    table = ArrowTables().table("db", shot([]))
    assert (table.column_names, table.num_rows) == (NAMES, 0)


def test_new_batches_are_added_to_what_is_kept():
    tables = ArrowTables()
    batches = [
        batch({"host": f"h{number % 3}", "usage": 1.0, "time": number}) for number in range(50)
    ]
    for count in (1, 2, 3, 10, 11, 50):
        table = tables.table("db", shot(batches[:count]))
        assert [row["time"] for row in rows_of(table)] == list(range(count))
    assert tables.table("db", shot(batches)) is tables.table("db", shot(list(batches)))
    assert table.column("time").num_chunks < 10


def test_an_older_snapshot_is_answered_without_forgetting_the_newer():
    tables = ArrowTables()
    batches = [batch({"usage": 1.0, "time": number}) for number in range(20)]
    newer = tables.table("db", shot(batches))
    assert [row["time"] for row in rows_of(tables.table("db", shot(batches[:7])))] == list(range(7))
    assert tables.table("db", shot(batches)) is newer


def test_a_table_whose_front_went_away_is_converted_anew():
    tables = ArrowTables()
    batches = [batch({"usage": 1.0, "time": number}) for number in range(6)]
    tables.table("db", shot(batches))
    assert [row["time"] for row in rows_of(tables.table("db", shot(batches[2:])))] == [2, 3, 4, 5]
    tables.forget("db", "t")
    tables.forget("other")
    assert tables.table("db", shot([])).num_rows == 0


def test_large_batches_are_not_copied():
    rows = [{"usage": float(number), "time": number} for number in range(CHUNK_ROWS)]
    large = batch(*rows)
    table = ArrowTables().table("db", shot([large, batch({"usage": 0.0, "time": 0})]))
    address = pyarrow.record_batch(large).column("usage").buffers()[1].address
    chunks = [chunk for chunk in table.column("usage").chunks if len(chunk)]
    assert chunks[0].buffers()[1].address == address
    assert len(chunks[-1]) == 1


def test_many_small_batches_stay_few_chunks():
    batches = [batch({"usage": 1.0, "time": number}) for number in range(3000)]
    tables = ArrowTables()
    for count in range(2900, 3001):
        table = tables.table("db", shot(batches[:count]))
    assert table.num_rows == 3000
    assert table.column("time").num_chunks <= 14


def test_threads_share_what_is_kept():
    tables = ArrowTables()
    batches = [batch({"usage": 1.0, "time": number}) for number in range(200)]
    wrong = []

    def read(start):
        wrong.extend(
            count
            for count in range(start, 200, 7)
            if tables.table("db", shot(batches[:count])).num_rows != count
        )

    threads = [threading.Thread(target=read, args=(start,)) for start in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


TAG = st.sampled_from(["a", "b", "", None])
ROW = st.fixed_dictionaries(
    {"time": st.integers(0, 12)},
    optional={
        "host": TAG,
        "Rack": TAG,
        "usage": st.floats(allow_nan=False) | st.none(),
        "usage_last": st.integers(-5, 5) | st.none(),
        "note": st.sampled_from(["x", "", None]),
        "up": st.booleans() | st.none(),
    },
)
RANGES = st.lists(
    st.tuples(st.integers(-2, 14), st.integers(0, 5)).map(lambda span: (span[0], sum(span))),
    max_size=3,
)


def disjoint(ranges):
    merged = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def oracle(rows, ranges):
    """Last write wins field by field inside of the ranges; everything else passes."""
    outside, inside = [], {}
    for row in map(full, rows):
        if not any(first <= row["time"] <= last for first, last in ranges):
            outside.append(row)
            continue
        merged = inside.setdefault((row["host"], row["Rack"], row["time"]), row)
        for field in FIELDS:
            if row[field] is not None:
                merged[field] = row[field]
    return outside + list(inside.values())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(ROW, min_size=1, max_size=5), max_size=8), RANGES, st.integers(0, 8))
def test_duplicates_fold_as_the_oracle_says(groups, ranges, seen_before):
    ranges = disjoint(ranges)
    batches = [batch(*rows) for rows in groups]
    tables = ArrowTables()
    tables.table("db", shot(batches[:seen_before], ranges))
    table = tables.table("db", shot(batches, ranges))
    table.validate(full=True)
    expected = oracle([row for rows in groups for row in rows], ranges)
    assert sorted(rows_of(table), key=repr) == sorted(expected, key=repr)


def test_a_table_with_nothing_but_tags_folds_too():
    columns = {"host": ColumnType.TAG}
    rows = [FakeBatch(columns, [{"host": "a", "time": 1}]) for _ in range(3)]
    given = TableSnapshot(
        name="t", columns=tuple(columns.items()), batches=tuple(rows), overlap_ranges=((0, 5),)
    )
    assert ArrowTables().table("db", given).num_rows == 1


def test_names_that_differ_in_case_get_distinct_names_and_back():
    renamed = distinct_names(["temp", "Temp", "TEMP", "host"])
    assert set(renamed) == {"Temp", "temp"}
    assert len({*renamed.values(), "TEMP"}) == 3
    assert {original_name(name) for name in renamed.values()} == {"Temp", "temp"}
    assert distinct_names(["a", "b"]) == {}


def test_names_may_look_like_new_ones():
    names = ["A", "a", "b", "b\u2063"]
    for _ in range(3):
        names += distinct_names(names).values()
        known = [distinct_names(names).get(name, name) for name in names]
        assert len({name.lower() for name in known}) == len(set(names))
        assert [original_name(name) for name in known] == names
