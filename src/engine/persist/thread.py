# Owns the persist thread: what is done in which order, that a failure is said and tried again
# later, and that files which no table has any more are removed after their last reader.
"""The persist thread."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.clock import Clock
from engine.errors import EngineError, FileDamagedError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.metrics import MetricsRegistry
from engine.paths import DataPaths
from engine.persist import planner
from engine.persist.checkpointer import Checkpointer
from engine.persist.compactor import Compactor
from engine.persist.file_maker import FileNumbers
from engine.persist.file_store import FileStore, StoppedError
from engine.persist.log_files import LogFiles
from engine.persist.persister import Persister
from engine.persist.ports import LogPort, StatePort
from engine.persist.purger import Purger
from engine.persist.rewriter import Rewriter
from engine.store.file_faults import FileFaults
from engine.store.readers import Readers

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

# How often the thread looks whether there is something to do.
_TICK_S = 0.5
_RETENTION_TICKS = 60
# After a failure, it looks again after so many ticks.
_PAUSE_TICKS = 20
# Of the memory budget, what the log's bytes or the columns of files to be merged may take; sorting
# needs the rest.
_INPUT_SHARE = 4


class PersistConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of persisting."""

    # Rows go to files once sealed segments have so many bytes of them.
    log_bytes: int = 128 * 1024 * 1024
    # A checkpoint is written each time that the log has grown by this much.
    checkpoint_log_bytes: int = 128 * 1024 * 1024
    # Log files kept for triggers that lag.
    log_kept_bytes_max: int = 10 * 1024 * 1024 * 1024
    window_ns: int = 600 * 1_000_000_000
    memory_bytes_max: int = 512 * 1024 * 1024


class PersistThread:
    """Does everything about files, one thing after the other."""

    def __init__(
        self,
        config: PersistConfig,
        paths: DataPaths,
        filesystem: FileSystem,
        clock: Clock,
        state: StatePort,
        log: LogPort,
        readers: Readers,
        faults: FileFaults,
        metrics: MetricsRegistry,
        on_persisted: Callable[[], None] = lambda: None,
        on_removed: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Prepare the thread.

        `on_persisted` is called after rows have moved from memory to files, `on_removed` with how
        many files were removed from the disk.
        """
        self._config = config
        self._paths = paths
        self._filesystem = filesystem
        self._state = state
        self._log = log
        self._readers = readers
        self._on_persisted = on_persisted
        self._on_removed = on_removed
        files = FileStore(
            paths=paths,
            filesystem=filesystem,
            clock=clock,
            state=state,
            log=log,
            faults=faults,
            numbers=FileNumbers(state),
        )
        memory_bytes_max = config.memory_bytes_max // _INPUT_SHARE
        self.persister = Persister(files, window_ns=config.window_ns)
        self.compactor = Compactor(
            files, window_ns=config.window_ns, memory_bytes_max=memory_bytes_max
        )
        self.rewriter = Rewriter(
            files, window_ns=config.window_ns, memory_bytes_max=memory_bytes_max
        )
        self.purger = Purger(files)
        self.checkpointer = Checkpointer(
            paths, filesystem, state, log, due_bytes=config.checkpoint_log_bytes
        )
        self.log_files = LogFiles(
            paths, filesystem, state, log, kept_bytes_max=config.log_kept_bytes_max
        )
        # Files that are part of no table, with the epoch of those who may still read them.
        self._doomed: list[tuple[int, Path]] = []
        self._stop = threading.Event()
        # What others want done between two steps; None once nobody does it any more.
        self._asked: list[tuple[Future[Any], Callable[[], Any]]] | None = []
        self._asked_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._rows = metrics.counter("headrace_persist_rows_total", "Rows written to files.")
        self._compactions = metrics.counter(
            "headrace_compactions_total", "Merges of files of a table into fewer."
        )
        self._errors = metrics.counter(
            "headrace_persist_errors_total", "Steps of persisting that failed."
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="persist", daemon=True)
        self._thread.start()

    def ask(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Have `work` done by the thread, between two steps: no file appears or goes meanwhile.

        The future has a StoppedError if the server stops before. Any thread may ask.
        """
        done: Future[_Result] = Future()
        with self._asked_lock:
            if self._asked is None:
                done.set_exception(StoppedError("the server stops"))
            else:
                self._asked.append((done, work))
        return done

    def ask_to_stop(self) -> None:
        """Let the thread end after what it is at."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._run_until_stopped()
        finally:
            with self._asked_lock:
                left, self._asked = self._asked, None
            for done, _ in left or []:
                # One that was taken back is not to be told anything.
                if done.set_running_or_notify_cancel():
                    done.set_exception(StoppedError("the server stops"))

    def _answer(self) -> None:
        with self._asked_lock:
            asked, self._asked = self._asked or [], []
        for done, work in asked:
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(work())
            except Exception as error:
                # Whoever asked is told, and says it.
                done.set_exception(error)

    def _run_until_stopped(self) -> None:
        tick, pause = 0, 0
        while not self._stop.wait(_TICK_S):
            self._answer()
            tick += 1
            pause -= 1
            if pause > 0:
                continue
            try:
                self.work(with_retention=tick % _RETENTION_TICKS == 1)
            except StoppedError:
                return
            except (OSError, EngineError) as error:
                self._failed(error)
                pause = _PAUSE_TICKS
            except Exception as error:
                # Whatever it is: without this thread the log would grow for ever.
                logger.exception("persisting failed", exc_info=error)
                self._errors.add(1)
                pause = _PAUSE_TICKS

    def _failed(self, error: Exception) -> None:
        self._errors.add(1)
        logger.error("persisting failed, it is tried again later", extra=keys(error=error))

    def work(self, *, with_retention: bool = False) -> None:
        """Do what there is to do now.

        Raises:
            OSError: The disk does not take something.
            WalError, BackPressureError: The log does not take something.
            StoppedError: The server stops.
        """
        self._persist_due()
        if self.checkpointer.is_due():
            self.checkpointer.write()
        self.log_files.trim(self.checkpointer.covered)
        if with_retention:
            self.compactor.drop_expired()
        if with_retention or self.purger.is_urgent():
            self.purger.purge()
        # Rows that wait in the log come before files that could be fewer.
        while not self._is_any_due() and not self._log.is_stopping():
            try:
                merged = self.compactor.compact() or self.rewriter.rewrite(self._between)
            except FileDamagedError as error:
                # It is noted, and left out from now on.
                self._failed(error)
                continue
            if not merged:
                break
            self._compactions.add(merged)
            self.reap()
        self.reap()

    def _between(self) -> None:
        """What does not wait for the end of a long step, which has made nothing visible yet."""
        self._answer()
        self._persist_due()

    def _persist_due(self) -> None:
        while (through := self.due()) is not None:
            self._persist(through)
            # It costs little beside the step, and with two of them the log can be cut here.
            self.checkpointer.write()
        if (through := self.due_for_deletes()) is not None:
            self._persist(through)

    def _persist(self, through: Position) -> None:
        self._rows.add(self.persister.persist(through))
        self._on_persisted()

    def _is_any_due(self) -> bool:
        return self.due() is not None or self.due_for_deletes() is not None

    def reap(self) -> int:
        """Remove files that no table has and nobody reads; return how many are left."""
        gone, epoch = self._log.call(self._take_unreferenced)
        self._doomed += [(epoch, path) for path in gone]
        left = []
        for doomed in self._doomed:
            if self._readers.is_over(doomed[0]):
                self._filesystem.remove(doomed[1])
            else:
                left.append(doomed)
        removed = len(self._doomed) - len(left)
        self._doomed = left
        if removed:
            self._on_removed(removed)
        return len(left)

    def due(self) -> Position | None:
        """Up to where rows are to be persisted now; None when there is nothing to do yet."""
        if self._log.is_stopping():
            return None
        sealed = self.log_files.sealed()
        # The log goes on to its next file before the last frames of the one before have taken
        # effect: a step that took their positions would leave their rows behind.
        applied = self._log.call(lambda: self._state.position)
        return planner.persist_through(
            [segment for segment in sealed if segment.last <= applied],
            self._state.persisted,
            due_bytes=self._config.log_bytes,
            step_bytes_max=self._config.memory_bytes_max // _INPUT_SHARE,
        )

    def due_for_deletes(self) -> Position | None:
        """Up to where rows are to be persisted because many deletes wait for it; None: they do not.

        The log's file in use is not sealed for it: a step may end anywhere.
        """
        if self._log.is_stopping() or not self.purger.waits_for_live():
            return None
        applied = self._log.call(lambda: self._state.position)
        return planner.persist_through(
            self.log_files.applied(applied),
            self._state.persisted,
            due_bytes=0,
            step_bytes_max=self._config.memory_bytes_max // _INPUT_SHARE,
        )

    def _take_unreferenced(self) -> tuple[list[Path], int]:
        gone = [self._paths.parquet_dir / entry.path for entry in self._state.unreferenced]
        self._state.unreferenced.clear()
        return gone, self._readers.begin_epoch()
