# Owns the rows that a trigger cannot process: finds them in a batch that failed, puts them aside as
# dead letters, and runs them again when somebody asks. Each step is one COMMIT frame, so a row is
# processed or parked, never both, never neither.
"""Dead letters: parking and replay."""

import time

import msgspec

from engine.errors import WalError
from engine.plugins.attempts import Attempts, Ending
from engine.plugins.batch import Batch
from engine.plugins.bisection import Bisection, BisectionPolicy, RowRange
from engine.plugins.channel import WritesRun
from engine.plugins.runs import Failure
from engine.plugins.table_batches import Delivery, delivery_for
from engine.store.dead_letters import DeadLetter
from engine.store.run_records import (
    ParkedRows,
    Retry,
    RunRecord,
    TableRows,
    decode_rows,
    encode_rows,
)

# Memory that the dead letters of one trigger may take; beyond it the trigger is disabled.
DEAD_LETTER_BYTES_MAX = 64 * 1024 * 1024


class Replayed(msgspec.Struct, frozen=True):
    """What became of rows that were run again."""

    processed_rows: int = 0
    parked_rows: int = 0


class Parking:
    """Parks the rows of one trigger."""

    def __init__(self, attempts: Attempts, policy: BisectionPolicy) -> None:
        self._attempts = attempts
        self._runs = attempts.runs
        self._policy = policy
        # Letters that are being run; a second replay must not run them too.
        self._replaying: set[str] = set()

    async def bisect(self, batch: Batch, start: int, end: int | None, ending: Ending) -> bool:
        """Process the good rows of a part that failed as `ending` tells, and park the bad ones.

        Returns whether the trigger goes on.
        """
        failure = ending.failure
        assert failure is not None
        total = await batch.count()
        whole = RowRange(start, total if end is None else end, ending.tries)
        if whole.start >= whole.end:
            # It failed before it had rows, and has none.
            return await self._commit(batch.record_to(end))
        if not failure.is_about_data or whole.end - whole.start == 1:
            # No row would fare better alone, or it is alone.
            return await self._park(batch, whole, failure)
        self._runs.log("WARN", f"looking for the rows that fail among {whole.end - whole.start}")
        search = Bisection(whole, self._policy, time.monotonic)
        parked = await self._search(batch, search)
        if parked is None:
            return False
        self._runs.log("WARN", f"{parked} rows parked and the rest processed in {search.runs} runs")
        return True

    async def _search(self, batch: Batch, search: Bisection) -> int | None:
        """Run `search` to its end; return how many rows are parked, None when it was stopped."""
        parked = 0
        while (rows := search.current) is not None:
            failure = await self._attempts.run_once(
                batch.part(rows.start, rows.end),
                first_line="",
                hops=batch.hops,
                record=batch.record_to(rows.end),
            )
            if failure is None:
                search.succeeded()
            elif (bad := search.failed()) is not None:
                if not await self._park(batch, bad, failure):
                    return None
                parked += bad.end - bad.start
        return parked

    async def _park(self, batch: Batch, rows: RowRange, failure: Failure) -> bool:
        """Put rows aside; False when that was not possible and the trigger stops."""
        letter = ParkedRows(
            batch_id=batch.part(rows.start, rows.end).batch_id,
            num_rows=rows.end - rows.start,
            rows=encode_rows(await batch.rows(rows.start, rows.end)),
            error=failure.message,
            traceback=failure.traceback,
            tries=rows.tries,
            hops=batch.hops,
            time_ns=self._runs.ports.clock.now_ns(),
        )
        held = self._runs.ports.dead_letters.size_bytes(self._runs.trigger.id)
        if held and held + len(letter.rows) > DEAD_LETTER_BYTES_MAX:
            await self._attempts.disable(
                f"its dead letters take {held} bytes of at most {DEAD_LETTER_BYTES_MAX}: replay or "
                f"drop them; last failure: {failure.message}"
            )
            return False
        self._runs.log(
            "ERROR",
            f"{letter.num_rows} rows parked as a dead letter: {failure.message}\n"
            f"{failure.traceback}".rstrip(),
        )
        self._runs.metrics.parked.add(letter.num_rows, *self._runs.labels)
        record = msgspec.structs.replace(batch.record_to(rows.end), parked=[letter])
        return await self._commit(record)

    async def _commit(self, record: RunRecord) -> bool:
        failure = await self._runs.commit([], 0, record)
        if failure is not None:
            # The log does not take records any more; the rows run again after a restart.
            self._runs.report(failure)
        return failure is None

    # Replay.

    async def replay(self, letters: list[DeadLetter]) -> Replayed:
        """Run parked rows again; those that still fail stay parked, in smaller pieces."""
        processed = parked = 0
        waiting = list(reversed(letters))
        bad_in_a_row = 0
        while waiting:
            letter = waiting.pop()
            if letter.id in self._replaying or self._is_gone(letter):
                continue
            self._replaying.add(letter.id)
            try:
                failure = await self._run_letter(letter)
                if failure is None:
                    processed += letter.parked.num_rows
                    bad_in_a_row = 0
                elif (
                    letter.parked.num_rows > 1
                    and failure.is_about_data
                    and bad_in_a_row < self._policy.bad_in_a_row_max
                ):
                    waiting += reversed(await self._split(letter, failure))
                else:
                    parked += letter.parked.num_rows
                    bad_in_a_row += 1
                    await self._note_retry(letter, failure)
            finally:
                self._replaying.discard(letter.id)
        return Replayed(processed, parked)

    def is_replaying(self, letter: DeadLetter) -> bool:
        """Whether the rows of `letter` are being run again."""
        return letter.id in self._replaying

    def _is_gone(self, letter: DeadLetter) -> bool:
        return self._runs.ports.dead_letters.get(letter.trigger_id, letter.id) is None

    async def _run_letter(self, letter: DeadLetter) -> Failure | None:
        trigger = self._runs.trigger
        rows = decode_rows(letter.parked.rows)
        columns = self._runs.ports.columns
        job = WritesRun(
            database=trigger.database,
            inline=rows,
            inline_types={
                table: {name: int(kind) for name, kind in columns(trigger.database, table)}
                for table, _ in rows
            },
            batch_id=letter.parked.batch_id,
        )
        record = RunRecord(trigger_id=trigger.id, unparked=[letter.id])
        return await self._attempts.run_once(
            job,
            first_line=f"replaying the dead letter {letter.id}.",
            hops=letter.parked.hops,
            record=record,
        )

    async def _split(self, letter: DeadLetter, failure: Failure) -> list[DeadLetter]:
        """Replace a letter by two of half its rows each."""
        rows = decode_rows(letter.parked.rows)
        middle = letter.parked.num_rows // 2
        parts = [
            self._piece(letter, rows, start, end, failure)
            for start, end in ((0, middle), (middle, letter.parked.num_rows))
        ]
        trigger_id = self._runs.trigger.id
        record = RunRecord(trigger_id=trigger_id, unparked=[letter.id], parked=parts)
        await self._store(record)
        ids = {part.batch_id for part in parts}
        return [
            found
            for found in self._runs.ports.dead_letters.of(trigger_id)
            if found.parked.batch_id in ids
        ]

    def _piece(
        self, letter: DeadLetter, rows: TableRows, start: int, end: int, failure: Failure
    ) -> ParkedRows:
        parked = letter.parked
        job = WritesRun(database="", inline=rows, row_start=start, row_end=end)
        return msgspec.structs.replace(
            parked,
            batch_id=f"{parked.batch_id}-{start}-{end}",
            num_rows=end - start,
            rows=_encoded_rows(delivery_for(job)),
            error=failure.message,
            traceback=failure.traceback,
            tries=parked.tries + 1,
        )

    async def _note_retry(self, letter: DeadLetter, failure: Failure) -> None:
        retry = Retry(
            id=letter.id,
            error=failure.message,
            traceback=failure.traceback,
            time_ns=self._runs.ports.clock.now_ns(),
        )
        await self._store(RunRecord(trigger_id=self._runs.trigger.id, retried=[retry]))

    async def _store(self, record: RunRecord) -> None:
        failure = await self._runs.commit([], 0, record)
        if failure is not None:
            raise WalError(failure.message)


def _encoded_rows(delivery: Delivery) -> bytes:
    return encode_rows([(batch["table_name"], batch["rows"]) for batch in delivery.table_batches()])
