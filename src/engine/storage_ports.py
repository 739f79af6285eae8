# Owns the persist thread's way to state and log: everything that it asks for runs on the event
# loop, where the state changes. Wired by server.py.
"""State and log for the persist thread."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from engine.catalog.model import Trigger
from engine.ids import Position
from engine.ingest.state import ServerState
from engine.ingest.state_image import encode_image
from engine.persist.ports import CheckpointDraft, Laggard
from engine.plugins.flush_index import FlushIndex
from engine.store.cuts import Cuts
from engine.store.live import LiveStore
from engine.store.manifest import FileEntry, FilesRecord, encode_files
from engine.store.run_records import RunRecord, Step, encode_record
from engine.wal.log import DurableFrame, Log
from lp_core import FrameKind, encode_frame

_Result = TypeVar("_Result")


class StateAccess:
    """The server's state, and how far triggers have come in the log."""

    def __init__(self, state: ServerState, index: FlushIndex) -> None:
        self._state = state
        self._index = index

    @property
    def store(self) -> LiveStore:
        """All tables."""
        return self._state.store

    @property
    def position(self) -> Position:
        """Of the last frame that has taken effect."""
        return self._state.position

    @property
    def persisted(self) -> Position:
        """Rows up to here are in files."""
        return self._state.persisted

    @property
    def next_file_number(self) -> int:
        """Number of the next file."""
        return self._state.next_file_number

    @property
    def unreferenced(self) -> list[FileEntry]:
        """Files that no table has any more."""
        return self._state.unreferenced

    def draft(self) -> CheckpointDraft:
        """The state as a checkpoint keeps it."""
        # What no trigger needs to read is passed; the checkpoint should know, or after a restart
        # triggers of quiet databases would ask for log files that are gone.
        self.log_readers()
        image = self._state.image()
        return CheckpointDraft(image.position, image.persisted, lambda: encode_image(image))

    def retention_of(self, database: str, table: str) -> int | None:
        """How long rows are kept, in nanoseconds; None for ever."""
        catalog = self._state.catalog
        if not catalog.has_database(database):
            return None
        return catalog.database(database).retention_of(table)

    def cuts(self) -> Cuts:
        """Where WAL triggers begin."""
        state = self._state
        starts = (
            (trigger.database, trigger.table, state.backfills.start(trigger.id))
            for trigger in state.catalog.triggers()
            if trigger.is_fed_by_log
        )
        # Before a database begins there is nothing to be cut off.
        return Cuts(start for start in starts if start[2] > state.created(start[0]))

    def forget_log(self, through: Position) -> None:
        """The log does not have frames up to this position any more."""
        self._index.drop_until(through)

    def log_readers(self) -> list[Laggard]:
        """How far the triggers that read the log have come.

        Disabled ones too: they are to go on where they stopped. Where live rows wait for those of
        the past they must not be lost meanwhile, unless somebody stopped the trigger.
        """
        readers = []
        for trigger in self._state.catalog.triggers():
            cursor = self._state.cursors.get(trigger.id)
            if cursor is None:
                continue
            passed = self._index.nothing_until(trigger.database, cursor.low, self._state.position)
            if passed > cursor.low:
                cursor.pass_over(passed)
            waits = self._state.backfills.active(trigger.id) is not None
            readers.append(Laggard(trigger, cursor.low, keeps=waits and not trigger.disabled))
        return readers


class LogAccess:
    """The log and the event loop, for another thread."""

    def __init__(
        self,
        log: Log,
        bytes_before: int,
        on_skip: Callable[[Trigger, Position, Position], None],
    ) -> None:
        """`bytes_before` are those that the log had at the start; `on_skip` tells of a loss."""
        self._log = log
        self._bytes_before = bytes_before
        self._on_skip = on_skip
        self._loop = asyncio.get_running_loop()
        self._is_stopping = False

    def stop(self) -> None:
        """From now on, whoever asks is told that the server stops."""
        self._is_stopping = True

    def is_stopping(self) -> bool:
        """Whether the server is about to end."""
        return self._is_stopping

    def written_bytes(self) -> int:
        """Bytes that the log has taken, those before the start included."""
        return self._bytes_before + self._log.written_bytes

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` on the event loop."""

        async def run() -> _Result:
            return work()

        return self._wait(run())

    def append(self, record: FilesRecord) -> None:
        """Store a record durably; it has taken effect at the return.

        Raises:
            WalError, BackPressureError: The log does not take it.
        """
        self._append(encode_files(record))

    def skip(self, laggard: Laggard, through: Position) -> None:
        """Let a trigger lose what it has not read up to a position, loudly.

        Raises:
            WalError, BackPressureError: The log does not take the record.
        """
        step = Step(laggard.passed, through)
        self._append(encode_record(RunRecord(trigger_id=laggard.trigger.id, step=step)))
        self.call(lambda: self._on_skip(laggard.trigger, laggard.passed, through))

    def _append(self, control: bytes) -> None:
        frame = encode_frame(FrameKind.COMMIT, [], control)

        async def append() -> DurableFrame:
            return await self._log.append(frame)

        self._wait(append())

    def _wait(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
