"""Changes of the catalog are made one at a time, whoever goes away meanwhile."""

import asyncio
from pathlib import Path

from engine.catalog.catalog import Catalog
from engine.catalog.changes import CreateDatabase
from engine.ingest.catalog_writer import CatalogWriter
from engine.ingest.structure import StructureWriter
from engine.wal.log import DurableFrame
from lp_core import EncodedFrame
from tests.support.ingest import DATABASE, IngestKit, StandingClock

TURNS = 20


class SlowLog:
    """Keeps what it is given until the test lets it become durable."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[DurableFrame]] = []

    def append(self, encoded: EncodedFrame) -> asyncio.Future[DurableFrame]:
        done: asyncio.Future[DurableFrame] = asyncio.get_running_loop().create_future()
        self.waiting.append(done)
        return done


async def some_turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def test_a_change_under_way_keeps_the_next_one_waiting_though_nobody_waits_for_it() -> None:
    async def scenario() -> None:
        log, catalog = SlowLog(), Catalog()
        writer = CatalogWriter(catalog, log, StandingClock())  # type: ignore[arg-type]
        gone = asyncio.create_task(writer.ensure_database("made"))
        await some_turns()
        gone.cancel()
        await some_turns()
        gone.cancel()
        other = asyncio.create_task(writer.ensure_database("made"))
        await some_turns()
        # A second record of the same database would take the place of the first, rows and all.
        assert len(log.waiting) == 1
        change = catalog.new_database("made", created_ns=0, retention_ns=None)
        assert isinstance(change, CreateDatabase)
        catalog.apply(change)
        log.waiting[0].set_result(None)  # type: ignore[arg-type]
        await other
        assert len(log.waiting) == 1
        await asyncio.wait([gone])
        assert gone.cancelled()

    asyncio.run(scenario())


def test_who_waits_for_another_change_leaves_at_once() -> None:
    async def scenario() -> None:
        log = SlowLog()
        writer = CatalogWriter(Catalog(), log, StandingClock())  # type: ignore[arg-type]
        first = asyncio.create_task(writer.ensure_database("one"))
        second = asyncio.create_task(writer.ensure_database("two"))
        await some_turns()
        second.cancel()
        await asyncio.wait([second])
        assert second.cancelled()
        assert not first.done()
        log.waiting[0].set_result(None)  # type: ignore[arg-type]
        await first
        assert len(log.waiting) == 1

    asyncio.run(scenario())


def test_writes_wait_for_a_deletion_though_nobody_else_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            log = SlowLog()
            writer = CatalogWriter(kit.state.catalog, log, StandingClock())  # type: ignore[arg-type]
            structure = StructureWriter(writer, kit.state.catalog, kit.state.store, StandingClock())
            assert await kit.write(b"m f=1i 1") is None
            deletion = asyncio.create_task(structure.delete_table(DATABASE, "m", 0))
            await some_turns()
            deletion.cancel()
            await some_turns()
            assert writer.holds.is_held(DATABASE)
            log.waiting[0].set_result(None)  # type: ignore[arg-type]
            await asyncio.wait([deletion])
            assert not writer.holds.is_held(DATABASE)

    asyncio.run(scenario())
