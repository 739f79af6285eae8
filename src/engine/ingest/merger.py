# Owns the small requests that wait for the log: stores those of one kind as one frame, so that a
# hundred writers of a line each cost one parse, one frame and one answer of the log. Where a merged
# body is anything but plain, each request goes its own way: the result is always that of requests
# handled one by one. Runs on the event loop.
"""Merging of small requests."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from engine.clock import Clock
from engine.errors import DiskFullError, EngineError, WalError
from engine.ingest.company import Company
from engine.ingest.regulars import Regulars
from engine.ingest.write_request import WriteRequest
from engine.metrics import Counter
from engine.store.live import LiveStore
from engine.wal.log import DurableFrame, Log
from lp_core import FrameKind, LpCoreError, Precision, Section, encode_frame, parse

# Beyond this the parse costs more than what merging saves.
MERGED_BODY_BYTES_MAX = 4 * 1024
# A merged body is parsed on the event loop, so it is kept short.
MERGED_BYTES_MAX = 32 * 1024

# Seconds that a group waits at most for writers who should be back. The loop's clock counts
# milliseconds, so a wait may be one shorter.
PATIENCE_S = 0.002

# Lines that end where they seem to end, whatever stands before and behind them: nothing quoted,
# nothing escaped, no comment. Each has a time: two that got the time of one moment would be one.
_LINE = rb'[^ \n"\\#][^ \n"\\]* [^ \n"\\]+ -?[0-9]+'
_PLAIN_LINES = re.compile(rb"%b(?:\n%b)*\n?" % (_LINE, _LINE))


# Called once, on the event loop: with None when the request is durable (with ``no_sync``: queued),
# or with what went wrong. Raises nothing.
OnStored = Callable[[Exception | None], None]


class Arrivals(Protocol):
    """Requests that have come without the event loop having been woken up for each."""

    def announce_at(self, count: int) -> None:
        """Have `Merger.decide` called once so many have come, and for each after that."""

    def collect(self) -> None:
        """Have `Merger.put` called for each that has come."""


class _NoArrivals:
    """Whoever has a request tells the event loop himself."""

    def announce_at(self, count: int) -> None:
        pass

    def collect(self) -> None:
        pass


class _Group:
    """Requests for one database, in the order in which they came."""

    __slots__ = (
        "database",
        "meanwhile",
        "nbytes",
        "on_stored",
        "precision",
        "regulars",
        "requests",
    )

    def __init__(self, database: str, precision: Precision) -> None:
        self.database = database
        self.precision = precision
        self.requests: list[WriteRequest] = []
        self.on_stored: list[OnStored] = []
        # Makes answers ready.
        self.meanwhile: list[Callable[[], None]] = []
        self.nbytes = 0
        # How many of the writers should be back after their answer.
        self.regulars = 0


class Merger:
    """Takes small requests; stores them when the log has time for them."""

    def __init__(
        self,
        log: Log,
        store: LiveStore,
        clock: Clock,
        rows: Counter,
        begin_alone: Callable[[WriteRequest], Coroutine[Any, Any, None]],
        *,
        is_held: Callable[[str], bool],
    ) -> None:
        """Merge for `log`; call on the event loop.

        Args:
            log: Takes the frames.
            store: Has the databases.
            clock: Tells when a request was taken in.
            rows: Counts rows that were stored.
            begin_alone: Appends one request to the log; what it returns waits for the end.
            is_held: Whether nothing may be appended for a database now.
        """
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._store = store
        self._clock = clock
        self._rows = rows
        self._begin_alone = begin_alone
        self._is_held = is_held
        # By database.
        self._groups: dict[str, _Group] = {}
        self._company = Company()
        self._regulars = Regulars()
        self._regulars_waiting = 0
        self._committed_s = -PATIENCE_S
        self._is_scheduled = False
        self._patience: asyncio.TimerHandle | None = None
        # The wait began with a commit, not with somebody who came.
        self._is_early = False
        self._apart: set[asyncio.Task[None]] = set()
        self._arrivals: Arrivals = _NoArrivals()
        log.call_after_commit(self._after_commit)

    def gather(self, arrivals: Arrivals) -> None:
        """Take those of `arrivals`, too."""
        self._arrivals = arrivals

    @property
    def is_expecting(self) -> bool:
        """Whether a group is about to ask for a commit."""
        is_soon = self._loop.time() - self._committed_s <= PATIENCE_S
        return bool(self._groups) or (is_soon and self._company.expects_writers)

    def takes(self, request: WriteRequest) -> bool:
        """Whether `request` may be merged with others."""
        return (
            len(request.body) <= MERGED_BODY_BYTES_MAX
            and not request.origin
            and _PLAIN_LINES.fullmatch(request.body) is not None
        )

    def put(
        self,
        request: WriteRequest,
        on_stored: OnStored,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Take `request`; whoever puts calls `decide` when he has put all that there is.

        `on_stored` hears when it is durable, or queued with ``no_sync``. `meanwhile` is called, if
        at all, while the disk is at work, to make the answer ready.
        """
        group = self._groups.get(request.database)
        if group is not None and group.precision is not request.precision:
            self.let_pass(request.database)
            group = None
        if group is None:
            group = _Group(request.database, request.precision)
            self._groups[request.database] = group
        group.requests.append(request)
        group.on_stored.append(on_stored)
        if meanwhile is not None:
            group.meanwhile.append(meanwhile)
        group.nbytes += len(request.body)
        self._log.writers_held_back += 1
        if not request.no_sync and self._regulars.has(request.client, self._loop.time()):
            group.regulars += 1
            self._regulars_waiting += 1
        if group.nbytes > MERGED_BYTES_MAX:
            self.let_pass(request.database)
        elif request.no_sync:
            self._schedule()

    def decide(self) -> None:
        """Have what waits committed, unless it is worth waiting for more."""
        self._arrivals.collect()
        # After a commit, and at the end of this turn, it is decided anyway.
        if not self._groups or self._log.is_committing or self._is_scheduled:
            return
        if self._company.is_complete(waiting=self._regulars_waiting):
            self._flush()
        elif self._company.is_worth_waiting(waiting=self._regulars_waiting):
            self._be_patient()
        else:
            self._schedule()

    def _after_commit(self) -> None:
        """Writers that were just answered send their next request at once: expect them back."""
        self._committed_s = self._loop.time()
        self._company.commit_ended(waiting=self._regulars_waiting)
        if self._groups:
            # Not at once: it may commit, and be called by that.
            self._loop.call_soon(self.decide)
        elif self._company.missing(waiting=0) > 1 and self._company.is_worth_waiting(waiting=0):
            self._is_early = True
            self._be_patient()

    def _be_patient(self) -> None:
        """Wait for those who should come, or for the end of patience."""
        waiting = self._regulars_waiting
        if self._patience is None:
            self._patience = self._loop.call_later(PATIENCE_S, self._lose_patience, waiting)
        self._arrivals.announce_at(self._company.missing(waiting))

    def _lose_patience(self, waiting_before: int) -> None:
        self._patience = None
        self._arrivals.collect()
        if not self._groups:
            self._is_early = False
            self._arrivals.announce_at(1)
            return
        waiting = self._regulars_waiting
        # A wait that began before anybody came says little: whoever came first waits as long again.
        was_early, self._is_early = self._is_early, False
        if (was_early and self._company.is_short(waiting)) or self._company.keeps_coming(
            gained=waiting - waiting_before, waiting=waiting
        ):
            self._be_patient()
            return
        self._company.waited_in_vain(waiting)
        self._flush()

    def _schedule(self) -> None:
        """Flush at the end of this turn of the loop: what else comes in it still joins."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def let_pass(self, database: str) -> None:
        """Hand what waits for `database` to the log: what comes next goes behind it."""
        group = self._groups.pop(database, None)
        if group is not None:
            self._hand_over(group)

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._is_early = False
        self._arrivals.announce_at(1)
        groups, self._groups = self._groups, {}
        for group in groups.values():
            self._hand_over(group, is_last=True)
        self._log.commit_queued()

    def _hand_over(self, group: _Group, *, is_last: bool = False) -> None:
        self._log.writers_held_back -= len(group.requests)
        self._regulars_waiting -= group.regulars
        if not self._append(group, is_last=is_last):
            self._append_apart(group)

    def _append(self, group: _Group, *, is_last: bool) -> bool:
        """Append one frame for all of `group`; return whether that could be done.

        With `is_last` its commit is asked for at once.
        """
        database = self._store.database(group.database)
        if database is None or self._is_held(group.database):
            return False
        now_ns = self._clock.now_ns()
        try:
            result = parse(
                # Empty lines, where a body ends with a line's end, are nothing to the parser.
                b"\n".join([request.body for request in group.requests]),
                precision=group.precision,
                now_ns=now_ns,
                schema=database.schema,
            )
            if result.num_errors:
                return False
            section = Section(group.database, result.batch, ingest_time_ns=now_ns)
            self._log.submit(
                encode_frame(FrameKind.WRITE, [section]),
                partial(self._tell, group),
                writers=len(group.requests),
                is_last=is_last,
                meanwhile=partial(_call_all, group.meanwhile),
            )
        except (LpCoreError, EngineError):
            # Whose fault it is shows when each goes alone.
            return False
        # Between the parse and this nothing else ran: the batch fits the schema.
        database.expect(result.batch)
        self._rows.add(result.batch.num_rows)
        self._company.appended(group.regulars)
        for request, on_stored in zip(group.requests, group.on_stored, strict=True):
            if request.no_sync:
                on_stored(None)
        return True

    def _append_apart(self, group: _Group) -> None:
        for request, on_stored in zip(group.requests, group.on_stored, strict=True):
            try:
                rest = self._begin_alone(request)
            except Exception as error:
                on_stored(error)
                continue
            task = self._loop.create_task(_pass_on(rest, on_stored))
            self._apart.add(task)
            task.add_done_callback(self._apart.discard)

    def _tell(self, group: _Group, outcome: DurableFrame | WalError | DiskFullError) -> None:
        """Answer all of `group`."""
        # Before anybody comes who was answered: those came during the commit.
        self._arrivals.collect()
        now_s = self._loop.time()
        error = None if isinstance(outcome, DurableFrame) else outcome
        for request, on_stored in zip(group.requests, group.on_stored, strict=True):
            # One with no_sync has its answer.
            if not request.no_sync:
                self._regulars.answered(request.client, now_s)
                on_stored(error)


def _call_all(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()


async def _pass_on(rest: Coroutine[Any, Any, None], on_stored: OnStored) -> None:
    """Tell `on_stored` what `rest` ends with."""
    try:
        await rest
    except Exception as error:
        on_stored(error)
    else:
        on_stored(None)
