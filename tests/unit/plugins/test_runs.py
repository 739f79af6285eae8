# How runs get their results into the log; what they do with a plugin is tested end to end.

import asyncio
from types import SimpleNamespace

import pytest

from engine.errors import BackPressureError, WalError
from engine.plugins import runs as runs_module
from engine.plugins.attempts import Attempts
from engine.plugins.retry import RetryPolicy
from engine.plugins.runs import TriggerRuns
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


def made_runs(disk):
    ports = SimpleNamespace(
        committer=disk,
        switch=disk,
        metrics=None,
        clock=SimpleNamespace(now_ns=lambda: 0),
        plugin_log=SimpleNamespace(add=lambda entry: None),
        secrets=SimpleNamespace(redacted=lambda text, arguments: text),
    )
    return TriggerRuns(TRIGGER, "wal", lambda: None, ports, timeout_s=1)


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
