# Owns the format of the server's own log: `time level logger event key=value …`, one line per
# event. An event is a fixed phrase; what varies goes into keys, which come in through
# `extra={"keys": {...}}`.
"""Server logging."""

import logging
import sys
import time
from typing import Any

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


def keys(**values: Any) -> dict[str, dict[str, Any]]:
    """The ``extra`` argument of a logging call: the variables of an event."""
    return {"keys": values}


def _render(value: object) -> str:
    text = str(value)
    if not text or any(character in text for character in ' "=\n\r\t'):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'
    return text


class KeyValueFormatter(logging.Formatter):
    """One line per record; line breaks are escaped so that no line can be forged."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record` as one line, followed by its traceback if it has one."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        message = record.getMessage().replace("\n", "\\n").replace("\r", "\\r")
        line = f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {record.name} {message}"
        pairs = getattr(record, "keys", None)
        if pairs:
            line += "".join(f" {key}={_render(value)}" for key, value in pairs.items())
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(level: str) -> None:
    """Send the root logger to standard error at `level` (debug, info, warn or error)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
