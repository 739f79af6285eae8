# SchemaIndex: registering tables and columns, conflicts, and the proof that rows are new.
import random
import threading

import pytest

from lp_core import (
    ColumnType,
    SchemaConflictError,
    SchemaIndex,
    SeriesCorruptError,
    WriteBatch,
    parse,
)


def batch_of(body: bytes) -> WriteBatch:
    result = parse(body, precision="ns", now_ns=0)
    assert result.errors == []
    return result.batch


@pytest.fixture
def schema() -> SchemaIndex:
    return SchemaIndex()


def test_apply_registers_tables_and_columns_in_order(schema):
    assert schema.apply(batch_of(b"b,t=1 f=1 1\na g=2i 1"))
    assert schema.tables() == ["b", "a"]
    assert schema.columns("b") == (("t", ColumnType.TAG), ("f", ColumnType.FLOAT64))
    assert schema.columns("a") == (("g", ColumnType.INT64),)


def test_apply_tells_whether_anything_was_new(schema):
    assert schema.apply(batch_of(b"m f=1"))
    assert not schema.apply(batch_of(b"m f=2"))
    assert schema.apply(batch_of(b"m f=2,g=1"))
    assert schema.columns("m") == (("f", ColumnType.FLOAT64), ("g", ColumnType.FLOAT64))


def test_conflict_names_table_column_and_types(schema):
    schema.apply(batch_of(b"m,t=1 f=1"))
    assert schema.conflict(batch_of(b"m,t=2 f=2,g=3\nn f=1i")) is None
    assert schema.conflict(batch_of(b"n f=1\nm f=1i")) == (
        "m",
        "f",
        ColumnType.FLOAT64,
        ColumnType.INT64,
    )
    assert schema.conflict(batch_of(b"m,f=x g=1")) == (
        "m",
        "f",
        ColumnType.FLOAT64,
        ColumnType.TAG,
    )


def test_failed_apply_changes_nothing(schema):
    schema.apply(batch_of(b"m f=1"))
    with pytest.raises(SchemaConflictError) as caught:
        schema.apply(batch_of(b"new a=1\nm g=1,f=2i"))
    assert (caught.value.table, caught.value.column) == ("m", "f")
    assert caught.value.expected == "iox::column_type::field::float"
    assert caught.value.got == "iox::column_type::field::integer"
    assert schema.tables() == ["m"]
    assert schema.columns("m") == (("f", ColumnType.FLOAT64),)


def test_add_column_adds_its_table(schema):
    schema.add_column("m", "é", ColumnType.TAG)
    schema.add_column("m", "é", ColumnType.TAG)
    assert schema.columns("m") == (("é", ColumnType.TAG),)
    with pytest.raises(SchemaConflictError):
        schema.add_column("m", "é", ColumnType.BOOL)
    with pytest.raises(ValueError, match="time"):
        schema.add_column("m", "time", ColumnType.TIME)


def test_dropped_table_is_unknown_and_the_others_stay(schema):
    for i in range(20):
        schema.add_column(f"t{i}", "f", ColumnType.INT64)
    schema.observe(batch_of(b"t5 f=1i 10"))
    schema.drop_table("t5")
    assert schema.tables() == [f"t{i}" for i in range(20) if i != 5]
    assert schema.columns("t19") == (("f", ColumnType.INT64),)
    assert schema.series("t5", {}) is None
    with pytest.raises(KeyError):
        schema.columns("t5")
    with pytest.raises(KeyError):
        schema.drop_table("t5")
    assert schema.apply(batch_of(b"t5 f=t"))
    assert schema.columns("t5") == (("f", ColumnType.BOOL),)


def test_thousands_of_tables_and_columns_are_found(schema):
    body = b"\n".join(b"t%d a%d=1,b%d=2i 1" % (i, i, i) for i in range(3_000))
    schema.apply(batch_of(body))
    schema.apply(batch_of(b"wide " + b",".join(b"c%d=%di" % (i, i) for i in range(3_000))))
    assert len(schema.tables()) == 3_001
    assert schema.columns("t2999")[0] == ("a2999", ColumnType.FLOAT64)
    assert schema.columns("wide")[2_999] == ("c2999", ColumnType.INT64)
    assert schema.conflict(batch_of(b"wide c2999=1")) is not None


def test_later_times_in_a_series_are_proven_new(schema):
    assert schema.observe(batch_of(b"m,h=a f=1 10\nm,h=b f=1 5\nm,h=a f=1 11")) == {}
    assert schema.observe(batch_of(b"m,h=b f=1 6\nm,h=a f=1 12\nm,h=c f=1 1")) == {}


def test_rows_not_later_than_their_series_give_a_range(schema):
    schema.observe(batch_of(b"m,h=a f=1 10\nm,h=b f=1 50\nn f=1 7"))
    suspects = schema.observe(batch_of(b"m,h=a f=1 9\nm,h=b f=1 50\nm,h=a f=1 99\nn f=1 8"))
    assert suspects == {"m": (9, 50)}


def test_rows_within_one_batch_count_too(schema):
    assert schema.observe(batch_of(b"m f=1 5\nm f=2 5\nm f=3 4")) == {"m": (4, 5)}


def test_series_key_does_not_depend_on_tag_order(schema):
    schema.observe(batch_of(b"m,a=1,b=2 f=1 10"))
    assert schema.observe(batch_of(b"m,b=2,a=1 f=1 10")) == {"m": (10, 10)}
    assert schema.observe(batch_of(b"m,b=1,a=2 f=1 10\nm,a=1 f=1 10\nm f=1 10")) == {}
    assert schema.series_count("m") == 4


def test_series_are_found_by_their_tags(schema):
    schema.observe(batch_of(b"m,a=1,b=2 f=1 10\nm,a=1 f=1 3\nm,b=2,a=1 f=1 7"))
    assert schema.series("m", {"b": "2", "a": "1"}) == (1, 10)
    assert schema.series("m", {"a": "1"}) == (2, 3)
    assert schema.series("m", {"a": "2"}) is None
    assert schema.series("x", {}) is None
    assert schema.series_count("x") == 0


def test_dumped_series_go_on_where_they_were(schema):
    body = b"\n".join(b"m,h=%d f=1 %d" % (i, 10 + i) for i in range(500))
    schema.observe(batch_of(body))
    again = SchemaIndex()
    again.load_series("m", schema.dump_series("m"))
    assert again.series_count("m") == 500
    assert again.series("m", {"h": "123"})[1] == 133
    assert again.observe(batch_of(b"m,h=7 f=1 18\nm,h=x f=1 1")) == {}
    assert again.observe(batch_of(b"m,h=7 f=1 18\nm,h=8 f=1 3")) == {"m": (3, 18)}


def test_a_table_without_series_is_dumped_and_loaded(schema):
    schema.load_series("m", schema.dump_series("m"))
    assert schema.series_count("m") == 0
    assert schema.observe(batch_of(b"m f=1 -5")) == {}


def test_a_dump_hashed_in_another_way_leaves_its_greatest_time(schema):
    schema.observe(batch_of(b"m,h=a f=1 10\nm,h=b f=1 50"))
    dump = bytearray(schema.dump_series("m"))
    dump[16] ^= 1  # of the hash of the probe
    again = SchemaIndex()
    again.load_series("m", bytes(dump))
    assert again.series_count("m") == 0
    assert schema.knows_all_series("m")
    assert not again.knows_all_series("m")
    assert again.observe(batch_of(b"m,h=c f=1 50\nm,h=d f=1 51")) == {"m": (50, 50)}
    assert again.observe(batch_of(b"m,h=d f=1 52\nm,h=e f=1 -9")) == {"m": (-9, -9)}
    third = SchemaIndex()
    third.load_series("m", again.dump_series("m"))
    assert third.observe(batch_of(b"m,h=f f=1 49")) == {"m": (49, 49)}


@pytest.mark.parametrize("cut", [0, 7, 47, 49, 63])
def test_a_cut_dump_is_refused(schema, cut):
    schema.observe(batch_of(b"m f=1 10"))
    dump = schema.dump_series("m")
    assert len(dump) == 64
    with pytest.raises(SeriesCorruptError):
        schema.load_series("m", dump[:cut])


def test_proof_never_misses_a_duplicate(schema):
    random_numbers = random.Random(7)
    seen: set[tuple[int, int]] = set()
    for _ in range(60):
        rows = [(random_numbers.randrange(300), random_numbers.randrange(50)) for _ in range(100)]
        body = "\n".join(f"m,h={host} f=1 {time}" for host, time in rows).encode()
        duplicates = []
        for row in rows:
            if row in seen:
                duplicates.append(row)
            seen.add(row)
        suspects = schema.observe(batch_of(body)).get("m")
        for _, time in duplicates:
            assert suspects is not None
            assert suspects[0] <= time <= suspects[1]
    assert schema.series_count("m") == len({host for host, _ in seen})


def test_observing_and_asking_may_happen_in_several_threads(schema):
    batches = [
        batch_of(b"\n".join(b"m,h=%d f=1 %d" % (i, n) for i in range(2_000))) for n in range(20)
    ]

    def ask() -> None:
        while schema.series_count("m") < 2_000 or schema.series("m", {"h": "1999"})[1] < 19:
            schema.series("m", {"h": "7"})

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for batch in batches:
        assert schema.observe(batch) == {}
    for thread in threads:
        thread.join()
    assert schema.series("m", {"h": "7"}) == (8, 19)
