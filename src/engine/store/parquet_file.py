# Owns how a table's rows are laid out in a Parquet file (docs/formats/parquet.md): encodings, field
# ids, footer, name. It gets rows that are sorted and unique, and gives bytes; and back.
"""Parquet files."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow
import pyarrow.parquet

from engine.filesystem import FileSystem
from engine.ids import DatabaseId
from engine.store.time_ranges import TimeRange, common
from lp_core.enums import ColumnType

Columns = Sequence[tuple[str, ColumnType]]

FORMAT_VERSION = 1
# Of the key-value metadata in the footer.
FOOTER_KEY = b"headrace"
# Small enough that a row group holds few series, so that its statistics tell whether it is of use;
# and no smaller, since looking at them takes DuckDB some 30 us for each.
ROW_GROUP_ROWS = 131_072
TIME_FIELD_ID = 0
_ZSTD_LEVEL = 3
_NAME_CHARACTERS_MAX = 100
_FIELD_ID = b"PARQUET:field_id"
# A file ends with the length of its footer and these.
_MAGIC = b"PAR1"
_END_BYTES = 8

ARROW_TYPES: dict[ColumnType, Any] = {
    ColumnType.TAG: pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8()),
    ColumnType.INT64: pyarrow.int64(),
    ColumnType.UINT64: pyarrow.uint64(),
    ColumnType.FLOAT64: pyarrow.float64(),
    ColumnType.BOOL: pyarrow.bool_(),
    ColumnType.STRING: pyarrow.utf8(),
    ColumnType.TIME: pyarrow.timestamp("ns"),
}
_DELTA_TYPES = (ColumnType.INT64, ColumnType.UINT64, ColumnType.TIME)

_UNITS = (("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def field_ids(columns: Columns) -> dict[str, int]:
    """The Parquet field id of each column of a table, `columns` in order of first appearance."""
    return {"time": TIME_FIELD_ID} | {name: number for number, (name, _) in enumerate(columns, 1)}


def encode(rows: Any, columns: Columns, footer: dict[str, object]) -> Any:
    """Bytes of a Parquet file, as a ``pyarrow.Buffer``.

    Args:
        rows: A ``pyarrow.Table`` of some of `columns`, and ``time``; sorted, without duplicates.
        columns: All columns of the table, which give each its field id.
        footer: What the footer says besides version and tags, for other programs and for people.
    """
    types = {**dict(columns), "time": ColumnType.TIME}
    ids = field_ids(columns)
    fields = [
        pyarrow.field(
            name,
            ARROW_TYPES[types[name]],
            nullable=name != "time",
            metadata={_FIELD_ID: str(ids[name]).encode()},
        )
        for name in rows.column_names
    ]
    tags = [name for name, column_type in columns if column_type is ColumnType.TAG]
    about = {"version": FORMAT_VERSION, **footer, "tags": tags}
    schema = pyarrow.schema(fields, metadata={FOOTER_KEY: json.dumps(about).encode()})
    deltas = [name for name in rows.column_names if types[name] in _DELTA_TYPES]
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(
        pyarrow.table(rows.columns, schema=schema),
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        write_page_checksum=True,
        use_dictionary=[name for name in rows.column_names if name not in deltas],
        column_encoding=dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
    )
    return sink.getvalue()


def read(path: Path, columns: Sequence[str] | None = None) -> Any:
    """All rows of a Parquet file of ours, as a ``pyarrow.Table``.

    With `columns`, those alone, as far as the file has them.

    Raises:
        OSError, pyarrow.ArrowException: It cannot be read, or a checksum does not fit.
    """
    with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
        if columns is not None:
            names = frozenset(file.schema_arrow.names)
            columns = [name for name in columns if name in names]
        return file.read(columns, use_threads=False).replace_schema_metadata(None)


def fault_of(path: Path, size_bytes: int, filesystem: FileSystem) -> str:
    """What a quick look shows to be wrong with a file of `size_bytes`; empty for nothing."""
    try:
        found = path.stat().st_size
        if found != size_bytes:
            return f"it has {found} bytes, and should have {size_bytes}"
        if not filesystem.read_at(path, max(0, found - _END_BYTES), _END_BYTES).endswith(_MAGIC):
            return "it does not end as a Parquet file does"
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return ""


def misfit_of(path: Path, columns: Columns) -> str:
    """How the columns of a file differ from those of its table; empty when they do not."""
    ids = field_ids(columns)
    types = {**dict(columns), "time": ColumnType.TIME}
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (OSError, pyarrow.ArrowException) as error:
        return f"its footer cannot be read: {error}"
    for field in schema:
        number = int((field.metadata or {}).get(_FIELD_ID, b"-1"))
        if ids.get(field.name) != number or ARROW_TYPES[types[field.name]] != field.type:
            return f"its column {field.name} is none of the table's: the log has lost that one"
    return ""


def read_within(path: Path, names: Sequence[str] | None, times: TimeRange) -> Iterator[Any]:
    """The rows between these times of a Parquet file of ours, and others, as Arrow tables.

    Of `names`, the columns that the file has; None for all. A table holds one row group.

    Raises:
        OSError, pyarrow.ArrowException: It cannot be read, or a checksum does not fit.
    """
    with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
        wanted = None if names is None else frozenset(names)
        known = [name for name in file.schema_arrow.names if wanted is None or name in wanted]
        time = file.schema_arrow.get_field_index("time")
        for number in range(file.num_row_groups):
            found = _times_of(file.metadata.row_group(number).column(time).statistics)
            if found is None or common(found, times) is not None:
                rows = file.read_row_group(number, known, use_threads=False)
                yield rows.replace_schema_metadata(None)


def _times_of(statistics: Any) -> TimeRange | None:
    if statistics is None or not statistics.has_min_max:
        return None
    # As the file has them, for Python's times have no nanoseconds.
    return int(statistics.min_raw), int(statistics.max_raw)


def footer_of(path: Path) -> dict[str, object]:
    """What the footer of a Parquet file of ours says."""
    metadata = pyarrow.parquet.read_schema(path).metadata
    about: dict[str, object] = json.loads(metadata[FOOTER_KEY])
    return about


def file_path(
    database_id: DatabaseId, database: str, table: str, window: tuple[int, int], number: int
) -> str:
    """Path of a file below the Parquet directory; `window` is start and length in nanoseconds."""
    start_ns, length_ns = window
    return (
        f"{database_id}-{_name(database)}/{_name(table)}/"
        f"{_time_text(start_ns)}_{_length_text(length_ns)}_{number:010d}.parquet"
    )


def _name(text: str) -> str:
    """A file name for a name of any characters; two names never give one."""
    quoted = quote(text, safe="")
    # A name that stands for itself or its parent directory would leave the place it belongs to.
    quoted = quoted.replace(".", "%2E") if not quoted.strip(".") else quoted
    if len(quoted) <= _NAME_CHARACTERS_MAX:
        return quoted
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{quoted[: _NAME_CHARACTERS_MAX - 40]}%{digest}"


def _time_text(time_ns: int) -> str:
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    text = moment.strftime("%Y-%m-%dT%H-%M-%SZ")
    return text if not rest_ns else f"{text[:-1]}.{rest_ns:09d}Z"


def _length_text(length_ns: int) -> str:
    seconds, rest_ns = divmod(length_ns, 1_000_000_000)
    if rest_ns:
        return f"{length_ns}ns"
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"
