# Owns files of rows as export writes and import reads them: which format a name means, compression
# by the last ending, and that a file is written as a whole or not at all.
"""Files of rows."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from engine.errors import ConfigError

FORMATS = ("lp", "csv", "jsonl", "parquet")
COMPRESSIONS = {"gzip": ".gz", "zstd": ".zst"}
STANDARD = "-"
_ENDINGS = {"txt": "lp", "line": "lp", "json": "jsonl", "ndjson": "jsonl"}
_GZIP_LEVEL = 6
_BUFFER_BYTES = 1024 * 1024


def format_of(path: str) -> str | None:
    """The format that the name of a file tells, or None."""
    name = Path(path).name.lower()
    for ending in COMPRESSIONS.values():
        name = name.removesuffix(ending)
    ending = name.rpartition(".")[2]
    ending = _ENDINGS.get(ending, ending)
    return ending if ending in FORMATS else None


def open_to_read(path: str) -> BinaryIO:
    """The decompressed content of a file, or of standard input."""
    if path == STANDARD:
        return sys.stdin.buffer
    if path.lower().endswith(".gz"):
        import gzip  # late, for speed: the names of formats above are part of --help

        return cast("BinaryIO", gzip.open(path, "rb"))
    if path.lower().endswith(".zst"):
        # Imported late: no other compression needs it.
        import pyarrow

        # Of itself, it does not read line by line.
        stream = pyarrow.CompressedInputStream(pyarrow.OSFile(path, "rb"), "zstd")
        return io.BufferedReader(stream, _BUFFER_BYTES)
    return Path(path).open("rb")


@contextmanager
def writing(path: str, *, form: str) -> Iterator[BinaryIO]:
    """A file to write to, there under its name only once the block ends well.

    Raises:
        ConfigError: Parquet would go to a terminal.
    """
    if path == STANDARD:
        if form == "parquet" and sys.stdout.isatty():
            raise ConfigError("parquet is not for a terminal", hint="add --output FILE")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    aside = f"{path}.tmp"
    file = _open_to_write(aside, path)
    try:
        with file:
            yield file
        with open(aside, "rb") as written:  # noqa: PTH123 - a name, which may be no path of ours
            os.fsync(written.fileno())
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _open_to_write(aside: str, path: str) -> BinaryIO:
    if path.lower().endswith(".gz"):
        import gzip  # late, as above

        return cast("BinaryIO", gzip.open(aside, "wb", _GZIP_LEVEL))
    if path.lower().endswith(".zst"):
        import pyarrow

        return cast("BinaryIO", pyarrow.CompressedOutputStream(pyarrow.OSFile(aside, "wb"), "zstd"))
    return Path(aside).open("wb")
