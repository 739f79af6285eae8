# Owns when a checkpoint is written and which ones count: a log file may go only once two whole
# checkpoints do without it, since the newer one may turn out to be damaged.
"""Writing of checkpoints."""

import logging
import time
from collections import deque

from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.paths import DataPaths
from engine.persist.ports import LogPort, StatePort
from engine.wal import checkpoint

logger = logging.getLogger(__name__)


class Checkpointer:
    """Writes checkpoints by bytes of log."""

    def __init__(
        self,
        paths: DataPaths,
        filesystem: FileSystem,
        state: StatePort,
        log: LogPort,
        *,
        due_bytes: int,
    ) -> None:
        self._paths = paths
        self._filesystem = filesystem
        self._state = state
        self._log = log
        self._due_bytes = due_bytes
        self._bytes_before = 0
        # Of those that are known to be whole: up to where each does without the log.
        self._persisted: deque[Position] = deque(maxlen=checkpoint.KEPT)
        self._last = Position(0)

    def found(self, position: Position, persisted: Position) -> None:
        """The one that the server started from."""
        self._persisted.append(persisted)
        self._last = position

    @property
    def covered(self) -> Position:
        """Up to here, every checkpoint that is kept does without the log."""
        if len(self._persisted) < checkpoint.KEPT:
            return Position(0)
        return min(self._persisted)

    def is_due(self) -> bool:
        """Whether the log has grown enough since the last one."""
        return self._log.written_bytes() - self._bytes_before >= self._due_bytes

    def write(self) -> None:
        """Write a checkpoint of now, unless nothing has happened since the last one.

        Raises:
            OSError: The disk does not take it.
        """
        started = time.monotonic()
        written_bytes = self._log.written_bytes()
        draft = self._log.call(self._state.draft)
        if draft.position == self._last:
            return
        payload = draft.encode()
        checkpoint.write(self._paths, self._filesystem, draft.position, payload)
        self._persisted.append(draft.persisted)
        self._last = draft.position
        self._bytes_before = written_bytes
        logger.info(
            "checkpoint written",
            extra=keys(
                position=draft.position,
                persisted=draft.persisted,
                bytes=len(payload),
                seconds=round(time.monotonic() - started, 3),
            ),
        )
