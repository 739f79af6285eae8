# What the log has refused leaves no trace: columns of a table are those of rows that it has, in its
# order, for files know them by their number.
import asyncio
from pathlib import Path

import pytest

from engine.errors import DiskFullError
from engine.persist.thread import PersistConfig
from lp_core import ColumnType, parse
from tests.support.faulty_filesystem import FaultyFileSystem
from tests.support.ingest import DATABASE, IngestKit
from tests.support.storage import Storage


@pytest.mark.parametrize("merges", [True, False])
def test_columns_of_refused_rows_are_forgotten(tmp_path: Path, merges: bool) -> None:
    disk = FaultyFileSystem(tmp_path)
    kit = IngestKit(tmp_path, disk, merges=merges)

    async def refused(line: str) -> int:
        """Write lines until one is refused; return its number."""
        for number in range(2_000):
            end = await kit.write(line.format(number=number, long="z" * 100_000).encode())
            if isinstance(end, tuple):
                assert end[0] is DiskFullError
                return number
        raise AssertionError("the disk is not full")

    async def scenario() -> None:
        async with kit:
            live = kit.state.store.database(DATABASE)
            assert live is not None
            assert await kit.write(b"m,t=a a=1 1") is None
            disk.room_bytes = 0
            # What the file of the log has room for yet.
            await refused('long z="{long}" {number}')
            number = await refused("m,u{number}=x b{number}=1 {number}")
            assert f"b{number}" not in dict(live.columns("m"))
            assert live.schema.columns("m") == live.columns("m")
            assert await refused("n e=1 1") == 0
            assert "n" not in live.schema.tables()
            disk.room_bytes = 1 << 40
            assert await kit.write(f"m b{number}=5i 5\nn e=t 1".encode()) is None
            assert dict(live.columns("m"))[f"b{number}"] is ColumnType.INT64
            assert live.schema.columns("m") == live.columns("m")
            assert live.schema.series("m", {"t": "a"}) is not None

    asyncio.run(scenario())
    disk.close_all()


def test_columns_stand_in_the_order_of_the_log(tmp_path: Path) -> None:
    storage = Storage(tmp_path, PersistConfig(log_bytes=1))
    storage.create_database()
    storage.write("m a=1 1")
    live = storage.state.store.database("db")
    assert live is not None
    live.expect(parse(b"m b=7 2", precision="ns", now_ns=1, schema=live.schema).batch)
    storage.write("m c=3 3")
    # Others had come to be on their way before it was known that the first were refused.
    storage.write("m b=5 4")
    storage.persist_all()
    for _ in range(2):
        assert storage.query("SELECT a, b, c FROM m ORDER BY time") == [
            {"a": 1.0, "b": None, "c": None},
            {"a": None, "b": None, "c": 3.0},
            {"a": None, "b": 5.0, "c": None},
        ]
        storage = storage.restart()
    storage.close()
