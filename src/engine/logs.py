# Owns the format of the server's own log: `time level logger event key=value …`, one line per
# event. An event is a fixed phrase; what varies goes into keys, which come in through
# `extra={"keys": {...}}`. While a request is being answered, every line has its id. Levels can be
# changed while the server runs.
"""Server logging."""

import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_LEVEL_NAMES = {number: name for name, number in LEVELS.items()}
# All loggers of the server are this one's children.
_OURS = "engine"

# How often a warning or an error is shown within how many seconds.
REPEATS_MAX, REPEAT_PERIOD_S = 50, 10.0
_EVENTS_MAX = 1_000
# What plugins say is bounded for each of them.
_BOUNDED = f"{_OURS}.plugins."


class RequestMark:
    """Puts the id of a request into the lines that are logged for it, until it is over."""

    __slots__ = ("is_over", "request_id")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        # What a request has started may outlive it, and inherits its context.
        self.is_over = False
        _request.set(self)


_request: ContextVar[RequestMark | None] = ContextVar("request", default=None)

# What would command a terminal that shows the log, or turn the order of its letters around.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_NEEDS_QUOTES = re.compile(r'[ "=\n\r\t]')


def keys(**values: Any) -> dict[str, dict[str, Any]]:
    """The ``extra`` argument of a logging call: the variables of an event."""
    return {"keys": values}


def _render(value: object) -> str:
    text = str(value)
    if not text or _NEEDS_QUOTES.search(text) is not None:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'
    return text


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


class KeyValueFormatter(logging.Formatter):
    """One line per record; what breaks lines or commands terminals is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record` as one line, followed by its traceback if it has one."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        message = record.getMessage().replace("\n", "\\n").replace("\r", "\\r")
        line = f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {record.name} {message}"
        pairs = getattr(record, "keys", None) or {}
        request = _request.get()
        if request is not None and not request.is_over:
            pairs = {**pairs, "request_id": request.request_id}
        if pairs:
            line += "".join(f" {key}={_render(value)}" for key, value in pairs.items())
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line if line.isprintable() else _COMMANDS.sub(_escaped, line)


class RepeatLimit(logging.Filter):
    """Leaves out warnings and errors that come too often, and says how many these were.

    Clients can bring some about as often as they like, a full disk even more often, and the log may
    be on that disk. An event is a fixed phrase, so there are not many.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._lock = threading.Lock()
        # Of each event when its period began, and how many of it there were since.
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is shown; it may be told what was not."""
        if record.levelno < logging.WARNING or record.name.startswith(_BOUNDED):
            return True
        event, now = (record.name, str(record.msg)), self._now()
        with self._lock:
            if len(self._seen) >= _EVENTS_MAX:
                # Others than ours may put everything into the phrase.
                self._seen.clear()
            began, count = self._seen.get(event, (now, 0))
            left_out = max(count - REPEATS_MAX, 0) if now - began >= REPEAT_PERIOD_S else 0
            if now - began >= REPEAT_PERIOD_S:
                began, count = now, 0
            count += 1
            self._seen[event] = began, count
        said = getattr(record, "keys", None) or {}
        if left_out:
            record.keys = {**said, "left_out_before": left_out}
        elif count == REPEATS_MAX:
            record.keys = {**said, "left_out": f"more of these for {REPEAT_PERIOD_S:g} s"}
        return count <= REPEATS_MAX


def configure(level: str) -> None:
    """Send the root logger to standard error at `level` (debug, info, warn or error)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    handler.addFilter(RepeatLimit())
    # Lines do not show who called from which thread, and to find that out takes half of the time.
    logging._srcfile = None  # as the logging HOWTO has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    # At info it tells of every subscript in a query.
    logging.getLogger("sqlglot").setLevel(logging.WARNING)


def loggers() -> list[str]:
    """The names of all loggers whose level can be set."""
    # A copy: a thread may make another one meanwhile.
    names = list(logging.root.manager.loggerDict)
    return sorted(name for name in names if name == _OURS or name.startswith(f"{_OURS}."))


def levels() -> dict[str, str]:
    """The level of all loggers, under ``root``, and of those that have one of their own."""
    shown = {"root": logging.root.level}
    for name in loggers():
        level = logging.getLogger(name).level
        if level != logging.NOTSET:
            shown[name] = level
    return {name: _LEVEL_NAMES.get(level, str(level)) for name, level in shown.items()}


def set_level(level: str | None, logger: str = "root") -> None:
    """Set the level of one of `loggers` and what is below it, or of all: until the server ends.

    Without a `level` the logger follows the one above it again.
    """
    chosen = logging.root if logger == "root" else logging.getLogger(logger)
    assert chosen is not logging.root or level is not None
    chosen.setLevel(logging.NOTSET if level is None else LEVELS[level])
