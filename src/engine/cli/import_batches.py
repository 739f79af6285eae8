# Owns what import sends: bodies of line protocol cut where a line ends, with the places they come
# from, so that a refused line is found again in its file.
"""Batches of lines."""

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

# A line that is longer, or whose string never ends, is cut at its first line break, and refused.
LINE_BYTES_MAX = 16 * 1024 * 1024

# One line: names and tags up to the first space, then fields, in which a quote opens a string only
# behind an equals sign. A line break ends it, but not in a string or behind a backslash.
_TEXT = (
    rb"[^\\ \n]*+(?:\\.[^\\ \n]*+)*+"
    rb"(?: [^=\\\n]*+(?:(?:\\.|=\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\"|=(?!\"))[^=\\\n]*+)*+)?"
)
_LINES = re.compile(rb"(?:(?:#[^\n]*+|(?!#)" + _TEXT + rb")\n)*+", re.DOTALL)
_LINE = re.compile(_TEXT + rb"\n", re.DOTALL)
_LAST_LINE = re.compile(_TEXT + rb"(?:\n|\Z)", re.DOTALL)
_COMMENT = re.compile(rb"#[^\n]*\n")


class Refused(NamedTuple):
    """A row that is not written."""

    line: int
    reason: str
    text: bytes


class Batch(NamedTuple):
    """What one request writes.

    Attributes:
        body: Line protocol.
        place: Where the file goes on behind it: bytes, or rows of Parquet.
        line: Lines (or rows) of the file in front of that place.
        origins: Of each line of the body, number and text in the file; None where the body is a
            piece of the file itself.
        refused: Rows that could not become lines.
    """

    body: bytes
    place: int
    line: int
    origins: list[tuple[int, bytes]] | None
    refused: tuple[Refused, ...] = ()


def lines_of(body: bytes) -> Iterator[bytes]:
    """The lines of `body`, each with its end; a string may go over several physical ones."""
    at = 0
    while at < len(body):
        end = _end(body, at) or len(body)
        yield body[at:end]
        at = end


def _end(body: bytes, at: int) -> int:
    """Where the line that starts at `at` ends; 0 if that cannot be told yet."""
    pattern = _COMMENT if body.startswith(b"#", at) else _LINE
    found = pattern.match(body, at)
    return 0 if found is None else found.end()


def _cut(block: bytes) -> int:
    """Where the last whole line of `block` ends."""
    if b'"' not in block and b"\\\n" not in block:
        return block.rfind(b"\n") + 1
    found = _LINES.match(block)
    assert found is not None  # it may be empty
    return found.end()


def line_batches(file: BinaryIO, size: int, *, place: int, line: int) -> Iterator[Batch]:
    """Batches of about `size` bytes of a file of line protocol, from `place` on."""
    rest, is_over = b"", False
    while rest or not is_over:
        if not is_over:
            block = file.read(size)
            is_over = not block
            rest += block
        cut = _cut(rest)
        if not cut and rest and (is_over or len(rest) > LINE_BYTES_MAX):
            # It stands alone in its request, so that nothing else is taken for a part of it.
            cut = len(rest) if _LAST_LINE.fullmatch(rest) else rest.find(b"\n") + 1 or len(rest)
        if cut:
            body, rest = rest[:cut], rest[cut:]
            place += cut
            line += body.count(b"\n")
            yield Batch(body, place, line, None)


def origin(batch: Batch, number: int) -> tuple[int, bytes]:
    """Number and text in the file of what begins on physical line `number` of the body."""
    at = 1
    for index, text in enumerate(lines_of(batch.body)):
        count = text.count(b"\n")
        if number < at + max(count, 1):
            if batch.origins is not None:
                return batch.origins[index]
            return batch.line - batch.body.count(b"\n") + at, text
        at += count
    return batch.line, b""


def without(batch: Batch, is_good: list[bool]) -> Batch:
    """The lines of `batch` that are good."""
    chosen = [index for index, good in enumerate(is_good) if good]
    lines = list(lines_of(batch.body))
    origins = batch.origins or _origins(batch)
    return batch._replace(
        body=b"".join(lines[index] for index in chosen),
        origins=[origins[index] for index in chosen],
        refused=(),
    )


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """`batch` in two."""
    lines = list(lines_of(batch.body))
    origins = batch.origins or _origins(batch)
    middle = len(lines) // 2
    first, second = lines[:middle], lines[middle:]
    return (
        batch._replace(body=b"".join(first), origins=origins[:middle]),
        batch._replace(body=b"".join(second), origins=origins[middle:], refused=()),
    )


def _origins(batch: Batch) -> list[tuple[int, bytes]]:
    number = batch.line - batch.body.count(b"\n") + 1
    origins = []
    for text in lines_of(batch.body):
        origins.append((number, text))
        number += text.count(b"\n")
    return origins
