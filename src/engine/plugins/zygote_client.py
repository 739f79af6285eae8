# Owns the server's side of the zygote: starts it, asks it for workers and kills, learns how workers
# ended, and starts it again, with growing pauses, when it dies. Runs on the event loop; never
# blocks it.
"""The server's handle on the zygote process."""

import asyncio
import itertools
import logging
import os
import site
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec

import engine
from engine.errors import PluginWorkerLostError
from engine.logs import keys
from engine.plugins.channel import (
    CONTROL_BYTES_MAX,
    FromZygote,
    KillWorker,
    SpawnWorker,
    ToZygote,
    WorkerSpawned,
    encode,
)

logger = logging.getLogger(__name__)

_BACK_OFF_FIRST_S = 0.1
_BACK_OFF_MAX_S = 10.0
_HEALTHY_AFTER_S = 60.0
_STOP_TIMEOUT_S = 5.0
_SPAWN_TIMEOUT_S = 30.0
# Workers that the log names when the zygote has ended.
_NAMED_MAX = 10


def plugin_environment(plugin_dir: Path, venv: Path) -> dict[str, str]:
    """Environment variables of plugin processes: the server's own, and where plugins live."""
    environment = dict(os.environ)
    environment["TZ"] = "UTC"  # plugins read naive times as local and as UTC
    environment["INFLUXDB3_PLUGIN_DIR"] = str(plugin_dir)
    if venv.is_dir():
        environment["VIRTUAL_ENV"] = str(venv)
    root = str(Path(engine.__file__).resolve().parent.parent)
    if root not in (*site.getsitepackages(), site.getusersitepackages()):  # a source checkout
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{known}" if known else root
    return environment


class WorkerProcess:
    """One forked worker, as far as the zygote knows it.

    Attributes:
        owner: Whom it works for, in log lines.
        exited: Resolves to the exit status (negative: signal), or None when the zygote died.
        end_reason: Why the zygote killed it of its own accord, once it has ended.
    """

    def __init__(self, worker_id: int, owner: str, loop: asyncio.AbstractEventLoop) -> None:
        self.worker_id = worker_id
        self.owner = owner
        self.pid = 0
        self.end_reason = ""
        self.spawned: asyncio.Future[WorkerSpawned] = loop.create_future()
        self.exited: asyncio.Future[int | None] = loop.create_future()


class ZygoteClient:
    """Starts workers through the zygote."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._worker_ids = itertools.count(1)
        self._lock = asyncio.Lock()
        self._decoder = msgspec.msgpack.Decoder(FromZygote)
        self._popen: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._processes: dict[int, WorkerProcess] = {}
        self._started_at = 0.0
        self._back_off_s = 0.0
        # Who had a worker at each end of the zygote, since it was healthy last.
        self._present: frozenset[str] | None = None
        self._reaping: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        """Process id of the living zygote."""
        return self._popen.pid if self._popen is not None and self._control is not None else None

    async def start(self) -> None:
        """Starts the zygote now, so that the first run need not wait for it."""
        await self._ensure_running()

    async def stop(self) -> None:
        """Ends the zygote and with it every worker."""
        async with self._lock:
            if self._control is not None:
                self._lost("the server stops it", is_wanted=True)
            if self._reaping:
                await asyncio.wait(self._reaping)

    async def spawn(
        self, worker_end: socket.socket, output: int, *, owner: str, nice: int, processes_max: int
    ) -> WorkerProcess:
        """Forks a worker; the caller closes its copies of the descriptors.

        Args:
            worker_end: The worker's end of its channel.
            output: Descriptor that becomes its standard output and error.
            owner: As WorkerProcess.
            nice: As SpawnWorker.
            processes_max: As SpawnWorker.

        Raises:
            PluginWorkerLostError: The zygote cannot fork, or has died.
        """
        await self._ensure_running()
        process = WorkerProcess(next(self._worker_ids), owner, asyncio.get_running_loop())
        self._processes[process.worker_id] = process
        try:
            order = SpawnWorker(process.worker_id, nice, processes_max)
            self._send(order, [worker_end.fileno(), output])
            async with asyncio.timeout(_SPAWN_TIMEOUT_S):
                spawned = await process.spawned
        except (OSError, TimeoutError) as error:
            self._processes.pop(process.worker_id, None)
            raise PluginWorkerLostError(f"no plugin worker could be started: {error!r}") from error
        if not spawned.pid:
            self._processes.pop(process.worker_id, None)
            raise PluginWorkerLostError(f"no plugin worker could be started: {spawned.error}")
        process.pid = spawned.pid
        return process

    def kill(self, process: WorkerProcess) -> None:
        """Kills a worker and its process group; does not wait for its end."""
        if process.worker_id in self._processes and self._control is not None:
            try:
                self._send(KillWorker(process.worker_id))
            except OSError as error:
                # Without the zygote its workers are gone as well.
                self._lost(f"it takes no messages: {error}")

    def _send(self, message: ToZygote, descriptors: list[int] | None = None) -> None:
        if self._control is None:
            raise ConnectionError("the zygote is not running")
        socket.send_fds(self._control, [encode(message)], descriptors or [])

    async def _ensure_running(self) -> None:
        async with self._lock:
            if self._control is not None:
                return
            pause_s = self._started_at + self._back_off_s - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            self._launch()

    def _launch(self) -> None:
        control, zygote_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # -P: a plugin host must not import modules from where the server happens to be started.
        command = [sys.executable, "-P", "-m", "engine.plugins.zygote"]
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, str(zygote_end.fileno()), str(os.getpid())],
                env=self._environment,
                pass_fds=[zygote_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,
                start_new_session=True,  # Ctrl-C is for the server, which stops us in order
            )
        except OSError:
            control.close()
            raise
        finally:
            zygote_end.close()
        control.setblocking(False)
        self._control = control
        self._started_at = time.monotonic()
        asyncio.get_running_loop().add_reader(control.fileno(), self._read)
        logger.info("plugin zygote started pid=%d", self._popen.pid)

    def _read(self) -> None:
        while self._control is not None:
            try:
                data = self._control.recv(CONTROL_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError as error:
                self._lost(str(error))
                return
            if not data:
                self._lost("it has ended")
                return
            message = self._decoder.decode(data)
            process = self._processes.get(message.worker_id)
            if process is None:
                continue
            if isinstance(message, WorkerSpawned):
                if not process.spawned.done():
                    process.spawned.set_result(message)
            else:
                del self._processes[message.worker_id]
                process.end_reason = message.reason
                process.exited.set_result(message.status)

    def _lost(self, reason: str, *, is_wanted: bool = False) -> None:
        assert self._control is not None
        assert self._popen is not None
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        is_healthy = time.monotonic() - self._started_at >= _HEALTHY_AFTER_S
        doubled_s = min(max(self._back_off_s * 2, _BACK_OFF_FIRST_S), _BACK_OFF_MAX_S)
        self._back_off_s = _BACK_OFF_FIRST_S if is_healthy else doubled_s
        processes, self._processes = self._processes, {}
        if is_wanted:
            logger.info("plugin zygote ended pid=%d reason=%s", self._popen.pid, reason)
        else:
            self._report(reason, {process.owner for process in processes.values()}, is_healthy)
        for process in processes.values():
            if not process.spawned.done():
                error = "the process that starts plugin workers has ended; see the server's output"
                process.spawned.set_result(WorkerSpawned(process.worker_id, 0, error))
            process.exited.set_result(None)
        task = asyncio.get_running_loop().create_task(_reap(self._popen))
        self._reaping.add(task)
        task.add_done_callback(self._reaping.discard)

    def _report(self, reason: str, owners: set[str], is_healthy: bool) -> None:
        """Say who had a worker now and at the ends before: a plugin can kill the zygote."""
        assert self._popen is not None
        present = frozenset(owners)
        if self._present is not None and not is_healthy:
            present &= self._present
        self._present = present
        named = sorted(present)[:_NAMED_MAX]
        logger.warning(
            "plugin zygote ended, and all plugin workers with it",
            extra=keys(
                pid=self._popen.pid,
                reason=reason,
                pause_s=self._back_off_s,
                workers_each_time=", ".join(named) + " …" * (len(present) > _NAMED_MAX),
            ),
        )


async def _reap(popen: subprocess.Popen[bytes]) -> None:
    try:
        await asyncio.to_thread(popen.wait, _STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        await asyncio.to_thread(popen.wait)
