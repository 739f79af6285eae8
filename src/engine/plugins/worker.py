# Owns the process that runs one trigger's plugin. The main thread executes plugin code (an
# asynchronous trigger uses a pool of threads), a reader thread routes what the server sends. Forked
# by the zygote; must never import the server's side (catalog, log, queries).
"""The plugin worker process."""

import contextlib
import importlib
import itertools
import os
import queue
import resource
import site
import socket
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TextIO

import msgspec

from engine.errors import PluginLoadError
from engine.plugins.api import (
    BUILTIN_NAMES,
    CallFailedError,
    InfluxDB3Local,
    RunCancelledError,
    WriteBuffer,
)
from engine.plugins.cache import CarriedStore, ExpiringStore, PluginCache, PrefixedStore
from engine.plugins.channel import (
    CacheDeleteCall,
    CacheGetCall,
    CachePutCall,
    Call,
    CallReply,
    ChannelClosedError,
    ChunkCall,
    Failure,
    FrameTooLargeError,
    Job,
    Log,
    LogLevel,
    QueryCall,
    QueryParameter,
    RequestRun,
    Response,
    RunDone,
    ScheduleRun,
    StateGetCall,
    StateItem,
    StateItemsCall,
    StopRuns,
    WorkerChannel,
    WorkerStart,
    WriteCall,
    WritesRun,
)
from engine.plugins.loader import PluginLoader, install_builtins, without_own_frames
from engine.plugins.responses import StreamedResponse, to_response
from engine.plugins.state import PluginState
from engine.plugins.table_batches import Deliveries, Delivery

EXIT_CHANNEL_LOST = 70
EXIT_UNHANDLED = 71
_READER_STACK_BYTES = 512 * 1024
_TRACEBACK_CHARACTERS_MAX = 64 * 1024
_PIECE_BYTES_MAX = 64 * 1024


class Server:
    """The server as the worker sees it: calls that wait for their reply, from any thread."""

    def __init__(self, channel: WorkerChannel) -> None:
        self._channel = channel
        self._call_ids = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[CallReply | BaseException]] = {}
        self._is_stopping = False

    def query(self, sql: str, params: dict[str, QueryParameter] | None, database: str) -> bytes:
        """Runs a query and returns an Arrow IPC stream."""
        reply = self._call(
            QueryCall(
                call_id=next(self._call_ids),
                sql=_exact(sql),
                params=params,
                database=_exact(database),
            )
        )
        return reply.value or b""

    def write(self, database: str, lines: bytes, *, no_sync: bool, hops: int) -> None:
        """Writes lines at once."""
        self._call(
            WriteCall(
                call_id=next(self._call_ids),
                database=_exact(database),
                lines=lines,
                no_sync=no_sync,
                hops=hops,
            )
        )

    def cache_get(self, key: str) -> tuple[bool, bytes | None]:
        """Reads the global cache."""
        reply = self._call(CacheGetCall(call_id=next(self._call_ids), key=_exact(key)))
        return reply.found, reply.value

    def cache_put(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Stores bytes in the global cache."""
        self._call(
            CachePutCall(call_id=next(self._call_ids), key=_exact(key), value=value, ttl_s=ttl_s)
        )

    def cache_delete(self, key: str) -> bool:
        """Removes a key of the global cache."""
        return self._call(CacheDeleteCall(call_id=next(self._call_ids), key=_exact(key))).found

    def state_get(self, key: str) -> tuple[bytes | None, int]:
        """Reads one value of the trigger's state."""
        reply = self._call(StateGetCall(call_id=next(self._call_ids), key=_exact(key)))
        return reply.value, reply.position

    def state_items(self, prefix: str) -> tuple[list[tuple[str, bytes]], int]:
        """Lists the trigger's state."""
        reply = self._call(StateItemsCall(call_id=next(self._call_ids), prefix=_exact(prefix)))
        items = msgspec.msgpack.decode(reply.value or b"\x90", type=list[StateItem])
        return items, reply.position

    def send_piece(self, run_id: int, answer: StreamedResponse, piece: bytes) -> None:
        """Sends a piece of a streamed response; waits until the client may be sent more."""
        self._call(
            ChunkCall(
                call_id=next(self._call_ids),
                run_id=run_id,
                body=piece,
                status=answer.status,
                headers=answer.headers,
            )
        )

    def log(self, run_id: int, time_ns: int, level: LogLevel, text: str) -> None:
        """Sends a log line."""
        self.check()
        self._channel.send(Log(run_id=run_id, time_ns=time_ns, level=level, text=text))

    def check(self) -> None:
        """Raises when the server wants the runs to end."""
        if self._is_stopping:
            raise RunCancelledError("the trigger is being stopped")

    def stop(self) -> None:
        """Ends the runs at their next call, and those that wait for a reply now."""
        self._is_stopping = True
        self.fail_all(RunCancelledError("the trigger is being stopped"))

    def take_reply(self, reply: CallReply) -> None:
        """Hands a reply to the thread that waits for it."""
        with self._lock:
            waiting = self._waiting.pop(reply.call_id, None)
        if waiting is not None:
            waiting.put(reply)

    def fail_all(self, error: BaseException) -> None:
        """Fails every waiting call."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for receiver in waiting.values():
            receiver.put(error)

    def _call(self, call: Call) -> CallReply:
        receiver: queue.SimpleQueue[CallReply | BaseException] = queue.SimpleQueue()
        with self._lock:
            self._waiting[call.call_id] = receiver
        self.check()  # only now, so that a stop finds the call, or the call finds the stop
        try:
            self._channel.send(call)
            reply = receiver.get()
        finally:
            with self._lock:
                self._waiting.pop(call.call_id, None)
        if isinstance(reply, BaseException):
            raise reply
        if reply.error_message is not None:
            raise CallFailedError(reply.error_message, code=reply.error_code)
        return reply


def _exact(text: str) -> str:
    return str.__str__(text)  # numpy.str_ and other subclasses do not cross the channel


class PluginEnvironment:
    """The packages that plugins may import beyond the server's own."""

    def __init__(self, venv: Path) -> None:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self._venv = venv
        self._packages = venv / "lib" / version / "site-packages"
        self._stamp_ns = 0

    def refresh(self) -> None:
        """Makes packages importable that were installed since the last call."""
        try:
            stamp_ns = self._packages.stat().st_mtime_ns
        except OSError:
            return
        if stamp_ns == self._stamp_ns:
            return
        self._stamp_ns = stamp_ns
        os.environ["VIRTUAL_ENV"] = str(self._venv)
        site.addsitedir(str(self._packages))
        importlib.invalidate_caches()


class PluginRunner:
    """Runs the calls of one trigger."""

    def __init__(self, start: WorkerStart, server: Server) -> None:
        self._start = start
        self._server = server
        self._loader = PluginLoader(Path(start.plugin_path), start.kind)
        self._environment = PluginEnvironment(Path(start.venv))
        self._deliveries = Deliveries()
        self._store: ExpiringStore[Any] | CarriedStore = ExpiringStore()
        self._cache = PluginCache(self._store, server)
        if start.is_dry_run:
            self._store = CarriedStore(PrefixedStore(server, "local:"))
            self._cache = PluginCache(self._store, PrefixedStore(server, "global:"))

    def run(self, job: Job) -> RunDone:
        """Runs one call; whatever the plugin raises becomes part of the result."""
        buffer = WriteBuffer(is_joined=not self._start.is_dry_run)
        state = PluginState(self._server)
        failure: Failure = "input"
        rows = hops_max = 0
        dispatch_s: float | None = None
        delivery: Delivery | None = None
        try:
            if isinstance(job, WritesRun):
                delivery = self._deliveries.deliver(job)
                rows, hops_max = delivery.rows, delivery.hops_max
                if not rows:
                    return RunDone(
                        run_id=job.run_id, ok=True, called=False, cache_entries=len(self._store)
                    )
            failure = "load"
            self._environment.refresh()
            entry_point = self._loader.load()
            failure = "input"
            if delivery is None:
                arguments = _arguments(job)
            elif entry_point.takes_arrow:
                arguments = [delivery.arrow_tables()]
            else:
                arguments = [delivery.table_batches()]
            del delivery
            failure = "exception"
            local = InfluxDB3Local(
                self._server,
                run_id=job.run_id,
                database=self._start.database,
                batch_id=job.batch_id,
                cache=self._cache,
                state=state,
                buffer=buffer,
                hops=job.hops if isinstance(job, WritesRun) else 0,
            )
            trigger_arguments = self._start.arguments
            if isinstance(job, WritesRun) and job.flushed_s is not None:
                dispatch_s = time.monotonic() - job.flushed_s
            returned = entry_point.function(
                local, *arguments, None if trigger_arguments is None else dict(trigger_arguments)
            )
            response = self._response(job, returned) if isinstance(job, RequestRun) else None
            if isinstance(self._store, CarriedStore):
                self._store.hand_over()
            done = self._success(job, buffer, state, response)
            return msgspec.structs.replace(
                done, rows=rows, hops_max=hops_max, dispatch_s=dispatch_s
            )
        except BaseException as error:
            buffer.close()
            state.close()
            return self._failed(job, failure, error)
        finally:
            _flush_output()

    def _response(self, job: RequestRun, returned: Any) -> Response:
        answer = to_response(returned)
        if isinstance(answer, Response):
            return answer
        with contextlib.closing(answer.pieces):
            for piece in answer.pieces:
                # HTTP takes an empty piece for the end; of a large one the server need not hold
                # more than the client can take.
                for start in range(0, len(piece), _PIECE_BYTES_MAX):
                    part = piece[start : start + _PIECE_BYTES_MAX]
                    self._server.send_piece(job.run_id, answer, part)
        return Response(answer.status, answer.headers, b"")

    def _success(
        self, job: Job, buffer: WriteBuffer, state: PluginState, response: Response | None
    ) -> RunDone:
        use = state.close()
        return RunDone(
            run_id=job.run_id,
            ok=True,
            writes=buffer.close(),
            response=response,
            cache_entries=len(self._store),
            state_changes=use.changes,
            state_reads=use.reads,
            state_scan=use.scan,
        )

    def _failed(self, job: Job, failure: Failure, error: BaseException) -> RunDone:
        error_type = type(error).__name__
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # what they hold is why there is no room
        try:
            message = str(error)
            trace = "".join(traceback.format_exception(without_own_frames(error)))
        except BaseException as second_error:
            message = f"(the text of the error cannot be had: {type(second_error).__name__})"
            trace = ""
        return RunDone(
            run_id=job.run_id,
            ok=False,
            failure=_kind_of(error, failure),
            error_type=error_type,
            error_message=_sendable(message),
            traceback=_sendable(trace),
            cache_entries=len(self._store),
        )


def _kind_of(error: BaseException, failure: Failure) -> Failure:
    if isinstance(error, RunCancelledError):
        return "stopped"
    return "load" if isinstance(error, PluginLoadError) else failure


def _arguments(job: Job) -> list[Any]:
    assert not isinstance(job, WritesRun)
    if isinstance(job, ScheduleRun):
        # Naive, in UTC: plugins read it as UTC and as local time, which are the same here.
        tick = datetime.fromtimestamp(job.time_ns // 1_000_000_000, tz=UTC)
        return [tick.replace(tzinfo=None)]
    headers = {name.lower(): value for name, value in job.headers.items()}
    headers.pop("authorization", None)
    return [dict(job.query), headers, job.body]


def _sendable(text: str) -> str:
    if len(text) > _TRACEBACK_CHARACTERS_MAX:
        half = _TRACEBACK_CHARACTERS_MAX // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            # A plugin may have closed or replaced it, which is its own affair.
            continue


class _WorkerProcess:
    """Routes messages between the channel, the runner and the waiting calls."""

    def __init__(self, channel: WorkerChannel, start: WorkerStart) -> None:
        self._pid = os.getpid()
        self._channel = channel
        self._server = Server(channel)
        self._runner = PluginRunner(start, self._server)
        self._thread_limit = start.thread_limit
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def run_until_closed(self) -> NoReturn:
        threading.stack_size(_READER_STACK_BYTES)
        threading.Thread(target=self._read, name="headrace-channel", daemon=True).start()
        threading.stack_size(0)
        if self._thread_limit == 1:
            while True:
                self._run(self._jobs.get())
        with ThreadPoolExecutor(self._thread_limit, thread_name_prefix="plugin-run") as pool:
            while True:
                pool.submit(self._run, self._jobs.get())

    def _read(self) -> None:
        while True:
            try:
                message = self._channel.receive()
            except MemoryError as error:
                # A reply was lost, and nobody knows whose it was.
                self._server.fail_all(error)
                continue
            except (ChannelClosedError, OSError):
                # The server has let go of this worker, or the plugin closed our descriptor.
                os._exit(EXIT_CHANNEL_LOST)
            if isinstance(message, CallReply):
                self._server.take_reply(message)
            elif isinstance(message, StopRuns):
                self._server.stop()
            elif isinstance(message, WritesRun | ScheduleRun | RequestRun):
                self._jobs.put(message)

    def _run(self, job: Job) -> None:
        try:
            done = self._runner.run(job)
            if os.getpid() != self._pid:
                os._exit(0)  # a child that the plugin forked came back out of the call
            try:
                self._channel.send(done)
            except FrameTooLargeError as error:
                self._channel.send(
                    RunDone(
                        run_id=job.run_id,
                        ok=False,
                        failure="exception",
                        error_type=type(error).__name__,
                        error_message=str(error),
                    )
                )
        except OSError:
            os._exit(EXIT_CHANNEL_LOST)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(EXIT_UNHANDLED)


def main(connection: socket.socket) -> NoReturn:
    """Runs a worker on its end of the channel; does not return."""
    channel = WorkerChannel(connection)
    try:
        start = channel.receive()
    except (ChannelClosedError, OSError):
        os._exit(EXIT_CHANNEL_LOST)
    assert isinstance(start, WorkerStart)
    _limit_resources(start.memory_bytes_max)
    # Those of the zygote were made for other files.
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = _printer(descriptor)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.argv[1:] = []
    install_builtins(BUILTIN_NAMES)
    _WorkerProcess(channel, start).run_until_closed()


def _printer(descriptor: int) -> TextIO:
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def _limit_resources(memory_bytes_max: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes_max is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = memory_bytes_max if hard == resource.RLIM_INFINITY else min(memory_bytes_max, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
