# Owns the quick way of small writes that look like one that was stored before: same URL, same
# headers, same tokens, so what was decided about that one holds for this one. No task and no
# decision of its own: whatever is not as usual goes the ordinary way (app.py).
"""Small writes without a task."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic, perf_counter
from typing import Any

import msgspec

from engine.http.access import Access
from engine.http.answer_headers import AnswerHeaders, new_request_id
from engine.http.asgi import HandedOver, Request, Scope, SentHeaders, connection_of
from engine.http.auth import Gatekeeper
from engine.http.bodies import BodyGate, Message
from engine.http.busy_poll import BusyPoll
from engine.http.granian_worker import Watcher
from engine.http.write_target import WriteTarget
from engine.ingest.merger import MERGED_BODY_BYTES_MAX
from engine.ingest.pipeline import IngestPipeline
from engine.metrics import Counter

# Kinds of requests that are remembered, and bytes of the headers of one.
KINDS_MAX = 1024
HEAD_BYTES_MAX = 2048
# Those seen once are remembered by a number each: one of a kind is not worth a place.
_SEEN_MAX = 4096
# With one of these a request is unlike others, or its body is not what counts.
_UNUSUAL_HEADERS = (
    "content-encoding",
    "expect",
    "request-id",
    "transfer-encoding",
    "x-request-id",
)
# More than those of any length that is small.
_LENGTH_DIGITS_MAX = 9
_END = {"type": "http.response.body", "body": b"", "more_body": False}

# Serves a request the ordinary way.
Serve = Callable[[Watcher, HandedOver], Coroutine[Any, Any, None]]


class _Kind(msgspec.Struct, frozen=True):
    """What was decided about requests that look alike."""

    # What requests of the kind have in common.
    common: Any
    target: WriteTarget
    access: Access


def _kind_of(scope: Scope) -> tuple[Any, int]:
    """What requests of a kind have in common, and the length that this one declares.

    The length is 0 where none is declared, or one that says nothing.
    """
    headers = scope["headers"]
    declared = 0
    for number, (name, value) in enumerate(headers):
        if name == b"content-length":
            declared = int(value) if value.isdigit() and len(value) <= _LENGTH_DIGITS_MAX else 0
            headers = headers[:number] + headers[number + 1 :]
            break
    return (
        scope["method"],
        scope["raw_path"],
        scope["query_string"],
        scope["http_version"],
        tuple(headers),
    ), declared


class SmallWrites:
    """Takes requests of known kinds in granian's thread; stores and answers them on the loop."""

    def __init__(
        self,
        pipeline: IngestPipeline,
        gate: BodyGate,
        gatekeeper: Gatekeeper,
        headers: AnswerHeaders,
        answered: Counter,
        serve: Serve,
        *,
        busy_poll_us: int = 0,
        is_idle: Callable[[], bool] = lambda: True,
    ) -> None:
        """Know no kind yet.

        Args:
            pipeline: Stores.
            gate: Admits bodies.
            gatekeeper: Tells whether what was decided still holds.
            headers: Those of answers.
            answered: Counts them; labels: method and status.
            serve: Serves a request the ordinary way.
            busy_poll_us: For how long the loop stays awake for the next one.
            is_idle: Whether no request is in work on the ordinary way.
        """
        self.pipeline = pipeline
        self.gate = gate
        self.gatekeeper = gatekeeper
        self.headers = headers
        self.answered = answered
        self._busy_poll_us = busy_poll_us
        self._is_idle = is_idle
        self._busy_poll: BusyPoll | None = None
        self._serve = serve
        self._kinds: dict[Any, _Kind] = {}
        self._seen: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        # In work, from granian's thread on.
        self.requests: set[SmallWrite] = set()
        # The other ends of those answered since somebody asked.
        self._answered: set[tuple[str, int] | None] = set()
        # Those that nobody on the loop has seen yet, and with how many of them it is woken up.
        self._arrived: deque[SmallWrite] = deque()
        self._announced_at = 1
        self.handed_over: set[asyncio.Task[None]] = set()
        self._all_over: asyncio.Future[None] | None = None

    def learn(self, request: Request) -> None:
        """Remember the kind of `request`, the write of which is stored, if others may follow it."""
        target = request.merged_to
        if (
            target is None
            or not request.declared
            or request.declared > MERGED_BODY_BYTES_MAX
            or request.scope["http_version"] != "1.1"
            or any(name in request.headers for name in _UNUSUAL_HEADERS)
        ):
            return
        kind, _ = _kind_of(request.scope)
        if sum(len(name) + len(value) for name, value in kind[-1]) > HEAD_BYTES_MAX:
            return
        number = hash(kind)
        if number not in self._seen:
            if len(self._seen) >= _SEEN_MAX:
                self._seen.clear()
            self._seen.add(number)
            return
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._look_for_silent()
            self._busy_poll = BusyPoll(
                self._loop,
                self._busy_poll_us,
                lambda: not self.requests and self._is_idle(),
            )
            self.pipeline.gather(self)
        if len(self._kinds) >= KINDS_MAX:
            self._kinds.clear()
        self._kinds[kind] = _Kind(kind, target, request.access)

    def takes(self, watcher: Watcher) -> bool:
        """Take a request of a known kind, and ask for its body; called in granian's thread."""
        kind, declared = _kind_of(watcher.scope)
        known = self._kinds.get(kind)
        if known is None or not 0 < declared <= MERGED_BODY_BYTES_MAX:
            return False
        # The loop's clock, which itself stands still while the loop sleeps.
        request = SmallWrite(self, watcher, known, declared, monotonic())
        self.requests.add(request)
        self._arrived.append(request)
        if len(self._arrived) >= self._announced_at or known.target.no_sync:
            request.first.add_done_callback(self._announce)
        return True

    def announce_at(self, count: int) -> None:
        """Wake up the loop when so many have arrived, and for each after that."""
        self._announced_at = count
        if len(self._arrived) >= count:
            assert self._loop is not None
            self._loop.call_soon(self.pipeline.decide)

    def _announce(self, first: Any) -> None:
        del first
        self.pipeline.decide()

    def collect(self) -> None:
        """Have all that have arrived stored; those without their body follow by themselves."""
        arrived = self._arrived
        for _ in range(len(arrived)):
            request = arrived.popleft()
            first = request.first
            if first is None:
                continue
            if first.done():
                request.store()
            else:
                first.add_done_callback(request.store_late)

    def hand_over(
        self,
        request: "SmallWrite",
        first: Awaitable[Message] | None,
        failure: Exception | None = None,
    ) -> None:
        """Have `request` answered the ordinary way."""
        assert self._loop is not None
        self.forget(request)
        state = HandedOver(first, request.asked_s, failure)
        task = self._loop.create_task(self._serve(request.watcher, state))
        self.handed_over.add(task)
        task.add_done_callback(self.handed_over.discard)

    def unlearn(self, kind: _Kind) -> None:
        """Let requests of `kind` go the ordinary way until one has gone it well."""
        self._kinds.pop(kind.common, None)

    def forget(self, request: "SmallWrite") -> None:
        """It is answered, or somebody else's."""
        request.first = None
        self.requests.discard(request)
        self._answered.add(request.connection)
        if self._all_over is not None and not self.requests and not self._all_over.done():
            self._all_over.set_result(None)

    def expect_more(self) -> None:
        """One is answered: its client may send the next one at once."""
        if self._busy_poll is not None and not self.requests:
            self._busy_poll.answered()

    def hand_over_unread(self) -> None:
        """Hand over those of which the body is not there yet."""
        self.pipeline.decide()
        for request in list(self.requests):
            if request.first is not None:
                # Whoever waits for it takes the place of `store_late`.
                self.hand_over(request, request.first)

    def _look_for_silent(self) -> None:
        assert self._loop is not None
        before_s = self._loop.time() - self.gate.sweep_interval_s
        for request in list(self.requests):
            first = request.first
            if first is not None and request.asked_s <= before_s and not first.done():
                self.hand_over(request, first)
        self._loop.call_later(self.gate.sweep_interval_s, self._look_for_silent)

    def give_up(self) -> int:
        """Break off what is still in work; return how many requests that are."""
        left = list(self.requests)
        for request in left:
            self.forget(request)
            request.watcher.err(asyncio.CancelledError())
        return len(left)

    def connections(self) -> set[tuple[str, int] | None]:
        """The other ends of requests in work, or answered since this was called last."""
        answered, self._answered = self._answered, set()
        answered.update(request.connection for request in list(self.requests))
        return answered

    async def all_over(self) -> None:
        """Return when all are answered, or somebody else's."""
        if self.requests:
            self._all_over = asyncio.get_running_loop().create_future()
            await self._all_over


class SmallWrite:
    """One request on the quick way."""

    __slots__ = (
        "_begun",
        "_declared",
        "_headers",
        "_kind",
        "_writes",
        "asked_s",
        "connection",
        "first",
        "watcher",
    )

    def __init__(
        self, writes: SmallWrites, watcher: Watcher, kind: _Kind, declared: int, asked_s: float
    ) -> None:
        """Ask for the body of the request of `watcher`."""
        self._writes = writes
        self.watcher = watcher
        self._kind = kind
        self._declared = declared
        self.asked_s = asked_s
        self.connection = connection_of(watcher.scope)
        # The body, until somebody takes it.
        self.first: Any = watcher.proto.receive()
        self._begun = 0.0
        self._headers: SentHeaders | None = None

    def store_late(self, first: Any) -> None:
        """Store the body, which has come after others."""
        if self.first is first:
            self.store()
            self._writes.pipeline.decide()

    def store(self) -> None:
        """Store the body, which is there."""
        writes, kind = self._writes, self._kind
        # It may refer to this.
        first, self.first = self.first, None
        body = first.result().get("body", b"")
        nbytes = len(body)
        if nbytes != self._declared or writes.gate.is_closed or writes.gate.is_full:
            writes.hand_over(self, first)
            return
        if not writes.gatekeeper.still_admits(kind.access):
            writes.unlearn(kind)
            writes.hand_over(self, first)
            return
        self._begun = perf_counter()
        writes.gate.admit(nbytes)
        written = kind.target.request(body, self.connection)
        if not writes.pipeline.merge(written, self._end, self._make_ready):
            writes.gate.release(nbytes)
            writes.unlearn(kind)
            writes.hand_over(self, first)

    def _make_ready(self) -> None:
        """Make what the answer needs, while the disk is at work."""
        self._headers = self._writes.headers.common(new_request_id())

    def _end(self, failure: Exception | None) -> None:
        """Answer."""
        writes = self._writes
        writes.gate.release(self._declared)
        if self not in writes.requests:
            return  # given up
        if failure is not None:
            writes.hand_over(self, None, failure)
            return
        headers = self._headers or writes.headers.common(new_request_id())
        try:
            send = self.watcher.proto.send
            send({"type": "http.response.start", "status": 204, "headers": headers})
            send(_END)
        except Exception as error:
            # As of any request that an exception gets out of.
            self.watcher.err(error)
        else:
            writes.answered.add(1, "POST", "204")
        writes.pipeline.write_seconds.observe(perf_counter() - self._begun)
        writes.forget(self)
        writes.expect_more()
