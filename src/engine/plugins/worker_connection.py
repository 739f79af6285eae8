# Owns the life of one worker process as the server sees it: its channel, the runs it has not
# answered, the API calls it is waiting for, and the explanation of its end. A dead one is replaced,
# never revived.
"""One live plugin worker process."""

import asyncio
import logging
import signal
import socket
from typing import Any

import msgspec

from engine.errors import EngineError, PluginCrashedError, PluginWorkerLostError
from engine.plugins.allowance import Allowance
from engine.plugins.cache import ExpiringStore
from engine.plugins.channel import (
    CacheDeleteCall,
    CacheGetCall,
    CachePutCall,
    Call,
    CallReply,
    ChannelClosedError,
    ChunkCall,
    FrameTooLargeError,
    Job,
    Log,
    QueryCall,
    RunDone,
    ServerChannel,
    StateGetCall,
    StateItemsCall,
    StopRuns,
    WorkerStart,
    WriteCall,
    encode,
)
from engine.plugins.output import WorkerOutput
from engine.plugins.response_stream import ResponseStream, StreamAbandonedError
from engine.plugins.services import PluginServices, WorkerTrigger
from engine.plugins.zygote_client import WorkerProcess, ZygoteClient

logger = logging.getLogger(__name__)

_END_TIMEOUT_S = 5.0
_LINGER_TIMEOUT_S = 1.0
# A plugin that logs without pause must not keep the event loop from everybody else: beyond so many
# lines at once, and by the second, it waits.
_MESSAGES_PER_TURN = 64
_LOG_BURST = 10_000
_LOGS_PER_S = 2_000
_LOG_DEBT_S_MAX = 0.02


class WorkerBounds(msgspec.Struct, frozen=True):
    """See SpawnWorker."""

    nice: int
    processes_max: int


class WorkerConnection:
    """A worker process and what the server owes it."""

    def __init__(
        self,
        channel: ServerChannel,
        process: WorkerProcess,
        output: WorkerOutput,
        trigger: WorkerTrigger,
        services: PluginServices,
        zygote: ZygoteClient,
        shared_cache: ExpiringStore[bytes],
    ) -> None:
        self._channel = channel
        self._process = process
        self._output = output
        self._trigger = trigger
        self._services = services
        self._zygote = zygote
        self._shared_cache = shared_cache
        # Values are pickles, and reading one runs what it says. So triggers share only with those
        # of the same rights: nobody gets another's by what it leaves there. No name holds a line
        # break, so no key begins with the prefix of others.
        self._cache_prefix = f"{', '.join(trigger.permissions)}\n"
        self._runs: dict[int, asyncio.Future[RunDone]] = {}
        self._streams: dict[int, ResponseStream] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._kill_reason = ""
        self._stopping: asyncio.Task[None] | None = None
        # Whether the runs still under way had no part in the end.
        self._is_lost = False
        self._end_text = ""
        self._reader = asyncio.get_running_loop().create_task(self._read_until_end())

    @classmethod
    async def open(
        cls,
        start: WorkerStart,
        bounds: WorkerBounds,
        trigger: WorkerTrigger,
        services: PluginServices,
        zygote: ZygoteClient,
        shared_cache: ExpiringStore[bytes],
    ) -> "WorkerConnection":
        """Has a worker forked and tells it whom it works for.

        Raises:
            PluginCrashedError: No worker could be started.
        """
        server_end, worker_end = socket.socketpair()
        output = WorkerOutput(trigger.database, trigger.name)
        try:
            with worker_end, output.worker_end() as descriptor:
                process = await zygote.spawn(
                    worker_end,
                    descriptor,
                    owner=f"{trigger.database}/{trigger.name}",
                    nice=bounds.nice,
                    processes_max=bounds.processes_max,
                )
            server_end.setblocking(False)
            channel = await ServerChannel.open(server_end)
        except BaseException:
            server_end.close()  # a worker, if forked, ends on that
            output.close()
            raise
        connection = cls(channel, process, output, trigger, services, zygote, shared_cache)
        try:
            await channel.send(start)
        except ChannelClosedError as error:
            raise await connection._ended() from error
        return connection

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether a run may still be given to it."""
        return not (
            self._kill_reason
            or self._stopping is not None
            or self._process.exited.done()
            or self._reader.done()
        )

    async def run(self, job: Job, stream: ResponseStream | None = None) -> RunDone:
        """Hands over a run and waits for its end; a streamed response goes into `stream`.

        Raises:
            PluginCrashedError: The worker ended first; the text says how.
        """
        future: asyncio.Future[RunDone] = asyncio.get_running_loop().create_future()
        self._runs[job.run_id] = future
        future.add_done_callback(lambda _: self._forget(job.run_id))
        if stream is not None:
            self._streams[job.run_id] = stream
        try:
            await self._channel.send(job)
        except ChannelClosedError as error:
            future.cancel()
            raise await self._ended() from error
        # Who waits may go; the run is still under way then, and a stop waits for it.
        return await asyncio.shield(future)

    def _forget(self, run_id: int) -> None:
        self._runs.pop(run_id, None)
        self._streams.pop(run_id, None)

    def kill_soon(self, reason: str, *, is_lost: bool = True) -> None:
        """Kills the worker without waiting; the reason explains it to the other runs.

        Without `is_lost` they are to blame for it.
        """
        if not self._kill_reason:
            self._kill_reason, self._is_lost = reason, is_lost
        self._zygote.kill(self._process)

    async def kill(self, reason: str) -> None:
        """Kills the worker and waits until it is gone."""
        self.kill_soon(reason)
        await self._end()

    def stop_soon(self, reason: str, grace_s: float) -> None:
        """Asks the runs to end and kills the worker when they are, or after `grace_s`."""
        if self._stopping is None:
            task = asyncio.get_running_loop().create_task(self._stop(reason, grace_s))
            self._stopping = task

    async def stop(self, reason: str, grace_s: float) -> None:
        """As `stop_soon`; returns when the worker is gone."""
        self.stop_soon(reason, grace_s)
        assert self._stopping is not None
        await self._stopping
        await self._end()

    async def _stop(self, reason: str, grace_s: float) -> None:
        if self._runs and grace_s > 0 and not self._kill_reason:
            try:
                async with asyncio.timeout(grace_s):
                    await self._channel.send(StopRuns())
                    await asyncio.wait(list(self._runs.values()))
            except (TimeoutError, ChannelClosedError) as error:
                logger.debug("plugin worker did not stop by itself", exc_info=error)
        self.kill_soon(reason)

    async def _ended(self) -> PluginCrashedError:
        """Waits for the end of the worker; the error that its runs end with."""
        return self._error(await self._end())

    def _error(self, text: str) -> PluginCrashedError:
        return PluginWorkerLostError(text) if self._is_lost else PluginCrashedError(text)

    async def _end(self) -> str:
        """Waits for the end of the worker and explains it."""
        await asyncio.wait([self._reader], timeout=_END_TIMEOUT_S)
        return self._end_text or "the plugin worker does not end"

    async def _read_until_end(self) -> None:
        reader = asyncio.ensure_future(self._read())
        try:
            ends: list[asyncio.Future[Any]] = [reader, self._process.exited]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._process.exited.done():
                # What it sent before its end is still to be read; then comes the end of the stream.
                await asyncio.wait([reader], timeout=_END_TIMEOUT_S)
            elif not self._kill_reason:
                # The stream of a dying worker ends a little before its exit status is known.
                await asyncio.wait([self._process.exited], timeout=_LINGER_TIMEOUT_S)
            if not self._process.exited.done():
                self.kill_soon("killed because it closed its channel", is_lost=False)
                await asyncio.wait([self._process.exited], timeout=_END_TIMEOUT_S)
        finally:
            if reader.done() and reader.exception() is not None:
                logger.error(
                    "plugin channel failed trigger=%s",
                    self._trigger.identity,
                    exc_info=reader.exception(),
                )
            reader.cancel()
            self._finish()

    def _finish(self) -> None:
        self._end_text = self._explained_end()
        self._channel.close()
        self._output.close()
        for call in self._calls:
            call.cancel()
        for future in list(self._runs.values()):
            if not future.done():
                future.set_exception(self._error(self._end_text))
                # A run that was still being handed over learns it from its channel instead.
                future.exception()

    def _explained_end(self) -> str:
        if self._kill_reason:
            return f"the plugin worker was {self._kill_reason}"
        status = self._process.exited.result() if self._process.exited.done() else None
        if self._process.end_reason:
            return f"the plugin worker was killed because {self._process.end_reason}"
        if status is None:
            self._is_lost = True
            return "the plugin worker ended together with the process that starts workers"
        if status >= 0:
            return f"the plugin worker ended with exit status {status} during the call"
        name = signal.Signals(-status).name if -status in signal.valid_signals() else str(-status)
        hint = " (perhaps it was out of memory)" if -status == signal.SIGKILL else ""
        return f"the plugin worker was killed by signal {name}{hint} during the call"

    async def _read(self) -> None:
        messages = 0
        logging_allowance = Allowance(_LOG_BURST, _LOGS_PER_S)
        while True:
            try:
                message = await self._channel.receive()
            except ChannelClosedError:
                return
            except (msgspec.MsgspecError, FrameTooLargeError) as error:
                self.kill_soon(
                    f"killed because it sent a malformed message: {error}", is_lost=False
                )
                return
            if isinstance(message, Log):
                self._services.log(self._trigger, message.level, message.text, message.time_ns)
                await self._hold_back(logging_allowance.owe(1))
            elif isinstance(message, RunDone):
                future = self._runs.get(message.run_id)
                if future is not None and not future.done():
                    future.set_result(message)
            else:
                task = asyncio.get_running_loop().create_task(self._serve(message))
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)
            messages += 1
            if messages % _MESSAGES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _hold_back(self, seconds: float) -> None:
        """Leave what the worker sends unread; it waits when its socket is full."""
        if seconds > _LOG_DEBT_S_MAX:
            await asyncio.sleep(seconds)

    async def _serve(self, call: Call) -> None:
        try:
            reply = await self._reply(call)
        except EngineError as error:
            text = f"{error.message}. {error.hint}" if error.hint else error.message
            reply = CallReply(call_id=call.call_id, error_code=error.code, error_message=text)
        except Exception as error:
            logger.exception("plugin call failed trigger=%s", self._trigger.identity)
            text = f"internal error: {type(error).__name__}: {error}"
            reply = CallReply(call_id=call.call_id, error_code="internal", error_message=text)
        try:
            try:
                await self._channel.send(reply)
            except FrameTooLargeError as error:
                text = f"the result is too large: {error}"
                reply = CallReply(call_id=call.call_id, error_code=error.code, error_message=text)
                await self._channel.send(reply)
        except ChannelClosedError:
            return  # nobody waits for it any more

    async def _reply(self, call: Call) -> CallReply:
        match call:
            case QueryCall():
                rows = await self._services.query(
                    self._trigger, call.sql, call.params, call.database
                )
                return CallReply(call_id=call.call_id, value=rows)
            case WriteCall():
                await self._services.write(
                    self._trigger, call.database, call.lines, call.no_sync, call.hops
                )
                return CallReply(call_id=call.call_id)
            case CacheGetCall():
                found, value = self._shared_cache.get(self._cache_prefix + call.key)
                return CallReply(call_id=call.call_id, found=found, value=value)
            case CachePutCall():
                self._shared_cache.put(self._cache_prefix + call.key, call.value, call.ttl_s)
                return CallReply(call_id=call.call_id)
            case CacheDeleteCall():
                found = self._shared_cache.delete(self._cache_prefix + call.key)
                return CallReply(call_id=call.call_id, found=found)
            case StateGetCall():
                value, position = self._services.state_get(self._trigger, call.key)
                return CallReply(call_id=call.call_id, value=value, position=position)
            case StateItemsCall():
                items, position = self._services.state_items(self._trigger, call.prefix)
                return CallReply(call_id=call.call_id, value=encode(items), position=position)
            case ChunkCall():
                stream = self._streams.get(call.run_id)
                if stream is None:
                    raise StreamAbandonedError("nobody waits for a streamed response here")
                await stream.put(call.status, call.headers, call.body)
                return CallReply(call_id=call.call_id)
