# Owns the process that forks plugin workers: everything they need is imported here once, and it
# never starts a thread, so that a fork is safe and takes milliseconds. It also waits for the
# workers, which makes it the only one that can kill them without the risk of hitting a reused
# process id.
"""The zygote: forks, reaps and kills plugin workers at the server's request."""

import ctypes
import gc
import os
import select
import signal
import socket
import sys
from typing import NoReturn

import msgspec

from engine.plugins import worker
from engine.plugins.channel import (
    CONTROL_BYTES_MAX,
    KillWorker,
    SpawnWorker,
    ToZygote,
    WorkerExited,
    WorkerSpawned,
    encode,
)
from engine.plugins.process_guard import GrowthGauge, census, processes, yield_to_server
from engine.turns import take_usual_turns

_WATCH_INTERVAL_MS = 200
# Whoever forks while it is being killed is tried again so many times.
_SWEEPS_MAX = 50

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(parent_pid: int) -> None:
    """Has the kernel kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before the call
        os._exit(0)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Zygote:
    """The loop over the control socket and the ends of workers."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._decoder = msgspec.msgpack.Decoder(ToZygote)
        self._pids: dict[int, int] = {}  # worker id -> process id, until reaped
        self._processes_max: dict[int, int] = {}  # the same workers
        self._reasons: dict[int, str] = {}  # of those that are killed from here
        self._growth = GrowthGauge()
        self._wakeup_read, self._wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Serves until the server closes the control socket; then no worker is left."""
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(self._wakeup_read, select.POLLIN)
        while True:
            timeout_ms = _WATCH_INTERVAL_MS if self._pids else None
            ready = {descriptor for descriptor, _ in poller.poll(timeout_ms)}
            if self._pids and self._growth.has_grown():
                self._hold_to_limits()
            if self._wakeup_read in ready:
                os.read(self._wakeup_read, 4096)
                self._reap()
            if self._control.fileno() in ready and not self._serve_request():
                break
        for worker_id in self._pids:
            self._kill(worker_id)
        for pid in self._pids.values():
            os.waitpid(pid, 0)
        self._pids.clear()
        self._sweep()

    def _serve_request(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, CONTROL_BYTES_MAX, 2)
        if not data:
            return False
        message = self._decoder.decode(data)
        if isinstance(message, SpawnWorker):
            self._spawn(message, *descriptors)
        elif isinstance(message, KillWorker):
            self._kill(message.worker_id)
        return True

    def _spawn(self, order: SpawnWorker, channel: int, output: int) -> None:
        zygote_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._send(WorkerSpawned(order.worker_id, 0, str(error)))
        else:
            if pid == 0:
                _become_worker(channel, output, zygote_pid, order.nice)
            self._pids[order.worker_id] = pid
            self._processes_max[order.worker_id] = order.processes_max
            self._send(WorkerSpawned(order.worker_id, pid))
        os.close(channel)
        os.close(output)

    def _kill(self, worker_id: int) -> None:
        pid = self._pids.get(worker_id)
        if pid is None:
            return
        # Until reaped its id cannot be reused. A worker just forked has no group of its own yet.
        os.kill(pid, signal.SIGKILL)
        self._kill_group(pid)

    def _kill_group(self, pid: int) -> None:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _reap(self) -> None:
        worker_ids = {pid: worker_id for worker_id, pid in self._pids.items()}
        while True:
            try:
                # WNOWAIT leaves the zombie, which keeps the id taken while its group is killed.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            worker_id = worker_ids.get(ended.si_pid)
            if worker_id is not None:
                self._kill_group(ended.si_pid)
            _, status = os.waitpid(ended.si_pid, 0)
            if worker_id is not None:
                del self._pids[worker_id], self._processes_max[worker_id]
                self._sweep()
                reason = self._reasons.pop(worker_id, "")
                self._send(WorkerExited(worker_id, os.waitstatus_to_exitcode(status), reason))

    def _hold_to_limits(self) -> None:
        counts = census(processes(), os.getpid(), self._pids.values()).counts
        for worker_id, pid in self._pids.items():
            limit = self._processes_max[worker_id]
            if counts[pid] > limit and worker_id not in self._reasons:
                self._reasons[worker_id] = f"it had more than {limit} processes"
                self._kill(worker_id)

    def _sweep(self) -> None:
        """Kill what workers have left behind, and what forks meanwhile."""
        for _ in range(_SWEEPS_MAX):
            strays = census(processes(), os.getpid(), self._pids.values()).strays
            if not strays:
                return
            for pid in strays:
                # Our own child: until reaped its id cannot be reused.
                os.kill(pid, signal.SIGKILL)

    def _send(self, message: WorkerSpawned | WorkerExited) -> None:
        self._control.send(encode(message))


def _become_worker(channel: int, output: int, zygote_pid: int, nice: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        die_with_parent(zygote_pid)
        yield_to_server(nice)
        os.dup2(output, 1)
        os.dup2(output, 2)
        channel_descriptor = 3
        if channel != channel_descriptor:
            os.dup2(channel, channel_descriptor, inheritable=False)
        os.closerange(channel_descriptor + 1, os.sysconf("SC_OPEN_MAX"))
        worker.main(socket.socket(fileno=channel_descriptor))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(worker.EXIT_UNHANDLED)


def main() -> None:
    """Runs the zygote: ``python -m engine.plugins.zygote <control descriptor> <server pid>``."""
    control_descriptor, server_pid = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(server_pid)
    take_usual_turns()
    # What workers leave behind is reaped here: in a container the server may be process 1.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    control = socket.socket(fileno=control_descriptor)
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Workers share these pages until somebody touches them; the collector would touch them all.
    gc.collect()
    gc.freeze()
    Zygote(control).serve()


if __name__ == "__main__":
    main()
