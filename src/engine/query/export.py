# Owns the export of a whole table, or of a stretch of time of it: cut into slices of time, each
# read by a query of its own and written out before the next one is read, so that no table is too
# large.
"""Tables as files, piece by piece."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

import pyarrow
import pyarrow.csv
import pyarrow.parquet

from engine.errors import QueryError, RequestError, TableNotFoundError
from engine.query import formats
from engine.store.parquet_file import FOOTER_KEY, FORMAT_VERSION
from engine.store.time_ranges import TimeRange
from lp_core import build_lines
from lp_core.enums import ColumnType

# What one slice may hold, if not all of it has the same time.
SLICE_CELLS_MAX = 2_000_000
SLICE_ROWS_MAX = 100_000
# Slices with fewer rows than this share of the most are followed by longer ones.
_SHORT_SHARE = 4

TIME_NS_MIN, TIME_NS_MAX = -(1 << 63), (1 << 63) - 1

Columns = tuple[tuple[str, ColumnType], ...]


class ExportFormat(StrEnum):
    """Formats of exports."""

    LINES = "lp"
    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


CONTENT_TYPES = {
    ExportFormat.LINES: "text/plain; charset=utf-8",
    ExportFormat.CSV: "text/csv",
    ExportFormat.JSON_LINES: "application/jsonl",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}

# How CSV and JSON lines call types, after the annotated CSV of the reference's older clients.
DATATYPES = {
    ColumnType.TAG: "tag",
    ColumnType.INT64: "long",
    ColumnType.UINT64: "unsignedLong",
    ColumnType.FLOAT64: "double",
    ColumnType.BOOL: "boolean",
    ColumnType.STRING: "string",
    ColumnType.TIME: "dateTime:number",
}


# In front of lines; whoever imports them need not guess.
PRECISION_LINE = b"# precision: ns\n"


class Questioner(Protocol):
    """Who answers SQL; blocking."""

    def run(self, database: str, sql: str, params: dict[str, object]) -> Any:
        """The whole answer as a ``pyarrow.Table``."""


class Export:
    """One table, or all of one database, as pieces of a file. For one thread at a time."""

    def __init__(
        self,
        questioner: Questioner,
        columns_of: Callable[[str, str], Columns],
        database: str,
        *,
        times: TimeRange,
        plain: bool = False,
        rows_max: int = SLICE_ROWS_MAX,
    ) -> None:
        """Export rows between `times`, both inclusive; `plain` leaves out what tells types."""
        self._questioner = questioner
        self._columns_of = columns_of
        self._database = database
        self._times = times
        self._plain = plain
        self._rows_max = rows_max

    def pieces(self, tables: list[str], export_format: ExportFormat) -> Iterator[bytes]:
        """The file in pieces; rows in order of time, of each table.

        Rows that are written meanwhile may be in it or not: each slice is as the table was when it
        was read.

        Raises:
            EngineError: A query failed, or there is no such table.
        """
        match export_format:
            case ExportFormat.LINES:
                known = [(table, self._known(table)) for table in tables]
                head = b"" if self._plain else PRECISION_LINE
                for table, columns in known:
                    for piece in self._lines(table, columns):
                        # With the first rows: until these are read, a failure has a status.
                        yield head + piece if head else piece
                        head = b""
                if head:
                    yield head
                return
            case ExportFormat.CSV:
                write = self._csv
            case ExportFormat.JSON_LINES:
                write = self._json_lines
            case ExportFormat.PARQUET:
                write = self._parquet
        if len(tables) != 1:
            raise RequestError(
                f"a file of {export_format} holds one table", hint="name it as 'table'"
            )
        yield from write(tables[0])

    def _lines(self, table: str, columns: Columns) -> Iterator[bytes]:
        for rows in self._slices(table, columns):
            # Asked behind the rows, it has all columns that they have.
            known = self._known(table)
            tags = [
                name for name, kind in known if kind is ColumnType.TAG and name in rows.column_names
            ]
            yield build_lines(rows, measurement=table, tags=tags)

    def _csv(self, table: str) -> Iterator[bytes]:
        columns = self._known(table)
        ordered = _time_first(columns)
        head = io.StringIO()
        if not self._plain:
            head.write(f"#constant measurement,{_quoted(table)}\n")
            head.write("#datatype " + ",".join(DATATYPES[kind] for _, kind in ordered) + "\n")
        head.write(",".join(_quoted(name) for name, _ in ordered) + "\n")
        yield head.getvalue().encode()
        # Texts are quoted always, so that an empty one is told from none.
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
        for rows in self._slices(table, columns):
            sink = io.BytesIO()
            pyarrow.csv.write_csv(_with_numbers(self._ordered(table, rows, ordered)), sink, options)
            yield sink.getvalue()

    def _json_lines(self, table: str) -> Iterator[bytes]:
        columns = self._known(table)
        ordered = _time_first(columns)
        if not self._plain:
            kinds = {name: DATATYPES[kind] for name, kind in ordered}
            about = {"#measurement": table, "#datatype": kinds}
            yield json.dumps(about, ensure_ascii=False).encode() + b"\n"
        for rows in self._slices(table, columns):
            numbered = _with_numbers(self._ordered(table, rows, ordered))
            yield from formats.pieces(numbered, formats.ResultFormat.JSON_LINES)

    def _parquet(self, table: str) -> Iterator[bytes]:
        columns = self._known(table)
        ordered = _time_first(columns)
        about = {
            "version": FORMAT_VERSION,
            "database": self._database,
            "table": table,
            "tags": [name for name, kind in columns if kind is ColumnType.TAG],
        }
        types = {**_FIELD_TYPES, ColumnType.TAG: pyarrow.dictionary(pyarrow.int32(), "utf8")}
        fields = [
            pyarrow.field(name, types[kind], nullable=kind is not ColumnType.TIME)
            for name, kind in ordered
        ]
        schema = pyarrow.schema(fields, metadata={FOOTER_KEY: json.dumps(about).encode()})
        sink = _Pieces()
        with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
            for rows in self._slices(table, columns):
                writer.write_table(self._ordered(table, rows, ordered).cast(schema))
                yield sink.take()
        yield sink.take()

    def _ordered(self, table: str, rows: Any, ordered: Columns) -> Any:
        """The columns of the beginning; fields that appeared meanwhile are left out."""
        names = [name for name, _ in ordered]
        late = set(rows.column_names) - set(names)
        for name, kind in self._known(table) if late else ():
            # Without it, two rows would become one.
            if name in late and kind is ColumnType.TAG and rows[name].null_count < len(rows):
                raise QueryError(
                    f"table '{table}' has got the tag '{name}' meanwhile", hint="export it again"
                )
        return rows.select(names)

    def _known(self, table: str) -> Columns:
        columns = self._columns_of(self._database, table)
        if not columns:
            raise TableNotFoundError(
                f"table '{table}' not found in database '{self._database}'",
                hint="headrace query 'SHOW TABLES' lists them",
            )
        return columns

    def _slices(self, table: str, columns: Columns) -> Iterator[Any]:
        """The rows in order of time, cut where their number asks for it."""
        name = '"' + table.replace('"', '""') + '"'
        counting = f"SELECT count(*) AS n, min(time) AS low, max(time) AS high FROM {name}"  # noqa: S608 - the name is quoted
        reading = f"SELECT * FROM {name}"  # noqa: S608
        most = max(1, min(self._rows_max, SLICE_CELLS_MAX // (len(columns) + 1)))
        total, low, high = self._count(counting, self._times)
        if not total:
            return
        width = max(1, (high - low) * most // max(total, most))
        while low <= high:
            end = min(low + width - 1, high)
            count, first, last = self._count(counting, (low, end))
            if count > most and first != last:
                # Rows of one time stay together, however many they are.
                width = max(1, width // 2)
                continue
            if count:
                yield self._ask(reading, (first, last), " ORDER BY time")
            if count * _SHORT_SHARE < most:
                width *= 2
            low = end + 1
            if not count and low <= high:
                _, low, _ = self._count(counting, (low, high))
                if low > high:
                    return

    def _count(self, sql: str, times: TimeRange) -> tuple[int, int, int]:
        """How many rows, their first and their last time; a first after the last without rows."""
        answer = self._ask(sql, times)
        count = answer["n"][0].as_py()
        if not count:
            return 0, 1 << 63, -1 << 63
        return count, answer["low"][0].value, answer["high"][0].value

    def _ask(self, sql: str, times: TimeRange, order: str = "") -> Any:
        low, high = times
        params: dict[str, object] = {"from": _text(low), "to": _text(high)}
        # The ends of what 64 bits hold mean infinity to some: for everything they are left out.
        conditions = ["time >= $from"] * (low > TIME_NS_MIN) + ["time <= $to"] * (
            high < TIME_NS_MAX
        )
        where = " WHERE " + " AND ".join(conditions) if conditions else ""
        return self._questioner.run(self._database, f"{sql}{where}{order}", params)


_FIELD_TYPES = {
    ColumnType.INT64: pyarrow.int64(),
    ColumnType.UINT64: pyarrow.uint64(),
    ColumnType.FLOAT64: pyarrow.float64(),
    ColumnType.BOOL: pyarrow.bool_(),
    ColumnType.STRING: pyarrow.utf8(),
    ColumnType.TIME: pyarrow.timestamp("ns"),
}


class _Pieces(io.RawIOBase):
    """A file that is taken away while it is written."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._taken = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, content: Any, /) -> int:
        """Keep it until it is taken."""
        self._content += content
        return len(content)

    def tell(self) -> int:
        """Bytes so far."""
        return self._taken + len(self._content)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self._content)
        self._taken += len(taken)
        self._content.clear()
        return taken


def _time_first(columns: Columns) -> Columns:
    tags = tuple(one for one in columns if one[1] is ColumnType.TAG)
    fields = tuple(one for one in columns if one[1] is not ColumnType.TAG)
    return (("time", ColumnType.TIME), *tags, *fields)


def _with_numbers(rows: Any) -> Any:
    """`rows` with times as nanoseconds."""
    index = rows.column_names.index("time")
    return rows.set_column(index, "time", rows["time"].cast(pyarrow.int64()))


def _quoted(text: str) -> str:
    if text.isidentifier() and text.isascii():
        return text
    return '"' + text.replace('"', '""') + '"'


def _text(time_ns: int) -> str:
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"
