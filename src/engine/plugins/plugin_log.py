# Owns the log lines of plugin runs, as `system.processing_engine_logs` shows them. Kept in memory,
# per trigger, so that a noisy trigger cannot push out the lines of the others; the server's own log
# gets a copy of as much as a person could read, and the log files, from which lines come back after
# a restart, get all of them.
"""Log lines of plugins."""

import logging
from collections import deque
from typing import Protocol

import msgspec

from engine.logs import keys
from engine.plugins.allowance import Allowance
from engine.redaction import shortened

logger = logging.getLogger(__name__)

LINES_PER_TRIGGER_MAX = 10_000
CHARACTERS_PER_TRIGGER_MAX = 8 * 1024 * 1024

# Copied to the server's log at once, and by the second.
_COPY_BURST_CHARACTERS = 1024 * 1024
_COPY_CHARACTERS_PER_S = 64 * 1024

_SERVER_LEVELS = {"INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}


class LogEntry(msgspec.Struct, frozen=True):
    """One line."""

    time_ns: int
    database: str
    trigger_name: str
    level: str
    text: str


class _Lines:
    """The newest lines of one trigger, as many as fit both limits."""

    def __init__(self) -> None:
        self.entries: deque[LogEntry] = deque()
        self._characters = 0
        self._copying = Allowance(_COPY_BURST_CHARACTERS, _COPY_CHARACTERS_PER_S)
        self._not_copied = 0

    def add(self, entry: LogEntry) -> None:
        self.entries.append(entry)
        self._characters += len(entry.text)
        while (
            len(self.entries) > LINES_PER_TRIGGER_MAX
            or self._characters > CHARACTERS_PER_TRIGGER_MAX
        ):
            self._characters -= len(self.entries.popleft().text)

    def copy_to_server_log(self, entry: LogEntry) -> None:
        if not self._copying.take(len(entry.text)):
            self._not_copied += 1
            return
        names = keys(trigger=entry.trigger_name, database=entry.database)
        if self._not_copied:
            logger.warning(
                "processing engine: %d lines are left out here, see system.processing_engine_logs",
                self._not_copied,
                extra=names,
            )
            self._not_copied = 0
        level = _SERVER_LEVELS[entry.level]
        logger.log(level, "processing engine: %s", entry.text, extra=names)


class LogSink(Protocol):
    """Keeps lines over restarts."""

    def add(self, entry: LogEntry) -> None:
        """Keep a line."""

    def oldest_ns(self) -> int:
        """Lines from before this time are not kept."""


class PluginLog:
    """The newest lines of every trigger."""

    def __init__(self, sink: LogSink | None = None) -> None:
        """Copies of all lines go to `sink`, whose age limit counts."""
        self._sink = sink
        self._lines: dict[tuple[str, str], _Lines] = {}

    def add(self, entry: LogEntry) -> None:
        """Keep `entry`; a text that is too long is cut, and says so."""
        if (text := shortened(entry.text)) is not entry.text:
            entry = msgspec.structs.replace(entry, text=text)
        lines = self._lines_of(entry)
        lines.add(entry)
        lines.copy_to_server_log(entry)
        if self._sink is not None:
            self._sink.add(entry)

    def restore(self, entry: LogEntry) -> None:
        """Take a line of the time before a restart."""
        self._lines_of(entry).add(entry)

    def _lines_of(self, entry: LogEntry) -> _Lines:
        return self._lines.setdefault((entry.database, entry.trigger_name), _Lines())

    def entries(self, database: str | None = None) -> list[LogEntry]:
        """Lines of one database, or of all, oldest first."""
        # Queries ask from other threads: copy each collection in one step before looking at it.
        selected = [
            list(lines.entries)
            for (owner, _), lines in list(self._lines.items())
            if database is None or owner == database
        ]
        oldest_ns = 0 if self._sink is None else self._sink.oldest_ns()
        return sorted(
            (entry for lines in selected for entry in lines if entry.time_ns >= oldest_ns),
            key=lambda entry: entry.time_ns,
        )

    def forget(self, database: str, trigger_name: str | None = None) -> None:
        """Drop the lines of a trigger, or of all triggers of a database."""
        self._lines = {
            key: lines
            for key, lines in self._lines.items()
            if key[0] != database or (trigger_name is not None and key[1] != trigger_name)
        }
