# Owns the part of the disk that clients' rows may not take, so that deletes, retention and the
# moving of rows to files, which all write before they free anything, still find room.
"""The reserve of the data directory's disk."""

import logging
import time
from pathlib import Path

from engine.errors import DiskFullError
from engine.filesystem import FileSystem
from engine.logs import keys

logger = logging.getLogger(__name__)

# A look at the disk takes microseconds, but writes are many.
LOOK_INTERVAL_S = 0.1
RETRY_S = 10


class DiskReserve:
    """Refuses rows while less than the reserve is free; for the event loop."""

    def __init__(self, directory: Path, filesystem: FileSystem, reserve_bytes: int) -> None:
        """Watch the file system of `directory`; a reserve of 0 is none."""
        self._directory = directory
        self._filesystem = filesystem
        self._reserve_bytes = reserve_bytes
        self._looked_at = float("-inf")
        self._is_used = False
        self.free_bytes = 0

    @property
    def is_used(self) -> bool:
        """Whether rows are refused now."""
        self._look()
        return self._is_used

    def check(self) -> None:
        """Let rows pass, or not.

        Raises:
            DiskFullError: Less than the reserve is free.
        """
        self._look()
        if self._is_used:
            raise DiskFullError(
                f"{self.free_bytes} bytes are free on the disk of the data directory, less than "
                f"the reserve of {self._reserve_bytes}: no rows are taken",
                retry_after_s=RETRY_S,
                hint="free space, delete data, shorten retention, or set --disk-reserve lower; "
                "queries and deletes work, and writes are taken again by themselves",
            )

    def _look(self) -> None:
        now = time.monotonic()
        if not self._reserve_bytes or now - self._looked_at < LOOK_INTERVAL_S:
            return
        self._looked_at = now
        self.free_bytes = self._filesystem.free_bytes(self._directory)
        is_used = self.free_bytes < self._reserve_bytes
        if is_used != self._is_used:
            self._is_used = is_used
            said = keys(free_bytes=self.free_bytes, reserve_bytes=self._reserve_bytes)
            if is_used:
                logger.error("disk reserve reached, rows are refused", extra=said)
            else:
                logger.info("the disk has room again, rows are taken", extra=said)
