# Owns `influxdb3_local`, the object that plugin code talks to, and nothing else that a plugin can
# see. One object serves one run; its methods may be called from any thread that the plugin starts.
"""The API of the processing engine, as plugins see it."""

import threading
import time
from collections.abc import Iterable
from typing import Any, Literal, Protocol, overload

import lp_core
from engine.plugins.cache import GlobalStore, PluginCache
from engine.plugins.channel import LogLevel, QueryParameter
from engine.plugins.result_rows import ResultForm, result_from_stream
from engine.plugins.state import PluginState, StateStore
from engine.redaction import shortened


class QueryError(Exception):
    """A query was refused or failed."""


class WriteError(Exception):
    """A synchronous write was refused."""


class RunCancelledError(BaseException):
    """The server stops this run; not an Exception, so that plugins do not take it for a failure."""


# What plugin code may name without an import.
BUILTIN_NAMES: dict[str, object] = {
    "LineBuilder": lp_core.LineBuilder,
    "InfluxDBError": lp_core.InfluxDBError,
    "InvalidMeasurementError": lp_core.InvalidMeasurementError,
    "InvalidKeyError": lp_core.InvalidKeyError,
    "InvalidLineError": lp_core.InvalidLineError,
    "QueryError": QueryError,
}


class CallFailedError(Exception):
    """The server refused a call; carries its stable error code."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ServerCalls(GlobalStore, StateStore, Protocol):
    """What the API needs from the server; a refusal raises CallFailedError."""

    def query(self, sql: str, params: dict[str, QueryParameter] | None, database: str) -> bytes:
        """Runs a query and returns an Arrow IPC stream."""

    def write(self, database: str, lines: bytes, *, no_sync: bool, hops: int) -> None:
        """Writes lines at once."""

    def check(self) -> None:
        """Raises RunCancelledError when the server wants the run to end."""

    def log(self, run_id: int, time_ns: int, level: LogLevel, text: str) -> None:
        """Sends a log line; does not wait for an answer."""


class WriteBuffer:
    """Lines that a run wants written when it ends, for each database in order of first use."""

    def __init__(self, *, is_joined: bool = True) -> None:
        """An empty buffer; without `is_joined` what was added stays apart at the end."""
        self._is_joined = is_joined
        self._lock = threading.Lock()
        self._lines: dict[str, list[bytes]] | None = {}

    def add(self, database: str, lines: bytes) -> None:
        """Keeps one or more lines."""
        with self._lock:
            if self._lines is None:
                raise RuntimeError(
                    "this call of the plugin has ended, so its buffered writes are already "
                    "stored; use write_sync from threads that live on"
                )
            self._lines.setdefault(database, []).append(lines)

    def close(self) -> list[tuple[str, bytes]]:
        """Returns the lines joined for each database and accepts no more."""
        with self._lock:
            lines, self._lines = self._lines or {}, None
        if not self._is_joined:
            return [(database, text) for database in lines for text in lines[database]]
        return [(database, b"\n".join(texts)) for database, texts in lines.items()]


class InfluxDB3Local:
    """The API object of one run.

    Attributes:
        batch_id: Stable name of the data or tick of this run, the same when a run is repeated;
            outside effects can be made idempotent with it.
    """

    __slots__ = (
        *("_buffer", "_cache", "_calls", "_database", "_hops", "_run_id", "_state"),
        "batch_id",
    )

    def __init__(
        self,
        calls: ServerCalls,
        *,
        run_id: int,
        database: str,
        batch_id: str,
        cache: PluginCache,
        state: PluginState,
        buffer: WriteBuffer,
        hops: int = 0,
    ) -> None:
        self._calls = calls
        self._run_id = run_id
        self._hops = hops
        self._database = database
        self._buffer = buffer
        self.batch_id = batch_id
        self._cache = cache
        self._state = state

    @property
    def cache(self) -> PluginCache:
        """Values kept between runs."""
        self._calls.check()
        return self._cache

    @property
    def state(self) -> PluginState:
        """Values that survive restarts and change together with what the run writes."""
        self._calls.check()
        return self._state

    def info(self, *args: Any) -> None:
        """Logs the values, joined by one space, with level INFO."""
        self._log("INFO", args)

    def warn(self, *args: Any) -> None:
        """Logs the values, joined by one space, with level WARN."""
        self._log("WARN", args)

    def error(self, *args: Any) -> None:
        """Logs the values, joined by one space, with level ERROR; the run goes on."""
        self._log("ERROR", args)

    def write(self, line: Any) -> None:
        """Keeps what ``line.build()`` returns, to be written when the call ends without error."""
        self._calls.check()
        self._buffer.add(self._database, _built(line))

    def write_to_db(self, db_name: str, line: Any) -> None:
        """Like ``write``, into the named database."""
        self._calls.check()
        self._buffer.add(_checked_name(db_name), _built(line))

    def write_sync(self, line_builder: Any, no_sync: bool = False) -> None:
        """Writes what ``line_builder.build()`` returns now; raises when that is refused.

        With ``no_sync`` the call returns before the lines are durable.
        """
        self._write_now(self._database, line_builder, no_sync)

    def write_sync_to_db(self, db_name: str, line_builder: Any, no_sync: bool = False) -> None:
        """Like ``write_sync``, into the named database."""
        self._write_now(_checked_name(db_name), line_builder, no_sync)

    def write_table(
        self,
        name: str,
        table: Any,
        *,
        tags: Iterable[str] | None = None,
        time: str | None = "time",
        database: str | None = None,
    ) -> None:
        """Keeps the rows of an Arrow, pandas or polars table, to be written like ``write``.

        Args:
            name: Table to write to.
            table: Anything with ``__arrow_c_stream__``. Nulls are left out.
            tags: Columns that are tags; dictionaries of texts when None.
            time: Column of the times; None leaves them to the server.
            database: Where to write; the trigger's own database by default.

        Raises:
            TypeError, ValueError, InfluxDBError: No lines can be made of it.
        """
        self._calls.check()
        target = self._database if database is None else _checked_name(database)
        lines = lp_core.build_lines(table, measurement=name, tags=tags, time=time)
        if lines:
            self._buffer.add(target, lines.removesuffix(b"\n"))

    @overload
    def query(
        self,
        query: str,
        args: dict[str, Any] | None = None,
        database: str | None = None,
        *,
        as_: Literal["rows"] = "rows",
    ) -> list[dict[str, Any]]: ...
    @overload
    def query(
        self,
        query: str,
        args: dict[str, Any] | None = None,
        database: str | None = None,
        *,
        as_: Literal["arrow", "pandas", "polars"],
    ) -> Any: ...
    def query(
        self,
        query: str,
        args: dict[str, Any] | None = None,
        database: str | None = None,
        *,
        as_: ResultForm = "rows",
    ) -> Any:
        """Runs SQL and returns one dict per row, with every column of the result in it.

        Args:
            query: SQL; ``$name`` stands for a parameter.
            args: Values of the parameters.
            database: Where to run it; the trigger's own database by default.
            as_: ``"arrow"``, ``"pandas"`` or ``"polars"`` for a table instead of dicts.

        Raises:
            QueryError: The query is refused or failed.
            ImportError: The library that was asked for is not installed.
        """
        if as_ not in ("rows", "arrow", "pandas", "polars"):
            raise ValueError(f"as_ must be 'rows', 'arrow', 'pandas' or 'polars', not {as_!r}")
        if not isinstance(query, str):
            raise TypeError(f"query must be a str, not {type(query).__name__}")
        target = self._database if database is None else _checked_name(database)
        try:
            stream = self._calls.query(query, _parameters(args), target)
        except CallFailedError as error:
            raise QueryError(str(error)) from None
        return result_from_stream(stream, as_)

    def _log(self, level: LogLevel, values: tuple[Any, ...]) -> None:
        # Half of a surrogate pair cannot cross the channel; its escape can.
        text = shortened(" ".join(str(value) for value in values))
        text = text.encode("utf-8", "backslashreplace").decode()
        self._calls.log(self._run_id, time.time_ns(), level, text)

    def _write_now(self, database: str, line: Any, no_sync: bool) -> None:
        if not isinstance(no_sync, bool):
            raise TypeError(f"no_sync must be a bool, not {type(no_sync).__name__}")
        lines = _built(line)
        try:
            self._calls.write(database, lines, no_sync=no_sync, hops=self._hops)
        except CallFailedError as error:
            reason = (
                f"invalid database name: {error}"
                if error.code == "invalid_name"
                else f"Cannot write: {error}"
            )
            raise WriteError(f"error writing line protocol to {database}: {reason}") from None


def _built(line: Any) -> bytes:
    # Any object with build() will do: plugins bring their own that return several lines.
    text = line.build()
    if not isinstance(text, str):
        raise TypeError(f"build() must return a str, not {type(text).__name__}")
    return text.encode()  # text that is not Unicode fails here, where the plugin can see it


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"database name must be a str, not {type(name).__name__}")
    return name


def _parameters(args: Any) -> dict[str, QueryParameter] | None:
    if args is None:
        return None
    if not isinstance(args, dict):
        raise TypeError(f"query args must be a dict, not {type(args).__name__}")
    return {_parameter_name(name): _parameter(name, value) for name, value in args.items()}


def _parameter_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"query parameter names must be str, not {type(name).__name__}")
    return name


def _parameter(name: str, value: Any) -> QueryParameter:
    if callable(getattr(value, "item", None)):  # a numpy scalar
        value = value.item()
    # Subclasses, such as enums, must become what they stand for.
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return int(value)
    raise TypeError(
        f"query parameter '{name}' must be str, int, float, bool or None, "
        f"not {type(value).__name__}"
    )
