# How the dispatcher ends; what it does before is tested end to end.

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import msgspec

from engine.catalog.model import Trigger
from engine.clock import SystemClock
from engine.errors import DiskFullError, TriggerRightsError
from engine.ids import Position
from engine.metrics import MetricsRegistry
from engine.plugins.dispatcher import Dispatcher, DispatcherConfig, DispatcherPorts
from engine.plugins.flush_index import FlushIndex
from engine.plugins.services import WorkerTrigger
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


TRIGGER = Trigger(
    id=1, name="t", database_id=1, database="db", plugin_filename="p.py", spec="all_tables"
)


class Asked:
    """Keeps what comes through."""

    def __init__(self):
        self.done = []

    async def arrow_ipc(self, database, sql, params):
        self.done.append(("read", database))
        return b""

    async def write(self, back):
        self.done.append(("write", back.database))


def make_dispatcher(committer, questioner=None, catalog=None):
    trigger = TRIGGER
    cursors, index = CursorTable(), FlushIndex()
    cursors.begin(trigger.id, CURSOR)
    index.begin_at(LOG_BEGINS_AT)
    ports = DispatcherPorts(
        catalog=catalog
        or SimpleNamespace(triggers=lambda: [trigger], has_database=lambda name: True),
        cursors=cursors,
        state=None,
        dead_letters=DeadLetterTable(),
        backfills=BackfillTable(),
        index=index,
        history=SimpleNamespace(begins_at=lambda: LOG_BEGINS_AT, close=lambda: None),
        past=SimpleNamespace(close=lambda: None),
        passed_positions=lambda: {"db": CURSOR},
        committer=committer,
        questioner=questioner,
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


def test_what_a_worker_asks_for_is_judged_by_the_rights_that_its_trigger_has_now():
    asked = Asked()
    known = {}
    catalog = SimpleNamespace(triggers=list, trigger_by_id=known.get)
    dispatcher = make_dispatcher(asked, asked, catalog)
    worker = WorkerTrigger(
        database="db", name="t", identity=TRIGGER.identity, plugin_path="", kind="wal"
    )

    def tried():
        """What gets through of reading and writing two databases."""
        asked.done.clear()
        for work in (
            dispatcher.query(worker, "SELECT 1", None, "db"),
            dispatcher.query(worker, "SELECT 1", None, "other"),
            dispatcher.write(worker, "db", b"m f=1", False, 0),
            dispatcher.write(worker, "other", b"m f=1", True, 0),
        ):
            with suppress(TriggerRightsError):
                asyncio.run(work)
        return set(asked.done)

    both = {(action, name) for action in ("read", "write") for name in ("db", "other")}
    known[TRIGGER.id] = TRIGGER
    assert tried() == both
    known[TRIGGER.id] = msgspec.structs.replace(TRIGGER, permissions=("db:db:read",))
    assert tried() == {("read", "db")}
    known[TRIGGER.id] = msgspec.structs.replace(TRIGGER, permissions=())
    assert tried() == set()
    # Of one that is gone, what its worker began with.
    del known[TRIGGER.id]
    worker = msgspec.structs.replace(worker, permissions=("db:other:write",))
    assert tried() == {("write", "other")}
