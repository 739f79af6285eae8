# How the dispatcher ends; what it does before is tested end to end.

import asyncio
from types import SimpleNamespace

from engine.catalog.model import Trigger
from engine.clock import SystemClock
from engine.errors import DiskFullError
from engine.ids import Position
from engine.metrics import MetricsRegistry
from engine.plugins.dispatcher import Dispatcher, DispatcherConfig, DispatcherPorts
from engine.plugins.flush_index import FlushIndex
from engine.store.backfills import BackfillTable
from engine.store.cursors import CursorTable
from engine.store.dead_letters import DeadLetterTable

CURSOR, LOG_BEGINS_AT = Position(2), Position(5)
STOP_S = 60


class FullDisk:
    """Takes no record."""

    def __init__(self):
        self.asked = asyncio.Event()

    async def commit(self, backs, record):
        self.asked.set()
        raise DiskFullError("no room")


def make_dispatcher(committer):
    trigger = Trigger(
        id=1, name="t", database_id=1, database="db", plugin_filename="p.py", spec="all_tables"
    )
    cursors, index = CursorTable(), FlushIndex()
    cursors.begin(trigger.id, CURSOR)
    index.begin_at(LOG_BEGINS_AT)
    ports = DispatcherPorts(
        catalog=SimpleNamespace(triggers=lambda: [trigger], has_database=lambda name: True),
        cursors=cursors,
        state=None,
        dead_letters=DeadLetterTable(),
        backfills=BackfillTable(),
        index=index,
        history=SimpleNamespace(begins_at=lambda: LOG_BEGINS_AT, close=lambda: None),
        past=SimpleNamespace(close=lambda: None),
        passed_positions=lambda: {"db": CURSOR},
        committer=committer,
        questioner=None,
        switch=None,
        clock=SystemClock(),
        metrics=MetricsRegistry(),
        columns=lambda database, table: [],
        secrets=SimpleNamespace(redacted=lambda text, arguments: text),
    )
    plugin_log = SimpleNamespace(add=lambda entry: None)
    return Dispatcher(DispatcherConfig(), None, ports, plugin_log)


def test_a_stop_does_not_wait_for_room_on_the_disk_that_a_trigger_needs_to_start():
    async def body():
        committer = FullDisk()
        dispatcher = make_dispatcher(committer)
        await dispatcher.start(None, Position(9))
        await committer.asked.wait()
        await asyncio.wait_for(dispatcher.stop(), STOP_S)

    asyncio.run(body())
