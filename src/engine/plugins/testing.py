# Owns the kit with which authors of plugins test them: the real loader, LineBuilder and API checks,
# with a server that is only a record. Runs in the test's own process; needs no server.
"""A kit for tests of plugins.

A test in three lines::

    api = FakeApi()
    Plugin("report.py").process_writes(api, batches("cpu,host=a usage=1 10"))
    assert api.lines == ["report,table=cpu rows=1i"]
"""

import datetime
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.plugins.api import BUILTIN_NAMES, InfluxDB3Local, QueryError, WriteBuffer
from engine.plugins.cache import ExpiringStore, PluginCache
from engine.plugins.channel import EntryPointKind, LogLevel, QueryParameter, Response
from engine.plugins.loader import PluginLoader, install_builtins
from engine.plugins.responses import to_response
from engine.plugins.result_rows import ResultForm, in_form
from engine.plugins.state import PluginState
from engine.plugins.table_batches import Delivery
from lp_core import LineBuilder, Precision, WriteBatch, parse

__all__ = ["FakeApi", "LineBuilder", "Plugin", "QueryError", "batches", "tables"]

Rows = list[dict[str, Any]]
Answer = Callable[[str, dict[str, Any] | None, str], Rows]


def batches(lines: str, *, now_ns: int | None = None) -> Rows:
    """The ``table_batches`` of some lines of line protocol (timestamps in nanoseconds).

    Args:
        lines: What a client would write.
        now_ns: Time of lines without one; the current time when None.

    Raises:
        LineProtocolError: A line is wrong.
    """
    parsed = _parsed(lines, now_ns)
    return [{"table_name": table, "rows": rows.rows()} for table, rows in parsed.items()]


def tables(lines: str, *, now_ns: int | None = None) -> dict[str, Any]:
    """The Arrow tables that ``process_batches`` gets for some lines, as `batches`."""
    return Delivery(
        {name: [part] for name, part in _parsed(lines, now_ns).items()}, 0
    ).arrow_tables()


def _parsed(lines: str, now_ns: int | None) -> WriteBatch:
    return parse(
        lines.encode(),
        precision=Precision.NANOSECOND,
        now_ns=time.time_ns() if now_ns is None else now_ns,
        accept_partial=False,
    ).batch


class _Record:
    """What a plugin asked of the server."""

    def __init__(self) -> None:
        self.logs: list[tuple[str, str]] = []
        self.writes_now: list[tuple[str, str]] = []
        self._cache: ExpiringStore[bytes] = ExpiringStore()
        self._state: dict[str, bytes] = {}

    def query(self, sql: str, params: dict[str, QueryParameter] | None, database: str) -> bytes:
        raise NotImplementedError  # FakeApi answers in rows

    def write(self, database: str, lines: bytes, *, no_sync: bool, hops: int) -> None:
        self.writes_now.append((database, lines.decode()))

    def log(self, run_id: int, time_ns: int, level: LogLevel, text: str) -> None:
        self.logs.append((level, text))

    def check(self) -> None:
        """Nothing stops a test's runs."""

    def state_get(self, key: str) -> tuple[bytes | None, int]:
        return self._state.get(key), 0

    def state_items(self, prefix: str) -> tuple[list[tuple[str, bytes]], int]:
        return [item for item in self._state.items() if item[0].startswith(prefix)], 0

    def change_state(self, changes: list[tuple[str, bytes | None]]) -> None:
        for key, value in changes:
            if value is None:
                self._state.pop(key, None)
            else:
                self._state[key] = value

    def cache_get(self, key: str) -> tuple[bool, bytes | None]:
        return self._cache.get(key)

    def cache_put(self, key: str, value: bytes, ttl_s: float | None) -> None:
        self._cache.put(key, value, ttl_s)

    def cache_delete(self, key: str) -> bool:
        return self._cache.delete(key)


class FakeApi(InfluxDB3Local):
    """``influxdb3_local`` without a server: it answers what it was told, and keeps what was asked.

    One object may serve several calls in a row, as a trigger's cache does. Its ``state`` can be
    filled before the first one and looked at after each.

    Attributes:
        queries: The questions so far: (sql, args, database).
    """

    def __init__(
        self,
        answer: Answer | Mapping[str, Rows] | None = None,
        *,
        database: str = "test",
        batch_id: str = "test-batch",
    ) -> None:
        """An API that answers queries from `answer`: a function, or rows by the text of the SQL."""
        self._record = _Record()
        self._answer = answer
        self._pending = WriteBuffer(is_joined=False)
        self._done: list[tuple[str, str]] = []
        self.queries: list[tuple[str, dict[str, Any] | None, str]] = []
        super().__init__(
            self._record,
            run_id=0,
            database=database,
            batch_id=batch_id,
            cache=PluginCache(ExpiringStore(), self._record),
            state=PluginState(self._record),
            buffer=self._pending,
        )

    def query(
        self,
        query: str,
        args: dict[str, Any] | None = None,
        database: str | None = None,
        *,
        as_: ResultForm = "rows",
    ) -> Any:
        """The prepared rows, copied, or a table made of them.

        Raises:
            QueryError: None are prepared for this SQL.
        """
        where = self._database if database is None else database
        self.queries.append((query, args, where))
        if callable(self._answer):
            rows = self._answer(query, args, where)
        elif self._answer is not None and query in self._answer:
            rows = self._answer[query]
        else:
            raise QueryError(f"the test has no answer to: {query}")
        if as_ == "rows":
            return [dict(row) for row in rows]
        import pyarrow as pa

        return in_form(pa.Table.from_pylist(rows), as_)

    @property
    def lines(self) -> list[str]:
        """What was written to the trigger's own database, synchronous writes first."""
        return self.lines_of(self._database)

    def lines_of(self, database: str) -> list[str]:
        """What was written to a database, synchronous writes first."""
        self._settle()
        writes = [*self._record.writes_now, *self._done]
        return [text for name, text in writes if name == database]

    @property
    def logs(self) -> list[tuple[str, str]]:
        """What was logged: (level, text)."""
        return list(self._record.logs)

    def drop_buffered(self) -> None:
        """Forget what ``write`` and ``state`` took since the last call ended, as at a failure."""
        self._pending = self._buffer = WriteBuffer(is_joined=False)
        self._state.close()
        self._state = PluginState(self._record)

    def _settle(self) -> None:
        done = self._pending.close()
        self._record.change_state(self._state.close().changes)
        self.drop_buffered()
        self._done += [(database, text.decode()) for database, text in done]


class Plugin:
    """A plugin file or package, called as a server would call it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Take the code at `path`; it is executed when it is called."""
        install_builtins(BUILTIN_NAMES)
        self._path = Path(path).resolve(strict=True)
        self._loaders: dict[EntryPointKind, PluginLoader] = {}

    def process_writes(
        self, api: FakeApi, table_batches: Rows, args: Mapping[str, str] | None = None
    ) -> None:
        """Call ``process_writes``; what it raises passes, and drops what it had buffered."""
        self._call("wal", api, [table_batches], args)

    def process_batches(
        self, api: FakeApi, tables: Mapping[str, Any], args: Mapping[str, str] | None = None
    ) -> None:
        """Call ``process_batches`` with Arrow tables, such as those of `tables`."""
        self._call("wal", api, [dict(tables)], args)

    def process_scheduled_call(
        self,
        api: FakeApi,
        call_time: datetime.datetime,
        args: Mapping[str, str] | None = None,
    ) -> None:
        """Call ``process_scheduled_call`` with the time in naive UTC and whole seconds."""
        if call_time.tzinfo is not None:
            call_time = call_time.astimezone(datetime.UTC).replace(tzinfo=None)
        self._call("schedule", api, [call_time.replace(microsecond=0)], args)

    def process_request(
        self,
        api: FakeApi,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        args: Mapping[str, str] | None = None,
    ) -> Response:
        """Call ``process_request`` and make its answer the response that a client would get."""
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        arguments = [dict(query or {}), lowered, body]
        returned = self._call("request", api, arguments, args)
        try:
            answer = to_response(returned)
            if isinstance(answer, Response):
                return answer
            return Response(answer.status, answer.headers, b"".join(answer.pieces))
        except BaseException:
            api.drop_buffered()
            raise

    def _call(
        self,
        kind: EntryPointKind,
        api: FakeApi,
        arguments: Sequence[Any],
        args: Mapping[str, str] | None,
    ) -> Any:
        if kind not in self._loaders:
            self._loaders[kind] = PluginLoader(self._path, kind)
        entry_point = self._loaders[kind].load()
        if kind == "wal" and entry_point.takes_arrow != isinstance(arguments[0], dict):
            raise TypeError(
                "the plugin defines process_batches: call that, with tables(…)"
                if entry_point.takes_arrow
                else "the plugin defines process_writes only: call that, with batches(…)"
            )
        api._settle()
        try:
            return entry_point.function(api, *arguments, None if args is None else dict(args))
        except BaseException:
            api.drop_buffered()
            raise
