# Owns the log lines of plugin runs, as `system.processing_engine_logs` shows them. Kept in memory,
# per trigger, so that a noisy trigger cannot push out the lines of the others; the server's own log
# gets a copy.
"""Log lines of plugins."""

import logging
from collections import deque

import msgspec

logger = logging.getLogger(__name__)

LINES_PER_TRIGGER_MAX = 10_000
LINE_BYTES_MAX = 64 * 1024

_SERVER_LEVELS = {"INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}


class LogEntry(msgspec.Struct, frozen=True):
    """One line."""

    time_ns: int
    database: str
    trigger_name: str
    level: str
    text: str


class PluginLog:
    """The newest lines of every trigger."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], deque[LogEntry]] = {}

    def add(self, entry: LogEntry) -> None:
        """Keep `entry`; a text over LINE_BYTES_MAX characters is cut, and says so."""
        if len(entry.text) > LINE_BYTES_MAX:
            cut = f"{entry.text[:LINE_BYTES_MAX]}… [cut, {len(entry.text)} characters]"
            entry = msgspec.structs.replace(entry, text=cut)
        key = (entry.database, entry.trigger_name)
        if key not in self._lines:
            self._lines[key] = deque(maxlen=LINES_PER_TRIGGER_MAX)
        self._lines[key].append(entry)
        logger.log(
            _SERVER_LEVELS[entry.level],
            "processing engine: %s",
            entry.text,
            extra={"keys": {"trigger": entry.trigger_name, "database": entry.database}},
        )

    def entries(self, database: str | None = None) -> list[LogEntry]:
        """Lines of one database, or of all, oldest first."""
        # Queries ask from other threads: copy each collection in one step before looking at it.
        selected = [
            list(lines)
            for (owner, _), lines in list(self._lines.items())
            if database is None or owner == database
        ]
        return sorted(
            (entry for lines in selected for entry in lines), key=lambda entry: entry.time_ns
        )

    def forget(self, database: str, trigger_name: str | None = None) -> None:
        """Drop the lines of a trigger, or of all triggers of a database."""
        self._lines = {
            key: lines
            for key, lines in self._lines.items()
            if key[0] != database or (trigger_name is not None and key[1] != trigger_name)
        }
