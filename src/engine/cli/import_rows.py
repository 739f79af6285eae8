# Owns `headrace import`: one file after the other, one request after the other, and what is done
# about lines that the server refuses. Sending a batch twice does no harm, for a row replaces
# itself: so it goes on from the last batch that is known to be stored.
"""Write rows of files."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from engine.cli.client import Client, ServerError
from engine.cli.import_batches import (
    Batch,
    Refused,
    halves,
    line_batches,
    lines_of,
    origin,
    without,
)
from engine.cli.import_lines import TYPES, UNIT_NS, Columns
from engine.cli.import_tables import (
    Shape,
    csv_batches,
    json_batches,
    parquet_batches,
)
from engine.cli.rows_files import STANDARD, format_of, open_to_read
from engine.cli.write import Progress
from engine.errors import ConfigError, EngineError
from engine.setting_values import parse_bytes

STATE_VERSION = 1
# So many lines the server describes of one request; where it is as many, there may be more.
_LINE_ERRORS_MAX = 10_000
_REFUSED_SHOWN_MAX = 10
# A server that is busy, or starts, is asked again, with waits that double up to this.
_TRIES, _PAUSE_S_MAX = 12, 30.0
_BUSY = (429, 503)
_PRECISION_MARK = b"# precision: "


class RefusedRowsError(EngineError):
    """Rows were refused; all others are stored."""

    code = "refused_rows"


class _State:
    """How far the files are, on disk after each batch."""

    def __init__(self, path: Path | None, about: dict[str, Any]) -> None:
        self._path = path
        self.files: dict[str, dict[str, Any]] = {}
        self._about = {"version": STATE_VERSION, **about}
        self.rejects_bytes = 0
        if path is None or not path.exists():
            return
        try:
            content = json.loads(path.read_text())
            about_then = {key: content[key] for key in self._about}
            self.files, self.rejects_bytes = content["files"], content["rejects_bytes"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path} does not tell how far an import is: {error!r}",
                hint="remove it to begin from the beginning",
            ) from error
        if about_then != self._about:
            raise ConfigError(
                f"{path} is of another import: {about_then}",
                hint="name another --state, or remove it to begin from the beginning",
            )

    def of(self, path: str) -> dict[str, Any]:
        """How far a file is.

        Raises:
            ConfigError: It is another one than then.
        """
        stat = Path(path).stat() if path != STANDARD else None
        mark = [] if stat is None else [stat.st_size, stat.st_mtime_ns]
        known = self.files.setdefault(path, {"mark": mark, "place": 0, "line": 0, "done": False})
        if known["mark"] != mark:
            raise ConfigError(
                f"{path} has changed since its import was interrupted",
                hint=f"remove {self._path} to begin from the beginning",
            )
        return known

    def save(self, rejects_bytes: int) -> None:
        """Remember it all."""
        if self._path is None:
            return
        content = {**self._about, "files": self.files, "rejects_bytes": rejects_bytes}
        aside = self._path.with_name(self._path.name + ".tmp")
        # Not synced: after a power cut it goes on from an older place, or from the beginning.
        aside.write_text(json.dumps(content))
        aside.replace(self._path)

    def remove(self) -> None:
        """All is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class _Rejects:
    """The file of refused lines, made with the first one."""

    def __init__(self, path: Path, kept_bytes: int) -> None:
        self.path = path
        self.nbytes = kept_bytes
        self.count = 0
        self._file: BinaryIO | None = None
        if kept_bytes and path.exists():
            # What was written behind the last known place is about to come again.
            os.truncate(path, kept_bytes)

    def add(self, source: str, refused: Refused) -> None:
        """Keep a line, and show the first ones."""
        self.count += 1
        if self.count <= _REFUSED_SHOWN_MAX:
            print(f"{source}:{refused.line}: {refused.reason}", file=sys.stderr)
        if self._file is None:
            self._file = self.path.open("ab" if self.nbytes else "wb")
        end = b"" if refused.text.endswith(b"\n") else b"\n"
        reason = " ".join(refused.reason.split())
        self._file.write(f"# {source}:{refused.line}: {reason}\n".encode())
        self._file.write(refused.text + end)

    def flush(self) -> int:
        """Hand it to the system; return the size of the file."""
        if self._file is not None:
            self._file.flush()
            self.nbytes = self._file.tell()
        return self.nbytes

    def close(self) -> None:
        """Nothing more comes."""
        if self._file is not None:
            self._file.close()


class _Sender:
    """Sends batches, and asks again where the server is busy."""

    def __init__(self, client: Client, database: str, precision: str) -> None:
        self._client = client
        self._parameters = {"db": database, "precision": precision}

    def send(self, batch: Batch) -> list[Refused]:
        """Write a batch; return what was refused of it.

        Raises:
            ServerError: It could not be written for another reason.
        """
        if not batch.body.strip():
            return []
        try:
            self._post(batch.body)
        except ServerError as error:
            if error.status != 400:
                raise
            if error.lines:
                return self._refused(batch, error)
            is_text = [_is_utf8(line) for line in lines_of(batch.body)]
            if all(is_text):
                if all(line.startswith(b"#") or not line.strip() for line in lines_of(batch.body)):
                    return []
                raise
            return self._send_text(batch, is_text)
        return []

    def _send_text(self, batch: Batch, is_text: list[bool]) -> list[Refused]:
        refused = []
        number = 1
        for line, good in zip(lines_of(batch.body), is_text, strict=True):
            if not good:
                refused.append(Refused(*_placed(batch, number, "it is not UTF-8")))
            number += line.count(b"\n")
        return refused + self.send(without(batch, is_text))

    def _refused(self, batch: Batch, error: ServerError) -> list[Refused]:
        if len(error.lines) >= _LINE_ERRORS_MAX:
            return [row for half in halves(batch) for row in self.send(half)]
        return [
            Refused(*_placed(batch, line["line_number"], str(line["error_message"])))
            for line in error.lines
        ]

    def _post(self, body: bytes) -> None:
        pause_s = 1.0
        for attempt in range(_TRIES):
            try:
                self._client.request(
                    "POST", "/api/v3/write_lp", parameters=self._parameters, body=body
                )
            except ServerError as error:
                if error.status not in _BUSY or attempt == _TRIES - 1:
                    raise
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)
            else:
                return


def _placed(batch: Batch, number: int, reason: str) -> tuple[int, str, bytes]:
    line, text = origin(batch, number)
    return line, reason, text


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def import_rows(namespace: argparse.Namespace) -> None:
    """Write the rows of all files.

    Raises:
        EngineError: The server cannot be reached or refuses, or rows were refused.
    """
    files = namespace.files or [STANDARD]
    forms = {path: _form(namespace, path) for path in files}
    shape, size = _shape(namespace), _batch_bytes(namespace)
    state = _state(namespace, files)
    first = "import" if files[0] == STANDARD else files[0]
    rejects = _Rejects(Path(namespace.rejects or f"{first}.rejects"), state.rejects_bytes)
    with Client(namespace) as client, closing(rejects):
        for path in files:
            precision = _precision(namespace, path) if forms[path] == "lp" else "ns"
            sender = _Sender(client, namespace.database, precision)
            _import_file(namespace, path, (forms[path], shape, size), (state, rejects, sender))
    state.remove()
    if rejects.count:
        raise RefusedRowsError(
            f"{rejects.count} rows were refused; all others are stored",
            hint=f"{rejects.path} has them, with reasons: mend and import it",
        )


def _import_file(
    namespace: argparse.Namespace,
    path: str,
    what: tuple[str, Shape, int],
    helpers: tuple[_State, _Rejects, _Sender],
) -> None:
    state, rejects, sender = helpers
    known = state.of(path)
    if known["done"]:
        return
    total = None if path == STANDARD or path.endswith((".gz", ".zst")) else known["mark"][0]
    progress = Progress(None if what[0] == "parquet" else total, quiet=namespace.quiet)
    if known["place"] and not namespace.quiet:
        print(f"{path}: going on behind line {known['line']}", file=sys.stderr)
    progress.done_bytes = known["place"]
    with closing(progress):
        for columns, batch in _batches(path, what, known):
            for refused in sorted((*batch.refused, *sender.send(batch))):
                rejects.add(path, refused)
            moved = batch.place - known["place"]
            known.update(place=batch.place, line=batch.line)
            if columns is not None:
                known["columns"] = list(columns)
            state.save(rejects.flush())
            progress.add(len(batch.body) if what[0] == "parquet" else moved)
    known["done"] = True
    state.save(rejects.flush())
    if not namespace.quiet:
        print(f"{path}: {known['line']} lines read", file=sys.stderr)


def _batches(
    path: str, what: tuple[str, Shape, int], known: dict[str, Any]
) -> Iterator[tuple[Columns | None, Batch]]:
    form, shape, size = what
    place, line = known["place"], known["line"]
    if form == "parquet":
        yield from ((None, batch) for batch in parquet_batches(path, size, shape, place=place))
        return
    columns = Columns(*known["columns"]) if "columns" in known else None
    with open_to_read(path) as file:
        _skip(file, place, path)
        if form == "lp":
            for batch in line_batches(file, size, place=place, line=line):
                yield None, batch
        else:
            read = csv_batches if form == "csv" else json_batches
            yield from read(file, size, shape, place=place, line=line, known=columns)


def _skip(file: BinaryIO, place: int, path: str) -> None:
    if not path.endswith(".zst"):
        if place:
            file.seek(place)
        return
    while place:
        place -= len(file.read(min(place, 1 << 20)))


def _form(namespace: argparse.Namespace, path: str) -> str:
    form: str | None = namespace.format or (None if path == STANDARD else format_of(path))
    if form is None and path != STANDARD:
        raise ConfigError(f"{path}: its name does not tell its format", hint="add --format")
    if form == "parquet" and path == STANDARD:
        raise ConfigError("parquet cannot be read from standard input", hint="name a file")
    return form or "lp"


def _precision(namespace: argparse.Namespace, path: str) -> str:
    """Of a file of lines: what the flag says, or the first line as export writes it."""
    if namespace.precision is None and path != STANDARD:
        with open_to_read(path) as file:
            first = file.read(len(_PRECISION_MARK) + 2)
        unit = first.removeprefix(_PRECISION_MARK).decode("ascii", "replace").strip()
        if first.startswith(_PRECISION_MARK) and unit in UNIT_NS:
            return unit
    return namespace.precision or "auto"


def _shape(namespace: argparse.Namespace) -> Shape:
    types: dict[str, str] = {}
    for item in (namespace.types or "").split(",") if namespace.types else []:
        name, equals, kind = item.rpartition("=")
        if not equals or kind not in TYPES:
            raise ConfigError(
                f"--types: '{item}' must be COLUMN=TYPE", hint=f"types are {', '.join(TYPES)}"
            )
        types[name] = kind
    tags = tuple(name for name in (namespace.tags or "").split(",") if name)
    unit = namespace.precision if namespace.precision in UNIT_NS else "ns"
    return Shape(namespace.table, tags, types, namespace.time or "time", unit)


def _batch_bytes(namespace: argparse.Namespace) -> int:
    try:
        return max(parse_bytes(namespace.batch_bytes), 1)
    except ValueError as error:
        raise ConfigError(f"--batch-bytes: {error}") from error


def _state(namespace: argparse.Namespace, files: list[str]) -> _State:
    about = {
        "host": namespace.host,
        "database": namespace.database,
        "format": namespace.format,
        "table": namespace.table,
        "tags": namespace.tags,
        "types": namespace.types,
        "time": namespace.time,
        "precision": namespace.precision,
    }
    if STANDARD in files:
        # What was read from a pipe does not come again.
        return _State(None, about)
    return _State(Path(namespace.state or f"{files[0]}.import-state"), about)
