# When a runner of a WAL trigger is woken; what it does then is tested end to end.

import asyncio
from types import SimpleNamespace

import pytest

from engine.catalog.model import Trigger
from engine.ids import Position
from engine.plugins.flush_index import FlushIndex
from engine.plugins.wal_runner import WalRunner, WalRunnerConfig
from engine.store.backfills import BackfillTable
from engine.store.cursors import Cursor


@pytest.fixture
def cursor():
    return Cursor(Position(5))


def make_runner(cursor, table):
    trigger = Trigger(
        id=1,
        name="t",
        database_id=1,
        database="db",
        plugin_filename="p.py",
        spec="all_tables" if table is None else f"table:{table}",
    )
    runs = SimpleNamespace(trigger=trigger)
    return WalRunner(
        runs,
        cursor,
        FlushIndex(),
        WalRunnerConfig(),
        table=table,
        backfills=BackfillTable(),
        past=None,
    )


async def flushed(runner, *tables):
    runner.start(Position(5))
    await asyncio.sleep(0)
    return runner.flushed(Position(9), frozenset(tables))


def test_a_flush_of_other_tables_moves_the_cursor_without_a_wake_up(cursor):
    async def body():
        runner = make_runner(cursor, "mine")
        assert not await flushed(runner, "other", "another")
        assert cursor.low == 9
        assert runner.is_idle
        await runner.stop()

    asyncio.run(body())


@pytest.mark.parametrize("table", ["mine", None])
def test_a_flush_of_its_table_wakes_it(cursor, table):
    async def body():
        runner = make_runner(cursor, table)
        assert await flushed(runner, "other", "mine")
        assert cursor.low == 5
        assert not runner.is_idle
        await runner.stop()

    asyncio.run(body())


def test_one_that_waits_to_be_woken_does_not_pass_over_the_rows_of_the_flush_before(cursor):
    async def body():
        runner = make_runner(cursor, "mine")
        assert await flushed(runner, "mine")
        assert runner.flushed(Position(12), frozenset({"other"}))
        assert cursor.low == 5
        assert not runner.is_idle
        await runner.stop()

    asyncio.run(body())


def test_one_that_has_not_started_does_not_pass_over_rows_of_the_past(cursor):
    runner = make_runner(cursor, "mine")
    assert runner.flushed(Position(9), frozenset({"other"}))
    assert cursor.low == 5
