# Owns `headrace write`: reads line protocol in chunks that end with a line, sends them one after
# the other, and shows how far it is.
"""Write line protocol."""

import argparse
import gzip
import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from engine.cli.client import Client, ServerError
from engine.errors import ConfigError
from engine.setting_values import parse_bytes

# Well below the server's default limit for a body.
CHUNK_BYTES = 4 * 1024 * 1024
# What is read at once has its place in memory before it comes.
_CHUNK_BYTES_MAX = 1024 * 1024 * 1024
_BAR_WIDTH = 30
# As dense as needed on a network, at a fifth of the highest level's time.
_GZIP_LEVEL = 3


def chunks(source: BinaryIO, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """`source` in pieces of about `size` bytes, each ending with a line (but perhaps the last).

    A line that is longer than `size` comes whole. A quoted line break may be cut; such bodies are
    better sent in one request of their own.
    """
    rest = b""
    while read := source.read(size):
        block = rest + read
        if len(read) < size:  # the end: no line break needs to be looked for
            yield block
            return
        cut = block.rfind(b"\n") + 1
        if cut:
            yield block[:cut]
        rest = block[cut:]
    if rest:
        yield rest


class Progress:
    """A bar on standard error, if that is a terminal and there is more than one chunk to send."""

    def __init__(self, total_bytes: int | None, *, quiet: bool) -> None:
        self._total = total_bytes
        is_large = total_bytes is None or total_bytes > CHUNK_BYTES
        self._is_shown = is_large and not quiet and sys.stderr.isatty()
        self._started = time.monotonic()
        self.done_bytes = 0

    def add(self, nbytes: int) -> None:
        """Count `nbytes` more as sent."""
        self.done_bytes += nbytes
        if not self._is_shown:
            return
        rate = self.done_bytes / max(time.monotonic() - self._started, 1e-9) / 1e6
        if self._total:
            filled = _BAR_WIDTH * self.done_bytes // self._total
            share = 100 * self.done_bytes // self._total
            bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
            text = f"{bar} {share:3d} %  {rate:.1f} MB/s"
        else:
            text = f"{self.done_bytes / 1e6:.1f} MB  {rate:.1f} MB/s"
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the line."""
        if self._is_shown and self.done_bytes:
            print(file=sys.stderr)


def write(namespace: argparse.Namespace) -> None:
    """Send everything; go on after refused lines and report them at the end.

    Raises:
        EngineError: The server cannot be reached, or refused lines or chunks.
    """
    source, total = _source(namespace)
    parameters = {"db": namespace.database, "precision": namespace.precision}
    if namespace.all_or_nothing:
        parameters["accept_partial"] = "false"
    if namespace.no_sync:
        parameters["no_sync"] = "true"
    headers = {"Content-Encoding": "gzip"} if namespace.gzip else {}
    progress = Progress(total, quiet=namespace.quiet)
    refused: list[ServerError] = []
    lines_before = 0
    with source, Client(namespace) as client:
        for chunk in chunks(source, _chunk_bytes(namespace)):
            body = gzip.compress(chunk, _GZIP_LEVEL) if namespace.gzip else chunk
            try:
                client.request(
                    "POST", "/api/v3/write_lp", parameters=parameters, body=body, headers=headers
                )
            except ServerError as error:
                refused.append(_moved(error, lines_before))
                if error.status != 400 or namespace.all_or_nothing:
                    break
            progress.add(len(chunk))
            lines_before += chunk.count(b"\n")
    progress.close()
    if not progress.done_bytes and not refused:
        raise ConfigError("no lines given", hint="the input is empty: nothing was written")
    if refused:
        raise _joined(refused)
    if not namespace.quiet:
        print(f"{progress.done_bytes} bytes written", file=sys.stderr)


def _chunk_bytes(namespace: argparse.Namespace) -> int:
    if namespace.max_request_size is None:
        return CHUNK_BYTES
    try:
        return min(max(parse_bytes(namespace.max_request_size), 1), _CHUNK_BYTES_MAX)
    except ValueError as error:
        raise ConfigError(f"--max-request-size: {error}") from error


def _moved(error: ServerError, lines_before: int) -> ServerError:
    """`error` of a chunk with the line numbers of the whole input."""
    if not lines_before:
        return error
    lines = [{**line, "line_number": line["line_number"] + lines_before} for line in error.lines]
    text = error.text if lines else f"from line {lines_before + 1}: {error.text}"
    return ServerError(text, status=error.status, hint=error.hint, lines=lines)


def _joined(errors: list[ServerError]) -> ServerError:
    """One error that says what those of all chunks say."""
    if len(errors) == 1:
        return errors[0]
    texts = dict.fromkeys(error.text for error in errors)
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    return ServerError(
        "; ".join(texts),
        status=errors[-1].status,
        hint="; ".join(hints),
        lines=[line for error in errors for line in error.lines],
    )


def _source(namespace: argparse.Namespace) -> tuple[BinaryIO, int | None]:
    if namespace.lines is not None:
        content = str(namespace.lines).encode("utf-8", "surrogateescape")
        return io.BytesIO(content), len(content)
    if namespace.file is not None:
        path = Path(namespace.file)
        return path.open("rb"), path.stat().st_size
    if sys.stdin.isatty():
        raise ConfigError(
            "no lines given", hint="pass them as argument, with --file, or on standard input"
        )
    return sys.stdin.buffer, None
