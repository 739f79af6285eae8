# Owns the log lines of plugins on the disk: files of JSON lines, written by a thread of their own
# so that neither the loop nor a plugin waits for the disk. They are there to be read again after a
# restart; a full disk costs lines, never the server. docs/operations.md has the format.
"""Files of plugin log lines."""

import logging
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.clock import Clock
from engine.filesystem import FileSystem
from engine.logs import keys
from engine.plugins.plugin_log import LogEntry

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"
FORMAT = "headrace-plugin-log"
VERSION = 1
# Of all files together so many take turns: one is dropped as a whole.
_FILES_MAX = 16
_FILE_BYTES_MIN = 64 * 1024
# Lines that wait for the disk; beyond it they are dropped.
_WAITING_MAX = 5_000
_COMPLAIN_INTERVAL_S = 60.0


class LogRetention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long lines are kept: as long as both limits allow."""

    age_s: float = 7 * 86_400.0
    size_bytes_max: int = 64 * 1024 * 1024

    @property
    def file_bytes_max(self) -> int:
        """Size at which a new file begins."""
        return max(_FILE_BYTES_MIN, self.size_bytes_max // _FILES_MAX)


class _Header(msgspec.Struct, frozen=True):
    format: str
    version: int


class LogFiles:
    """Appends lines, reads them back, and drops the oldest."""

    def __init__(
        self, directory: Path, filesystem: FileSystem, clock: Clock, retention: LogRetention
    ) -> None:
        self._directory = directory
        self._filesystem = filesystem
        self._clock = clock
        self._retention = retention
        self._waiting: queue.SimpleQueue[LogEntry | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._descriptor: int | None = None
        self._size_bytes = 0
        self._number = 0
        self._dropped = 0
        self._complained_s = -_COMPLAIN_INTERVAL_S

    def load(self) -> Iterator[LogEntry]:
        """The lines of the time before, oldest first; for the start of the server."""
        oldest_ns = self.oldest_ns()
        for path in self._paths():
            self._number = int(path.stem)
            for entry in _read(path):
                if entry.time_ns >= oldest_ns:
                    yield entry

    def oldest_ns(self) -> int:
        """Lines from before this time are not kept."""
        return self._clock.now_ns() - int(self._retention.age_s * 1e9)

    def start(self) -> None:
        """Begin to take lines."""
        self._thread = threading.Thread(target=self._write_all, name="plugin-log", daemon=True)
        self._thread.start()

    def add(self, entry: LogEntry) -> None:
        """Have a line written soon."""
        if self._waiting.qsize() < _WAITING_MAX:
            self._waiting.put(entry)
        else:
            self._dropped += 1

    def stop(self) -> None:
        """Write what waits, durably."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    # In the thread.

    def _write_all(self) -> None:
        is_open = True
        while is_open:
            entries = [self._waiting.get()]
            while not self._waiting.empty():
                entries.append(self._waiting.get_nowait())
            is_open = None not in entries
            lines = [msgspec.json.encode(entry) for entry in entries if entry is not None]
            dropped = self._dropped
            if lines:
                self._write(b"\n".join(lines) + b"\n")
            if dropped and self._dropped == dropped:
                self._complain(None)
                self._dropped = 0
        self._close()

    def _write(self, content: bytes) -> None:
        try:
            if self._descriptor is None:
                self._begin()
            assert self._descriptor is not None
            self._filesystem.append(self._descriptor, content)
            self._size_bytes += len(content)
            if self._size_bytes >= self._retention.file_bytes_max:
                self._close()
        except OSError as error:
            self._dropped += content.count(b"\n")
            self._close()
            self._complain(error)

    def _complain(self, error: OSError | None) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._complained_s >= _COMPLAIN_INTERVAL_S:
            self._complained_s = now_s
            logger.error(
                "plugin log lines not written",
                exc_info=error,
                extra=keys(directory=self._directory, dropped_lines=self._dropped),
            )

    def _begin(self) -> None:
        """Begin a file; there is one more than may be, so the oldest go."""
        self._filesystem.make_directory(self._directory)
        self._number += 1
        self._drop_old()
        path = self._directory / f"{self._number:020d}{SUFFIX}"
        self._descriptor = self._filesystem.open_to_append(path)
        header = msgspec.json.encode(_Header(FORMAT, VERSION)) + b"\n"
        self._filesystem.append(self._descriptor, header)
        self._size_bytes = len(header)

    def _drop_old(self) -> None:
        room = self._retention.size_bytes_max - self._retention.file_bytes_max
        oldest_s = self.oldest_ns() / 1e9
        for path in reversed(self._paths()):
            status = path.stat()
            room -= status.st_size
            if room < 0 or status.st_mtime < oldest_s:
                self._filesystem.remove(path)

    def _close(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            self._filesystem.sync_data(descriptor)
        except OSError as error:
            logger.warning("plugin log not synced", exc_info=error)
        finally:
            self._filesystem.close(descriptor)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._directory.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def _read(path: Path) -> Iterator[LogEntry]:
    """The whole lines of a file; the last one may have been cut by a crash."""
    try:
        with path.open("rb") as file:
            header = msgspec.json.decode(file.readline(), type=_Header)
            if header != _Header(FORMAT, VERSION):
                logger.warning("plugin log of another version left alone", extra=keys(path=path))
                return
            for line in file:
                yield msgspec.json.decode(line, type=LogEntry)
    except (OSError, msgspec.DecodeError) as error:
        logger.warning("plugin log not read to its end", extra=keys(path=path, reason=str(error)))
