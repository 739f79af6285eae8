# TableBatch and WriteBatch: what they tell, their Arrow export, and who keeps the memory.
import gc
import threading
from collections.abc import Mapping

import pyarrow
import pytest

from lp_core import ColumnType, TableBatch, WriteBatch, parse

BODY = (
    b'm,tag=a,other=x f=1.5,i=-2i,u=3u,b=t,s="text" 10\n'
    b"m,tag=b f=2.5 -20\n"
    b'm,tag=a i=7i,s="" 30\n'
    b"n v=1 5"
)


@pytest.fixture
def batch() -> WriteBatch:
    return parse(BODY, precision="ns", now_ns=0).batch


def test_write_batch_is_a_mapping(batch):
    assert isinstance(batch, Mapping)
    assert list(batch) == list(batch.keys()) == ["m", "n"]
    assert len(batch) == 2
    assert batch.num_rows == 4
    assert "m" in batch
    assert "x" not in batch
    assert batch.get("x") is None
    assert [table.name for table in batch.values()] == ["m", "n"]
    assert dict(batch.items())["n"] is batch["n"]
    with pytest.raises(KeyError):
        batch["x"]
    with pytest.raises(TypeError):
        batch["x"] = batch["m"]


def test_table_batch_tells_its_size_and_range(batch):
    table = batch["m"]
    assert (table.name, table.num_rows, len(table)) == ("m", 3, 3)
    assert (table.min_time_ns, table.max_time_ns) == (-20, 30)
    assert table.schema[0] == ("tag", ColumnType.TAG)
    assert table.schema[-1] == ("time", ColumnType.TIME)
    assert "m" in repr(table)


def test_empty_batches_are_harmless():
    assert parse(b"", now_ns=0).batch.num_rows == 0
    assert WriteBatch().num_rows == 0
    assert TableBatch().num_rows == 0
    assert pyarrow.record_batch(TableBatch()).num_columns == 0


def test_arrow_schema_has_the_promised_types(batch):
    schema = pyarrow.record_batch(batch["m"]).schema
    tag = pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8())
    assert schema == pyarrow.schema(
        [
            ("tag", tag),
            ("other", tag),
            ("f", pyarrow.float64()),
            ("i", pyarrow.int64()),
            ("u", pyarrow.uint64()),
            ("b", pyarrow.bool_()),
            ("s", pyarrow.utf8()),
            pyarrow.field("time", pyarrow.timestamp("ns"), nullable=False),
        ]
    )


def test_arrow_array_is_valid_and_holds_the_values(batch):
    table = pyarrow.record_batch(batch["m"])
    table.validate(full=True)
    assert table.column("tag").to_pylist() == ["a", "b", "a"]
    assert table.column("other").to_pylist() == ["x", None, None]
    assert table.column("f").to_pylist() == [1.5, 2.5, None]
    assert table.column("i").to_pylist() == [-2, None, 7]
    assert table.column("u").to_pylist() == [3, None, None]
    assert table.column("b").to_pylist() == [True, None, None]
    assert table.column("s").to_pylist() == ["text", None, ""]
    assert table.column("time").cast(pyarrow.int64()).to_pylist() == [10, -20, 30]
    assert table.column("f").null_count == 1
    assert table.column("tag").null_count == 0


def test_arrow_export_does_not_copy(batch):
    first = pyarrow.record_batch(batch["m"]).column("f").buffers()[1]
    second = pyarrow.record_batch(batch["m"]).column("f").buffers()[1]
    assert first.address == second.address
    assert first.address % 64 == 0


def test_arrow_columns_outlive_the_batch(batch):
    column = pyarrow.record_batch(batch["m"]).column("tag")
    again = pyarrow.record_batch(batch["m"]).column("s")
    del batch
    gc.collect()
    assert column.to_pylist() == ["a", "b", "a"]
    assert again.to_pylist() == ["text", None, ""]


def test_capsules_that_nobody_takes_are_released(batch):
    for _ in range(1_000):
        batch["m"].__arrow_c_array__()
        batch["m"].__arrow_c_schema__()


def test_arrow_memory_may_be_released_in_any_thread():
    columns = [
        pyarrow.record_batch(parse(BODY, precision="ns", now_ns=0).batch["m"]) for _ in range(200)
    ]

    def release() -> None:
        while True:
            try:
                columns.pop()
            except IndexError:
                return

    threads = [threading.Thread(target=release) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not columns


def test_validity_and_values_cross_byte_borders():
    for count in (1, 7, 8, 9, 63, 64, 65, 200):
        lines = [
            f"m b={'t' if i % 3 else 'f'}{',x=t' if i % 5 == 4 else ''} {i}" for i in range(count)
        ]
        table = pyarrow.record_batch(
            parse("\n".join(lines).encode(), precision="ns", now_ns=0).batch["m"]
        )
        table.validate(full=True)
        assert table.column("b").to_pylist() == [bool(i % 3) for i in range(count)]
        if count > 4:
            wanted = [True if i % 5 == 4 else None for i in range(count)]
            assert table.column("x").to_pylist() == wanted
