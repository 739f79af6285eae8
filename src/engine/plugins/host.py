# Owns plugin workers as the server sees them: one Worker per trigger, whose process is started when
# a run needs it and killed when a run takes too long. Decides nothing about retries or commits:
# every run ends in a RunOutcome, whatever the plugin did to its process.
"""The server's side of plugin execution."""

import asyncio
import time
from pathlib import Path

import msgspec

from engine.errors import PluginCrashedError, PluginTimeoutError, PluginWorkerLostError
from engine.plugins.cache import GLOBAL_BYTES_MAX, ExpiringStore
from engine.plugins.channel import Failure, Job, Response, RunDone, WorkerStart
from engine.plugins.response_stream import ResponseStream
from engine.plugins.services import PluginServices, WorkerTrigger
from engine.plugins.worker_connection import WorkerBounds, WorkerConnection
from engine.plugins.zygote_client import ZygoteClient, plugin_environment

__all__ = [
    "PluginConfig",
    "PluginHost",
    "PluginServices",
    "RunOutcome",
    "Worker",
    "WorkerTrigger",
]


class PluginConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the plugin host.

    Attributes:
        plugin_dir: Where plugin files lie.
        venv: Virtual environment of the plugins; ``<plugin_dir>/.venv`` when None.
        run_timeout_s: Longest run of a plugin; infinity for no limit.
        memory_bytes_max: Writable memory of a worker process; None for no limit.
        nice: How far workers give way to the server where processor time is short, 0 to 19.
        processes_max: Processes of one worker, itself included; more of them end it.
        cancel_grace_s: Time that a cancelled run has to end by itself.
    """

    plugin_dir: Path
    venv: Path | None = None
    run_timeout_s: float = 300.0
    memory_bytes_max: int | None = None
    nice: int = 10
    processes_max: int = 256
    cancel_grace_s: float = 1.0


# After the second worker in a row that ended badly the next one waits, then twice as long each
# time.
_RESTART_WAIT_S = 0.1
_RESTART_WAIT_S_MAX = 5.0


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended; see RunDone for the fields that come from the worker.

    Attributes:
        error_type: Class name of the exception; PluginTimeoutError and PluginCrashedError stand
            for a killed and a dead worker.
    """

    ok: bool
    duration_s: float
    failure: Failure = ""
    error_type: str = ""
    error_message: str = ""
    traceback: str = ""
    writes: list[tuple[str, bytes]] = []
    response: Response | None = None
    called: bool = True
    rows: int = 0
    dispatch_s: float | None = None
    hops_max: int = 0
    state_changes: list[tuple[str, bytes | None]] = []
    state_reads: list[tuple[str, int]] = []
    state_scan: int | None = None


class Worker:
    """Runs the calls of one trigger, one after the other unless the trigger is asynchronous."""

    def __init__(
        self,
        trigger: WorkerTrigger,
        config: PluginConfig,
        services: PluginServices,
        zygote: ZygoteClient,
        shared_cache: ExpiringStore[bytes],
    ) -> None:
        self.trigger = trigger
        self.last_used = time.monotonic()
        self._config = config
        self._services = services
        self._zygote = zygote
        self._shared_cache = shared_cache
        self._slots = asyncio.Semaphore(trigger.async_limit if trigger.run_async else 1)
        self._connecting = asyncio.Lock()
        self._connection: WorkerConnection | None = None
        self._runs = 0
        self._active = 0
        self._cache_entries = 0
        # Workers in a row that ended before they had finished a run.
        self._bad_ends = 0
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the worker process, when there is one."""
        connection = self._connection
        return connection.pid if connection is not None and connection.is_alive else None

    @property
    def is_closed(self) -> bool:
        """Whether it was ended for good; it then runs nothing more."""
        return self._is_closed

    @property
    def is_idle(self) -> bool:
        """Whether no run is under way or waiting."""
        return self._active == 0

    async def run(
        self, job: Job, timeout_s: float | None = None, stream: ResponseStream | None = None
    ) -> RunOutcome:
        """Runs the plugin once.

        Args:
            job: What to call it with; its ``run_id`` is set here.
            timeout_s: Longest time of the run itself; the host's setting when None.
            stream: Takes a response that the plugin yields piece by piece.

        Returns:
            The outcome, also for a plugin that raised, hung or killed its process. Cancelling
            this call ends the run at its next use of the API, or kills the worker soon after.
        """
        self._active += 1
        try:
            async with self._slots:
                return await self._run(job, timeout_s, stream)
        finally:
            self._active -= 1
            self.last_used = time.monotonic()

    async def _run(
        self, job: Job, timeout_s: float | None, stream: ResponseStream | None
    ) -> RunOutcome:
        limit_s = self._config.run_timeout_s if timeout_s is None else timeout_s
        self._runs += 1
        job = msgspec.structs.replace(job, run_id=self._runs)
        started = time.monotonic()
        connection: WorkerConnection | None = None
        try:
            connection = await self._connected()
            started = time.monotonic()
            done = await self._run_within(limit_s, connection, job, stream)
        except TimeoutError:
            assert connection is not None
            text = f"the plugin ran longer than {limit_s:g} s and its worker was killed"
            self._bad_ends += 1
            await connection.kill(f"killed because another run took longer than {limit_s:g} s")
            return _failed("timeout", PluginTimeoutError.__name__, text, started)
        except asyncio.CancelledError:
            if connection is not None:
                connection.stop_soon(
                    "killed because a run was cancelled", self._config.cancel_grace_s
                )
            raise
        except (PluginCrashedError, OSError) as error:
            failure: Failure = "lost" if isinstance(error, PluginWorkerLostError) else "crash"
            if self._is_closed:
                failure = "stopped"
            elif failure == "crash":
                self._bad_ends += 1
            return _failed(failure, PluginCrashedError.__name__, str(error), started)
        self._cache_entries = done.cache_entries
        self._bad_ends = 0
        return _outcome(done, time.monotonic() - started)

    async def _run_within(
        self,
        limit_s: float,
        connection: WorkerConnection,
        job: Job,
        stream: ResponseStream | None,
    ) -> RunDone:
        timeout_s = limit_s if limit_s != float("inf") else None
        running = asyncio.ensure_future(connection.run(job, stream))
        try:
            await asyncio.wait([running], timeout=timeout_s)
            if not running.done() and stream is not None and stream.is_blocked:
                # It waits for its client, which must not cost the trigger its worker.
                stream.abandon()
                await asyncio.wait([running], timeout=self._config.cancel_grace_s)
            if not running.done():
                raise TimeoutError
            return running.result()
        finally:
            running.cancel()

    async def close(self, grace_s: float = 0.0) -> None:
        """Ends the worker for good.

        Runs under way end at their next use of the API; after ``grace_s`` the worker is killed.
        """
        self._is_closed = True
        connection = self._connection
        if connection is not None:
            await connection.stop("stopped by the server", grace_s)

    def retire(self) -> None:
        """Ends the worker for good, at once and without waiting."""
        self._is_closed = True
        self.kill()

    def kill(self) -> None:
        """Kills the worker process, if any; the next run starts a new one."""
        if self._connection is not None:
            self._connection.kill_soon("killed by the server")

    async def release(self) -> bool:
        """Ends the process of an idle worker; False when it is in use or keeps cached objects."""
        if not self.is_idle or self._cache_entries or self._connection is None:
            return False
        connection, self._connection = self._connection, None
        await connection.stop("stopped by the server", 0.0)
        return True

    async def _connected(self) -> WorkerConnection:
        async with self._connecting:
            if self._is_closed:
                raise PluginCrashedError("the trigger was stopped")
            if self._connection is None or not self._connection.is_alive:
                self._cache_entries = 0
                await asyncio.sleep(self._restart_wait_s())
                self._connection = await WorkerConnection.open(
                    self._start_message(),
                    WorkerBounds(self._config.nice, self._config.processes_max),
                    self.trigger,
                    self._services,
                    self._zygote,
                    self._shared_cache,
                )
            return self._connection

    def _restart_wait_s(self) -> float:
        if self._bad_ends < 2:
            return 0.0
        # Bounded before the power, which would overflow.
        return min(_RESTART_WAIT_S * 2.0 ** min(self._bad_ends - 2, 16), _RESTART_WAIT_S_MAX)

    def _start_message(self) -> WorkerStart:
        trigger, config = self.trigger, self._config
        limit = trigger.memory_bytes_max
        return WorkerStart(
            database=trigger.database,
            trigger_name=trigger.name,
            kind=trigger.kind,
            plugin_path=trigger.plugin_path,
            venv=str(config.venv or config.plugin_dir / ".venv"),
            arguments=trigger.arguments,
            thread_limit=trigger.async_limit if trigger.run_async else 1,
            memory_bytes_max=config.memory_bytes_max if limit is None else limit,
            is_dry_run=trigger.is_dry_run,
        )


class PluginHost:
    """All plugin workers of a server."""

    def __init__(self, config: PluginConfig, services: PluginServices) -> None:
        plugin_dir = config.plugin_dir.absolute()
        venv = config.venv.absolute() if config.venv is not None else plugin_dir / ".venv"
        self._config = msgspec.structs.replace(config, plugin_dir=plugin_dir, venv=venv)
        self._services = services
        self._zygote = ZygoteClient(plugin_environment(plugin_dir, venv))
        self._shared_cache: ExpiringStore[bytes] = ExpiringStore(
            size_of=len, size_max=GLOBAL_BYTES_MAX
        )
        self._workers: dict[str, Worker] = {}
        self._chores: set[asyncio.Task[int]] = set()

    async def start(self) -> None:
        """Starts the zygote; call it on the thread that lives as long as the server."""
        await self._zygote.start()

    async def stop(self, grace_s: float) -> None:
        """Ends every plugin process; runs under way get some time to end by themselves."""
        workers, self._workers = list(self._workers.values()), {}
        await asyncio.gather(*(worker.close(grace_s) for worker in workers))
        await self._zygote.stop()

    def worker(self, trigger: WorkerTrigger) -> Worker:
        """The worker of a trigger; a new one after a close or for a changed definition."""
        known = self._workers.get(trigger.identity)
        if known is not None:
            if known.trigger == trigger and not known.is_closed:
                return known
            known.retire()
        worker = Worker(trigger, self._config, self._services, self._zygote, self._shared_cache)
        self._workers[trigger.identity] = worker
        return worker

    def worker_pid(self, identity: str) -> int | None:
        """Process of a trigger's worker, when there is one."""
        worker = self._workers.get(identity)
        return None if worker is None else worker.pid

    def detached_worker(
        self, trigger: WorkerTrigger, services: PluginServices, cache: ExpiringStore[bytes]
    ) -> Worker:
        """A worker with services and a shared cache of its own, which the caller closes."""
        return Worker(trigger, self._config, services, self._zygote, cache)

    def detach(self, identity: str) -> Worker | None:
        """Forgets a trigger's worker; the caller closes it."""
        return self._workers.pop(identity, None)

    async def drop(self, identity: str, grace_s: float = 0.0) -> None:
        """Closes and forgets a trigger's worker, together with its cache."""
        worker = self.detach(identity)
        if worker is not None:
            await worker.close(grace_s)

    def renew_soon(self) -> None:
        """Ends idle workers, so that the next run imports anew; those with cached objects stay."""
        task = asyncio.get_running_loop().create_task(self.reap_idle(0.0))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def reap_idle(self, idle_s: float) -> int:
        """Ends the processes of workers unused for some time; those with cached objects stay."""
        oldest = time.monotonic() - idle_s
        idle = [worker for worker in self._workers.values() if worker.last_used <= oldest]
        return sum([await worker.release() for worker in idle])


def _failed(failure: Failure, error_type: str, message: str, started: float) -> RunOutcome:
    return RunOutcome(
        ok=False,
        duration_s=time.monotonic() - started,
        failure=failure,
        error_type=error_type,
        error_message=message,
    )


def _outcome(done: RunDone, duration_s: float) -> RunOutcome:
    return RunOutcome(
        ok=done.ok,
        duration_s=duration_s,
        failure=done.failure,
        error_type=done.error_type,
        error_message=done.error_message,
        traceback=done.traceback,
        writes=done.writes,
        response=done.response,
        called=done.called,
        rows=done.rows,
        dispatch_s=done.dispatch_s,
        hops_max=done.hops_max,
        state_changes=done.state_changes,
        state_reads=done.state_reads,
        state_scan=done.state_scan,
    )
