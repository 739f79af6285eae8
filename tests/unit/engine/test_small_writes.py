"""Small writes of a known kind: stored without a task, and nobody can tell from the answer."""

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from granian.server import embed

from engine.catalog.permissions import ADMIN_PERMISSION
from engine.catalog.tokens import TokenTable, hash_of
from engine.filesystem import FileSystem
from engine.http import granian_worker
from engine.http.app import App
from engine.http.bodies import BodyGate
from engine.http.http_config import HttpConfig
from engine.http.routes import write
from engine.http.routing import Router
from engine.http.small_writes import KINDS_MAX
from engine.metrics import MetricsRegistry
from engine.wal import commit_place
from engine.wal.commit_place import THREAD_COMMITS_MIN
from tests.support.any_service import AnyService
from tests.support.ingest import DATABASE, IngestKit, StandingClock
from tests.unit.engine.test_group_commit import HeldSync
from tests.unit.engine.test_merger import BrokenDisk

LINE = b"m,h=a f=1i 1"
QUIET_S = 0.1


class Exchange:
    """A client's request, as granian hands it over, and what the client is sent."""

    def __init__(self, *chunks: bytes, **scope: Any) -> None:
        given = {b"content-length": b"%d" % sum(map(len, chunks)), **scope.pop("headers", {})}
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/v3/write_lp",
            "raw_path": b"/api/v3/write_lp",
            "query_string": b"db=%s&precision=ns" % DATABASE.encode(),
            "http_version": "1.1",
            "client": ("127.0.0.1", "1000"),
            "headers": [(b"host", b"localhost"), *given.items()],
            **scope,
        }
        self.proto = self
        self.was_quick = False
        self.loop = asyncio.get_running_loop()
        # granian says only with a further message that nothing follows.
        messages = [(one, True) for one in chunks] + ([(b"", False)] if chunks else [])
        self._coming = [
            {"type": "http.request", "body": body, "more_body": more} for body, more in messages
        ]
        self._asked: list[asyncio.Future[Any]] = []
        self.sent: list[Any] = []
        self.ended: asyncio.Future[BaseException | None] = self.loop.create_future()

    def receive(self) -> "asyncio.Future[Any]":
        asked: asyncio.Future[Any] = self.loop.create_future()
        if self._coming:
            asked.set_result(self._coming.pop(0))
        else:
            self._asked.append(asked)
        return asked

    def come(self, body: bytes | None) -> None:
        """More of the body comes, or the client goes."""
        message = {"type": "http.request", "body": body, "more_body": True}
        self._asked.pop(0).set_result({"type": "http.disconnect"} if body is None else message)

    def send(self, message: Any) -> Any:
        self.sent.append(message)
        if len(self.sent) == 2:
            self._end(None)
        nothing: asyncio.Future[None] = self.loop.create_future()
        nothing.set_result(None)
        return nothing

    def taskref(self, task: Any) -> None:
        self.task = task

    def done(self) -> None:
        self._end(None)

    def err(self, error: BaseException) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    def answer(self) -> tuple[Any, ...]:
        """Status, headers without what differs from request to request, body."""
        ids = [value for name, value in self.sent[0]["headers"] if name.endswith(b"request-id")]
        assert len(ids) == 2
        assert len(set(ids)) == 1
        headers = [(name, value) for name, value in self.sent[0]["headers"] if value not in ids]
        return self.status, headers, self.sent[1]["body"]


class Front:
    """An application with the write routes over a real pipeline, asked as granian asks it."""

    def __init__(self, kit: IngestKit, **config: Any) -> None:
        self.config = HttpConfig(**config)
        self.tokens = TokenTable()
        self.metrics = MetricsRegistry()
        services: Any = AnyService()
        services.config = self.config
        services.gate = self.gate = BodyGate(self.config)
        services.clock = StandingClock()
        services.metrics = self.metrics
        services.pipeline = kit.pipeline
        services.catalog = AnyService()
        services.catalog.tokens = self.tokens
        services.cluster_uuid = "cluster"
        self.app = App(services)
        self.app._router = Router(write.routes(services))

    def begin(self, exchange: Exchange) -> Exchange:
        """Hand over a request."""
        exchange.was_quick = self.app.takes(exchange)  # type: ignore[arg-type]  # as far as used
        if not exchange.was_quick:
            task = exchange.loop.create_task(granian_worker.answer(self.app, exchange))  # type: ignore[arg-type]
            exchange.taskref(task)
        return exchange

    async def send(self, *chunks: bytes, **scope: Any) -> Exchange:
        """The answer to a request."""
        exchange = self.begin(Exchange(*chunks, **scope))
        async with asyncio.timeout(60):
            await exchange.ended
        return exchange

    async def teach(self, body: bytes = LINE, **scope: Any) -> None:
        """Have the kind of a request known."""
        answers = [await self.send(body, **scope) for _ in range(3)]
        assert not answers[0].was_quick
        assert answers[2].was_quick

    def counted(self) -> list[str]:
        """What /metrics says about writes and requests, without times."""
        return [
            line
            for line in self.metrics.render().splitlines()
            if line.startswith(("headrace_http_", "headrace_write_"))
        ]


def run(
    directory: Path,
    scenario: Callable[[IngestKit, Front], Coroutine[Any, Any, None]],
    disk: FileSystem | None = None,
    **config: Any,
) -> None:
    async def whole() -> None:
        async with IngestKit(directory, disk) as kit:
            await scenario(kit, Front(kit, **config))

    asyncio.run(whole())


def test_the_third_of_a_kind_needs_no_task(tmp_path: Path) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        answers = [await front.send(b"m f=%di %d" % (number, number)) for number in range(4)]
        assert [one.was_quick for one in answers] == [False, False, True, True]
        assert [one.answer() for one in answers[1:]] == [answers[0].answer()] * 3
        assert [row["f"] for row in kit.rows()["m"]] == [0, 1, 2, 3]
        assert 'headrace_http_requests_total{method="POST",status="204"} 4' in front.counted()
        assert "headrace_http_requests_active 0.0" in front.counted()
        assert "headrace_http_body_bytes 0.0" in front.counted()
        assert "headrace_write_seconds_count 4" in kit.metrics.render()
        ids = {one.sent[0]["headers"][-1] for one in answers}
        assert len(ids) == 4

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("chunks", "scope"),
    [
        ((b"m f=1i 1\nm f=oops 2",), {}),
        ((b"m f=1i 1\nm f=1.5 2",), {}),
        ((b'm f=1i,s="a b" 1',), {}),
        ((b"# nothing",), {}),
        ((b"m f=1i",), {}),
        ((b"m f=1i ", b"1"), {}),
        ((b"\xff f=1i 1",), {}),
        ((LINE,), {"headers": {b"content-encoding": b"gzip"}}),
        ((LINE,), {"headers": {b"expect": b"100-continue"}}),
        ((LINE,), {"headers": {b"host": b"evil.example"}}),
        ((LINE,), {"headers": {b"origin": b"http://evil.example"}}),
        ((LINE,), {"query_string": b"precision=ns"}),
        ((LINE,), {"query_string": b"db=!&precision=ns"}),
        ((LINE,), {"raw_path": b"/api/v3/write_l", "path": "/api/v3/write_l"}),
        ((LINE,), {"method": "GET"}),
    ],
)
def test_what_is_not_as_usual_is_answered_as_ever(
    tmp_path: Path, chunks: tuple[bytes, ...], scope: dict[str, Any]
) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        for database in ("with", "without"):
            await kit.pipeline._ensure_database(database)
        wanted = await front.send(*chunks, **scope)
        await front.teach()
        got = await front.send(*chunks, **scope)
        assert got.answer() == wanted.answer()
        # And it does not stand in the way of those that are.
        await front.send(LINE)
        assert (await front.send(LINE)).was_quick
        assert front.gate.bytes_in_flight == 0
        assert front.app.busy_ports() == {1000}
        assert not front.app.busy_ports()

    run(tmp_path, scenario)


def test_each_version_has_its_kinds_and_its_errors(tmp_path: Path) -> None:
    v1 = {"raw_path": b"/write", "path": "/write", "query_string": b"db=db"}
    v2 = {
        "raw_path": b"/api/v2/write",
        "path": "/api/v2/write",
        "query_string": b"bucket=db",
    }

    async def scenario(kit: IngestKit, front: Front) -> None:
        for scope in (v1, v2):
            await front.teach(**scope)
            refused = await front.send(b"m,h=a f=1.5 1", **scope)
            assert (refused.was_quick, refused.status) == (True, 400)
        assert json.loads(refused.sent[1]["body"])["code"] == "invalid"
        assert len(kit.rows()["m"]) == 6

    run(tmp_path, scenario)


def test_kinds_differ_by_every_header_and_by_the_version_of_http(tmp_path: Path) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        await front.teach()
        for scope in (
            {"headers": {b"user-agent": b"x"}},
            {"headers": {b"authorization": b"Bearer x"}},
            {"http_version": "1"},
            {"query_string": b"db=db&precision=s"},
        ):
            assert not (await front.send(LINE, **scope)).was_quick
        # A length is no header by which kinds differ, but one without is unlike the others.
        assert (await front.send(b"m,h=a f=11i 1")).was_quick
        assert not (await front.send(LINE, headers={b"content-length": b"x"})).was_quick
        # Who gives each request an id of its own has no kind, nor is one kept of everybody.
        for _ in range(3):
            assert not (await front.send(LINE, headers={b"x-request-id": b"1"})).was_quick

    run(tmp_path, scenario)


def test_kinds_are_few_and_their_heads_short(tmp_path: Path) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        kinds = front.app._small_writes._kinds
        await front.teach()
        for number in range(KINDS_MAX + 10):
            kinds[number] = next(iter(kinds.values()))
        await front.teach(headers={b"user-agent": b"x"})
        assert len(kinds) < KINDS_MAX
        for _ in range(3):
            assert not (await front.send(LINE, headers={b"user-agent": b"x" * 4000})).was_quick

    run(tmp_path, scenario)


def test_a_change_of_tokens_is_heeded_at_once(tmp_path: Path) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        bearer = {"headers": {b"authorization": b"Bearer secret"}}
        await front.teach(**bearer)
        front.tokens.apply(
            front.tokens.new_token(
                "_admin",
                digest=hash_of("secret"),
                permissions=[ADMIN_PERMISSION],
                created_ns=1,
                expiry_ns=None,
            )
        )
        assert (await front.send(LINE, **bearer)).status == 204
        assert (await front.send(LINE, **bearer)).was_quick
        (token,) = front.tokens.all()
        front.tokens._by_hash.clear()
        front.tokens.version += 1
        refused = await front.send(LINE, **bearer)
        assert (refused.was_quick, refused.status) == (True, 401)
        assert token.expiry_ns is None

    run(tmp_path, scenario)


def test_a_token_that_ends_is_not_admitted_any_more(tmp_path: Path) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        clock = StandingClock()
        for name, secret, expiry_ns in (("_admin", "a", None), ("brief", "b", clock.now_ns() + 1)):
            front.tokens.apply(
                front.tokens.new_token(
                    name,
                    digest=hash_of(secret),
                    permissions=[ADMIN_PERMISSION],
                    created_ns=1,
                    expiry_ns=expiry_ns,
                )
            )
        bearer = {"headers": {b"authorization": b"Bearer b"}}
        await front.teach(**bearer)
        front.app.gatekeeper._clock = type(
            "Later", (), {"now_ns": lambda self: clock.now_ns() + 1}
        )()
        assert (await front.send(LINE, **bearer)).status == 401

    run(tmp_path, scenario)


def test_a_full_or_closed_server_refuses_as_ever(tmp_path: Path) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        await front.teach()
        front.gate.admit(front.config.bodies_bytes_max)
        refused = await front.send(LINE)
        assert (refused.was_quick, refused.status) == (True, 503)
        front.gate.release(front.config.bodies_bytes_max)
        assert (await front.send(LINE)).status == 204
        front.gate.close()
        assert (await front.send(LINE)).status == 503

    run(tmp_path, scenario)


@pytest.mark.parametrize("is_loop", [False, True], ids=["thread commits", "loop commits"])
def test_a_log_that_fails_is_told_of(
    tmp_path: Path, is_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_place, "QUICK_S", 60.0 if is_loop else 0.0)
    monkeypatch.setattr(commit_place, "SLOW_S", 60.0)
    disk = BrokenDisk()

    async def scenario(kit: IngestKit, front: Front) -> None:
        await front.teach()
        for _ in range(THREAD_COMMITS_MIN):
            assert (await front.send(LINE)).status == 204
        disk.is_broken = True
        quick, ordinary = await front.send(LINE), await front.send(LINE, http_version="1")
        assert (quick.was_quick, ordinary.was_quick, quick.status) == (True, False, 503)
        assert quick.answer()[1] == ordinary.answer()[1]
        assert front.gate.bytes_in_flight == 0

    run(tmp_path, scenario, disk)


def test_a_body_that_comes_late_or_never_meets_the_usual_limits(tmp_path: Path) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        await front.teach()
        length = {"headers": {b"content-length": b"%d" % len(LINE)}}
        late, cut, silent, gone = (front.begin(Exchange(**length)) for _ in range(4))
        assert all(one.was_quick for one in (late, cut, silent, gone))
        assert front.app.busy_ports() == {1000}
        await asyncio.sleep(0)
        late.come(LINE)
        cut.come(LINE[:4])
        gone.come(None)
        async with asyncio.timeout(60):
            for one in (late, cut, silent, gone):
                await one.ended
        assert [one.status for one in (late, cut, silent, gone)] == [204, 408, 408, 400]
        assert front.app.busy_ports() == {1000}
        assert not front.app.busy_ports()

    run(tmp_path, scenario, receive_idle_s=QUIET_S)


def test_a_shutdown_waits_for_what_is_stored_and_refuses_the_rest(tmp_path: Path) -> None:
    disk = HeldSync()
    disk.allowed.release(4)

    async def scenario(kit: IngestKit, front: Front) -> None:
        await front.teach()
        for _ in range(4):
            assert await asyncio.to_thread(disk.entered.acquire, timeout=60)
        writing = front.begin(Exchange(LINE))
        assert await asyncio.to_thread(disk.entered.acquire, timeout=60)
        unread = front.begin(Exchange(headers={b"content-length": b"%d" % len(LINE)}))
        draining = asyncio.create_task(front.app.drain(60))
        async with asyncio.timeout(60):
            await unread.ended
        assert unread.status == 503
        assert not draining.done()
        disk.allowed.release(2)
        assert await draining == 0
        assert writing.status == 204

    run(tmp_path, scenario, disk)


def test_a_shutdown_gives_up_what_takes_too_long(tmp_path: Path) -> None:
    disk = HeldSync()
    disk.allowed.release(4)

    async def scenario(kit: IngestKit, front: Front) -> None:
        await front.teach()
        writing = front.begin(Exchange(LINE))
        for _ in range(5):
            assert await asyncio.to_thread(disk.entered.acquire, timeout=60)
        assert await front.app.drain(0.01) == 1
        assert isinstance(await writing.ended, asyncio.CancelledError)
        disk.allowed.release()

    run(tmp_path, scenario, disk)


def test_without_sync_nobody_waits_for_the_disk(tmp_path: Path) -> None:
    disk = HeldSync()
    disk.allowed.release(2)
    quick = {"query_string": b"db=db&precision=ns&no_sync=true"}

    async def scenario(kit: IngestKit, front: Front) -> None:
        await front.teach(**quick)
        assert (await front.send(LINE, **quick)).status == 204
        disk.allowed.release(100)

    run(tmp_path, scenario, disk)


def test_a_group_wakes_the_loop_when_all_who_were_answered_are_back(tmp_path: Path) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        await front.teach()

        def group(number: int) -> list[Exchange]:
            return [
                Exchange(b"m,h=%d f=1i %d" % (port, number), client=("127.0.0.1", str(port)))
                for port in (1, 2, 3)
            ]

        async def ended(exchanges: list[Exchange]) -> None:
            async with asyncio.timeout(60):
                await asyncio.gather(*(one.ended for one in exchanges))

        before = len(kit.frames)
        for number in range(5):
            await ended([front.begin(one) for one in group(number)])
        # From the second answer on they are known as those who come back: a frame for each three.
        assert len(kit.frames) - before == 5
        assert [one.frame.sections[0].batch.num_rows for one in kit.frames[-3:]] == [3, 3, 3]
        arrived = front.app._small_writes._arrived
        first, second, third = group(9)
        for one in (first, second):
            front.begin(one)
        await asyncio.sleep(0)
        # Nobody was told yet, and is not before the patience with the third is at its end.
        assert len(arrived) == 2 or first.ended.done()
        front.begin(third)
        await ended([first, second, third])

    run(tmp_path, scenario)


def test_one_who_does_not_come_back_is_not_waited_for_long(tmp_path: Path) -> None:
    async def scenario(kit: IngestKit, front: Front) -> None:
        await front.teach()
        for ports in ((1, 2), (1, 2), (1, 2), (1,), (1,), ()):
            exchanges = [
                front.begin(Exchange(LINE, client=("127.0.0.1", str(port)))) for port in ports
            ]
            async with asyncio.timeout(60):
                await asyncio.gather(*(one.ended for one in exchanges))
            assert all(one.status == 204 for one in exchanges)

    run(tmp_path, scenario)


def test_the_part_of_granian_that_is_replaced_is_as_it_was() -> None:
    def names(function: Any) -> list[str]:
        return [*inspect.signature(function).parameters]

    assert names(granian_worker.work) == names(embed.Server._spawn_asgi_worker)


def test_an_application_that_fails_to_look_is_asked_to_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    scheduled: list[Any] = []

    class Loop:
        def call_soon_threadsafe(self, function: Any, *arguments: Any, context: Any) -> None:
            scheduled.append((function, arguments, context))

    class Scheduler:
        _ctx = "context"

        def __init__(self, *arguments: Any) -> None:
            made.append(self)

    monkeypatch.setattr(granian_worker, "_Scheduler", Scheduler)
    application = msgspec.defstruct("Application", [])()
    granian_worker._scheduler(application, Loop())  # type: ignore[arg-type]
    made[0]._schedule_fn("watcher")
    assert [(arguments, context) for _, arguments, context in scheduled] == [
        (("watcher",), "context")
    ]
