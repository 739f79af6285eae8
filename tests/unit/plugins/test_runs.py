# How runs get their results into the log; what they do with a plugin is tested end to end.

import asyncio
from types import SimpleNamespace

import pytest

from engine.catalog.trigger_permissions import EVERYTHING
from engine.errors import BackPressureError, WalError
from engine.metrics import MetricsRegistry
from engine.plugins import runs as runs_module
from engine.plugins.attempts import Attempts
from engine.plugins.channel import ScheduleRun
from engine.plugins.host import RunOutcome
from engine.plugins.retry import RetryPolicy
from engine.plugins.runs import RunMetrics, TriggerRuns
from engine.store.run_records import RunRecord, Step

TRIGGER = SimpleNamespace(id=7, name="t", database="db", identity="7", arguments=None, timeout_s=1)
RECORD = RunRecord(trigger_id=7, step=Step(1, 2))


class BusyDisk:
    """Takes something at the third time, unless it fails for good."""

    def __init__(self, error=None):
        self.calls = []
        self._error = error

    async def commit(self, writes, record):
        self._take(record)

    async def disable(self, trigger, reason):
        self._take(reason)

    def _take(self, what):
        self.calls.append(what)
        if len(self.calls) < 3:
            raise BackPressureError("bytes wait for the disk")
        if self._error is not None:
            raise self._error


def made_runs(disk, permissions=EVERYTHING, worker=None):
    ports = SimpleNamespace(
        committer=disk,
        switch=disk,
        metrics=RunMetrics(MetricsRegistry()),
        clock=SimpleNamespace(now_ns=lambda: 0),
        plugin_log=SimpleNamespace(add=lambda entry: None),
        secrets=SimpleNamespace(redacted=lambda text, arguments: text),
        permissions=lambda trigger: permissions,
    )
    return TriggerRuns(TRIGGER, "wal", lambda: worker, ports, timeout_s=1)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(runs_module, "_ROOM_WAIT_S", 0.001)


def test_a_commit_waits_for_the_disk():
    disk = BusyDisk()
    assert asyncio.run(made_runs(disk).commit([], 0, RECORD)) is None
    assert disk.calls == [RECORD] * 3


def test_a_commit_that_somebody_can_ask_for_again_does_not_wait():
    disk = BusyDisk()
    failure = asyncio.run(made_runs(disk).commit([], 0, RECORD, waits_for_room=False))
    assert failure is not None
    assert failure.kind == "no_room"
    assert not failure.is_plugins_own
    assert len(disk.calls) == 1


def test_a_commit_ends_when_the_log_has_failed():
    failure = asyncio.run(made_runs(BusyDisk(WalError("no disk"))).commit([], 0, RECORD))
    assert failure is not None
    assert "no disk" in failure.message


def test_a_trigger_is_disabled_also_when_the_disk_is_behind():
    disk = BusyDisk()
    attempts = Attempts(made_runs(disk), RetryPolicy())
    asyncio.run(attempts.disable("it failed"))
    assert disk.calls == ["it failed"] * 3


class Store:
    """Takes everything."""

    def __init__(self):
        self.backs = []

    async def commit(self, backs, record):
        self.backs += [(back.database, back.lines) for back in backs]


class WritingWorker:
    """Its plugin wrote two databases."""

    async def run(self, job, timeout_s, stream):
        writes = [("a", b"m f=1"), ("b", b"m f=2")]
        return RunOutcome(ok=True, duration_s=0.0, writes=writes)


def outcome_of(store, permissions):
    runs = made_runs(store, permissions, WritingWorker())
    work = runs.run(ScheduleRun(time_ns=0), first_line="begins", hops=0, record=RECORD)
    return asyncio.run(work)[1]


def test_a_run_that_wrote_without_a_right_fails_and_nothing_of_it_is_stored():
    store = Store()
    failure = outcome_of(store, ("db:a:read,write", "db:b:read"))
    assert failure is not None
    assert failure.kind == "write"
    assert failure.message.startswith(
        "error writing back lines: trigger 't' has no right to write database 'b'. "
    )
    assert store.backs == []


def test_a_run_that_wrote_where_it_may_is_stored():
    store = Store()
    assert outcome_of(store, ("db:a:write", "db:b:write")) is None
    assert store.backs == [("a", b"m f=1"), ("b", b"m f=2")]
