# What happens when the place for dead letters is full; parking itself is tested end to end.

import asyncio
from types import SimpleNamespace

import pytest

from engine.plugins.attempts import End, Ending
from engine.plugins.batch import Batch
from engine.plugins.bisection import BisectionPolicy
from engine.plugins.channel import WritesRun
from engine.plugins.parking import DEAD_LETTER_BYTES_MAX, Parking
from engine.plugins.runs import Failure
from engine.store.dead_letters import DeadLetterTable
from engine.store.run_records import ParkedRows, RunRecord, Step

TRIGGER = 7
FAILURE = Failure("ValueError: bad")


class Attempts:
    """Notes what parking asks for."""

    def __init__(self, dead_letters):
        self.disabled = []
        self.committed = []
        self.runs = SimpleNamespace(
            trigger=SimpleNamespace(id=TRIGGER),
            labels=("db", "t"),
            log=lambda level, text: None,
            commit=self._commit,
            metrics=SimpleNamespace(parked=SimpleNamespace(add=lambda *values: None)),
            ports=SimpleNamespace(
                dead_letters=dead_letters, clock=SimpleNamespace(now_ns=lambda: 0)
            ),
        )

    async def disable(self, reason):
        self.disabled.append(reason)

    async def _commit(self, writes, hops, record):
        self.committed.append(record)


@pytest.mark.parametrize(
    ("held", "is_full"), [(DEAD_LETTER_BYTES_MAX, True), (DEAD_LETTER_BYTES_MAX // 2, False)]
)
def test_a_trigger_is_disabled_before_its_dead_letters_take_too_much(held, is_full):
    dead_letters = DeadLetterTable()
    parked = ParkedRows(batch_id="b", num_rows=1, rows=bytes(held), error="")
    dead_letters.park(TRIGGER, [parked], 1)
    attempts = Attempts(dead_letters)
    job = WritesRun(database="db", inline=[("m", [{"f": 1, "time": 1}])], batch_id="c")
    record = RunRecord(trigger_id=TRIGGER, step=Step(1, 2))
    batch = Batch(job, lambda rows_done: record, 0, "rows")
    parking = Parking(attempts, BisectionPolicy())
    goes_on = asyncio.run(parking.bisect(batch, 0, None, Ending(End.GIVEN_UP, 3, FAILURE)))
    assert goes_on is not is_full
    if is_full:
        # The row is neither parked nor stepped over: it comes again when the trigger is enabled.
        assert attempts.committed == []
        assert "replay or drop them" in attempts.disabled[0]
        assert "ValueError: bad" in attempts.disabled[0]
    else:
        (record,) = attempts.committed
        assert isinstance(record, RunRecord)
        assert [letter.num_rows for letter in record.parked] == [1]
        assert attempts.disabled == []
