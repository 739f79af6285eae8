# Owns the way from files of tables (CSV, JSON lines, Parquet) to lines: what their columns are, by
# what stands in front of them, by flags, or by their values; and that a row that makes no line is
# refused by itself.
"""Rows of tables as lines."""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from engine.cli.import_batches import Batch, Refused, lines_of
from engine.cli.import_lines import (
    IGNORED,
    INTEGER,
    TIME_TYPES,
    TYPES,
    UNIT_NS,
    Columns,
    Row,
    line_of,
    of_json,
    of_text,
)
from engine.errors import ConfigError

# Rows that are looked at to find out what the columns hold.
INFERRED_ROWS = 1000
_PARQUET_ROWS = 10_000
_RECORD_BYTES_MAX = 16 * 1024 * 1024
# A record that ends in a cell whose quote is not closed; a quote within a cell opens nothing.
_OPEN = re.compile(rb'(?:(?:[^",]*+|"(?:[^"]|"")*+"),)*+"(?:[^"]|"")*+\Z')
_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",]*))(,|$)', re.DOTALL)


class Shape(NamedTuple):
    """What the flags say of the table.

    Attributes:
        table: Its name, if the file does not tell.
        tags: Columns that are tags.
        types: Types of columns.
        time: Column of the times.
        unit: Of times that are numbers.
    """

    table: str | None
    tags: tuple[str, ...]
    types: dict[str, str]
    time: str
    unit: str


def parse_cells(text: str) -> list[str | None]:
    """Cells of a CSV record; None is one that is empty and not quoted.

    Raises:
        ValueError: It is no record.
    """
    if '"' not in text:
        return [cell or None for cell in text.split(",")]
    cells: list[str | None] = []
    at = 0
    while True:
        found = _CELL.match(text, at)
        if found is None:
            raise ValueError("a quote stands where none may be")
        quoted, plain, end = found.groups()
        cells.append(plain or None if quoted is None else quoted.replace('""', '"'))
        at = found.end()
        if not end:
            return cells


def _records(file: BinaryIO, place: int, line: int, *, quotes: bool) -> Iterator[Row]:
    """Records from `place` on; with `quotes` a quoted line break does not end one."""
    number = line
    for begin in file:
        text, count = begin, 1
        if quotes and text.count(b'"') % 2 and _OPEN.match(text):
            parts, nbytes, is_open = [text], len(text), True
            while is_open and nbytes < _RECORD_BYTES_MAX and (more := file.readline()):
                parts.append(more)
                nbytes += len(more)
                count += 1
                is_open = more.count(b'"') % 2 == 0
            text = b"".join(parts)
        place += len(text)
        number += count
        yield Row(number - count + 1, place, number, text, None)


def csv_batches(
    file: BinaryIO, size: int, shape: Shape, *, place: int, line: int, known: Columns | None
) -> Iterator[tuple[Columns, Batch]]:
    """Batches of a CSV file with a header, from `place` on.

    `known` is what was found out about the columns before.

    Raises:
        ConfigError: The columns or the table are not known.
    """
    records = _records(file, place, line, quotes=True)
    if known is None:
        table, types = shape.table, None
        header: list[str | None] = []
        for record in records:
            text = _decoded(record.text)
            if text.startswith("#constant measurement,"):
                table = table or parse_cells(text.partition(",")[2])[0]
            elif text.startswith("#datatype"):
                types = [
                    cell or IGNORED
                    for cell in parse_cells(
                        text.removeprefix("#datatype ").removeprefix("#datatype,")
                    )
                ]
            elif text.strip() and not text.startswith("#"):
                header = parse_cells(text)
                break
        names = [name or "" for name in header]
        rows, records = _peek(_with_cells(records, names))
        known = _columns(shape, table, names, types, rows)
    else:
        records = _with_cells(records, known.names)
    yield from _batches(records, size, known, shape, of_text)


def json_batches(
    file: BinaryIO, size: int, shape: Shape, *, place: int, line: int, known: Columns | None
) -> Iterator[tuple[Columns, Batch]]:
    """Batches of a file with a JSON object on each line, from `place` on; as `csv_batches`.

    Raises:
        ConfigError: The columns or the table are not known.
    """
    records: Iterator[Row] = (
        _with_object(row) for row in _records(file, place, line, quotes=False)
    )
    if known is None:
        about: dict[str, Any] = {}
        first = next(records, None)
        if first is not None and isinstance(first.cells, dict) and "#measurement" in first.cells:
            about = first.cells
        elif first is not None:
            records = itertools.chain([first], records)
        rows, records = _peek(records)
        names = list(
            dict.fromkeys(name for row in rows if isinstance(row.cells, dict) for name in row.cells)
        )
        names = list(dict.fromkeys([*names, *shape.tags, *shape.types]))
        table, types = shape.table or about.get("#measurement"), None
        if about:
            names, types = list(about["#datatype"]), list(about["#datatype"].values())
        known = _columns(shape, table, names, types, rows)
    yield from _batches(records, size, known, shape, of_json)


def _peek(records: Iterator[Row]) -> tuple[list[Row], Iterator[Row]]:
    rows = list(itertools.islice(records, INFERRED_ROWS))
    return rows, itertools.chain(rows, records)


def _decoded(text: bytes) -> str:
    return text.decode("utf-8-sig", "surrogateescape").rstrip("\r\n")


def _with_cells(records: Iterable[Row], names: list[str]) -> Iterator[Row]:
    for row in records:
        if not row.text.strip() or row.text.startswith(b"# "):
            yield row
            continue
        try:
            text = row.text.decode().rstrip("\r\n")
            cells = parse_cells(text)
        except ValueError as error:
            yield row._replace(cells=f"it is no record of CSV: {error}")
            continue
        if len(cells) != len(names):
            yield row._replace(cells=f"it has {len(cells)} cells, and the header {len(names)}")
        else:
            yield row._replace(
                cells={
                    name: cell for name, cell in zip(names, cells, strict=True) if cell is not None
                }
            )


def _with_object(row: Row) -> Row:
    if not row.text.strip() or row.text.startswith(b"#"):
        return row
    try:
        value = json.loads(row.text)
    except ValueError as error:
        return row._replace(cells=f"it is no JSON: {error}")
    if not isinstance(value, dict):
        return row._replace(cells="it is no JSON object")
    return row._replace(cells={name: cell for name, cell in value.items() if cell is not None})


def _columns(
    shape: Shape,
    table: str | None,
    names: list[str],
    types: list[str] | None,
    rows: list[Row],
) -> Columns:
    if not names:
        raise ConfigError("the file has no rows and no header", hint="nothing was written")
    if table is None:
        raise ConfigError("the file does not tell its table", hint="add --table NAME")
    if types is not None and len(types) != len(names):
        raise ConfigError(f"#datatype has {len(types)} types for {len(names)} columns")
    unknown = [name for name in (*shape.tags, *shape.types) if name not in names]
    if unknown:
        raise ConfigError(f"there is no column '{unknown[0]}'", hint=f"there is {', '.join(names)}")
    found = []
    for index, name in enumerate(names):
        given = None if types is None else types[index]
        if name in shape.tags:
            given = "tag"
        elif name in shape.types:
            given = shape.types[name]
        elif name == shape.time and given not in TIME_TYPES:
            given = "dateTime"
        elif given is None:
            cells = (
                row.cells[name] for row in rows if isinstance(row.cells, dict) and name in row.cells
            )
            given = _inferred(list(cells))
        if given not in (*TYPES, *TIME_TYPES, IGNORED):
            raise ConfigError(f"column '{name}': there is no type '{given}'", hint=", ".join(TYPES))
        found.append(given)
    if not any(kind in TIME_TYPES for kind in found):
        raise ConfigError(
            f"there is no column '{shape.time}' with the times",
            hint="name it with --time; without times, rows could not be written twice safely",
        )
    return Columns(table, names, found)


def _inferred(cells: list[Any]) -> str:
    """The narrowest type that takes all the cells."""
    if cells and all(isinstance(cell, bool) or _is_truth(cell) for cell in cells):
        return "boolean"
    texts = [str(cell) for cell in cells if not isinstance(cell, bool)]
    if not cells or len(texts) < len(cells) or any(isinstance(cell, dict | list) for cell in cells):
        return "string"
    if all(INTEGER.fullmatch(text) for text in texts):
        numbers = [int(text) for text in texts]
        if max(numbers) < 1 << 63 and min(numbers) >= -(1 << 63):
            return "long"
        return "unsignedLong" if min(numbers) >= 0 and max(numbers) < 1 << 64 else "double"
    try:
        for text in texts:
            float(text)
    except ValueError:
        return "string"
    return "double"


def _is_truth(cell: object) -> bool:
    return isinstance(cell, str) and cell.lower() in ("true", "false")


def _batches(
    records: Iterable[Row],
    size: int,
    columns: Columns,
    shape: Shape,
    value_of: Callable[[Any, str], Any],
) -> Iterator[tuple[Columns, Batch]]:
    lines: list[bytes] = []
    origins: list[tuple[int, bytes]] = []
    refused: list[Refused] = []
    nbytes, last = 0, None
    for row in records:
        last = row
        if row.cells is not None:
            try:
                line = line_of(row, columns, UNIT_NS[shape.unit], value_of).encode()
            except (ValueError, TypeError) as error:
                refused.append(Refused(row.line, str(error), row.text))
            else:
                lines.append(line)
                origins.append((row.line, row.text))
                nbytes += len(line)
        if nbytes >= size or len(refused) >= INFERRED_ROWS:
            yield columns, Batch(b"".join(lines), row.end, row.lines, origins, tuple(refused))
            lines, origins, refused, nbytes, last = [], [], [], 0, None
    if last is not None:
        yield columns, Batch(b"".join(lines), last.end, last.lines, origins, tuple(refused))


def parquet_batches(path: str, size: int, shape: Shape, *, place: int) -> Iterator[Batch]:
    """Batches of a Parquet file, from row `place` on.

    Raises:
        ConfigError: The table or a column is not known.
    """
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        about = json.loads((schema.metadata or {}).get(b"headrace", b"{}"))
        table = shape.table or about.get("table")
        if table is None:
            raise ConfigError("the file does not tell its table", hint="add --table NAME")
        tags = [*shape.tags, *about.get("tags", ())]
        tags += [field.name for field in schema if pyarrow.types.is_dictionary(field.type)]
        for name in (*shape.tags, shape.time):
            if name not in schema.names:
                raise ConfigError(
                    f"there is no column '{name}'", hint=f"there is {', '.join(schema.names)}"
                )
        tags = [name for name in dict.fromkeys(tags) if name in schema.names]
        row = 0
        for rows in file.iter_batches(_PARQUET_ROWS):
            skipped = min(max(place - row, 0), rows.num_rows)
            row += skipped
            rows = rows.slice(skipped)
            if rows.num_rows:
                yield from _row_batches(rows, row, size, (table, tags, shape.time))
            row += rows.num_rows


def _row_batches(
    rows: Any, row: int, size: int, about: tuple[str, list[str], str]
) -> Iterator[Batch]:
    from lp_core import LpCoreError, build_lines

    table, tags, time = about
    try:
        body = build_lines(rows, measurement=table, tags=tags, time=time)
    except (ValueError, LpCoreError) as error:
        if rows.num_rows == 1:
            text = json.dumps(rows.to_pylist()[0], default=str, ensure_ascii=False) + "\n"
            refused = Refused(row + 1, str(error), text.encode())
            yield Batch(b"", row + 1, row + 1, [], (refused,))
            return
    else:
        if len(body) <= size or rows.num_rows == 1:
            end = row + rows.num_rows
            origins = [(row + at, text) for at, text in enumerate(lines_of(body), 1)]
            yield Batch(body, end, end, origins)
            return
    middle = rows.num_rows // 2
    yield from _row_batches(rows.slice(0, middle), row, size, about)
    yield from _row_batches(rows.slice(middle), row + middle, size, about)
