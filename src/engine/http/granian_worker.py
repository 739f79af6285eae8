# Owns the contact with the inner parts of granian that tell the event loop of a request. granian's
# own way makes a task per request; this one asks small_writes.py first, which needs none. What it
# uses is not promised by granian, so pyproject.toml admits one minor version only.
"""Requests on their way from granian to the event loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, cast

import granian._granian as inner
from granian.server.embed import AsyncWorker

from engine.turns import take_prompt_turns

logger = logging.getLogger(__name__)

Message = Mapping[str, Any]


class Exchange(Protocol):
    """The two ends of ASGI for one request, both of granian's."""

    def receive(self) -> Awaitable[Message]:
        """The next message from the client; what is returned is much like a future of asyncio."""

    def send(self, message: Message) -> Awaitable[None]:
        """Send a message; what has no more to come is sent when this returns."""


class Watcher(Protocol):
    """What granian knows of one request."""

    scope: dict[str, Any]
    proto: Exchange

    def taskref(self, task: asyncio.Task[None]) -> None:
        """Keep the task that answers the request."""

    def done(self) -> None:
        """The request is answered; if it is not, granian does that with status 500."""

    def err(self, error: BaseException) -> None:
        """Answering failed; granian logs that and answers with status 500."""


class Application(Protocol):
    """What answers requests."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one, on the event loop."""

    def takes(self, watcher: Watcher) -> bool:
        """Whether it answers without a task; called in granian's thread."""


class _Scheduler(inner.CallbackScheduler):
    """Asked by granian, in a thread of its own, for each request."""


def _scheduler(application: Application, loop: asyncio.AbstractEventLoop) -> Any:
    # The arguments serve granian's other kinds of tasks.
    scheduler = cast(Any, _Scheduler)(loop, None, None, None, None)
    context = scheduler._ctx

    def start(watcher: Watcher) -> None:
        watcher.taskref(loop.create_task(answer(application, watcher)))

    def schedule(watcher: Watcher) -> None:
        try:
            is_taken = application.takes(watcher)
        except Exception:
            # granian would not notice, and the client would wait for ever.
            logger.exception("a request could not be looked at")
            is_taken = False
        if not is_taken:
            loop.call_soon_threadsafe(start, watcher, context=context)

    scheduler._schedule_fn = schedule
    return scheduler


async def answer(application: Callable[..., Awaitable[None]], watcher: Watcher) -> None:
    """Have `application` answer, and tell granian of its end."""
    try:
        await application(watcher.scope, watcher.proto.receive, watcher.proto.send)
    except BaseException as error:
        watcher.err(error)
    else:
        watcher.done()


@AsyncWorker.wrap_target  # type: ignore[untyped-decorator]  # granian leaves it untyped
async def work(
    worker_id: int,
    shutdown_event: Any,
    callback: Any,
    sock: Any,
    loop: asyncio.AbstractEventLoop,
    runtime_threads: int,
    runtime_blocking_threads: int | None,
    blocking_threads: int,
    blocking_threads_idle_timeout: int,
    backpressure: int,
    task_impl: Any,
    http_mode: Any,
    http1_settings: Any,
    http2_settings: Any,
    websockets: bool,
    static_path: Any,
    log_access_fmt: str | None,
    ssl_ctx: tuple[Any, ...],
    scope_opts: dict[str, Any],
) -> None:
    """Serve the application `callback`, as granian's own targets of ``Server.serve`` do."""
    del task_impl, log_access_fmt, scope_opts
    ended = loop.create_future()
    shutdown_event.add_cb(lambda: loop.call_soon_threadsafe(ended.set_result, None))
    # Its stub is not of the version that is installed.
    worker: Any = cast(Any, inner.ASGIWorker)(
        worker_id,
        sock,
        None,
        runtime_threads,
        runtime_blocking_threads,
        blocking_threads,
        blocking_threads_idle_timeout,
        backpressure,
        http_mode,
        http1_settings,
        http2_settings,
        websockets,
        static_path,
        *ssl_ctx,
        (None, None),
    )
    is_unix_socket = (sock[0] or sock[1]).is_uds()
    # The runtime of several threads, of which there is one: unlike the other it makes no system
    # call for a message to a thread that is awake anyway.
    serve = worker.serve_mtr_uds if is_unix_socket else worker.serve_mtr
    scheduler = _scheduler(callback, loop)

    def start() -> None:
        # granian's threads are the loop's equals. They have it from who starts them: a thread for
        # that alone, since what the loop's own starts later is not.
        take_prompt_turns(is_for_children=True)
        serve(scheduler, loop, shutdown_event)

    with ThreadPoolExecutor(1) as starter:
        starter.submit(start).result()
    take_prompt_turns()
    await ended
