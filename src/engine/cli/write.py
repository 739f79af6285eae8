# Owns `headrace write`: reads line protocol in chunks of whole lines, sends them one after the
# other, and shows how far it is.
"""Write line protocol."""

import argparse
import gzip
import io
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from engine.cli.client import Client, ServerError
from engine.cli.import_batches import line_batches
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
    """`source` in pieces of about `size` bytes, each of whole lines; a longer line comes whole."""
    for batch in line_batches(source, size, place=0, line=0):
        yield batch.body


class Input(NamedTuple):
    """Something that lines come from: what to call it, its bytes if that is known, and itself."""

    name: str
    size: int | None
    open: Callable[[], BinaryIO]


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
    inputs = _inputs(namespace)
    sizes = [one.size for one in inputs]
    known = [size for size in sizes if size is not None]
    progress = Progress(sum(known) if len(known) == len(sizes) else None, quiet=namespace.quiet)
    refused: list[ServerError] = []
    with Client(namespace) as client:
        for one in inputs:
            for error in _refusals(one, namespace, client, progress):
                refused.append(error if len(inputs) == 1 else _named(error, one.name))
                if error.status != 400 or namespace.all_or_nothing:
                    progress.close()
                    raise _joined(refused)
    progress.close()
    if refused:
        raise _joined(refused)
    if not progress.done_bytes:
        raise ConfigError("no lines given", hint="the input is empty: nothing was written")
    if not namespace.quiet:
        print(f"{progress.done_bytes} bytes written", file=sys.stderr)


def _refusals(
    one: Input, namespace: argparse.Namespace, client: Client, progress: Progress
) -> Iterator[ServerError]:
    """Send all of an input; give the refusal of each chunk that is refused, or refused lines of."""
    parameters = {"db": namespace.database, "precision": namespace.precision}
    if namespace.all_or_nothing:
        parameters["accept_partial"] = "false"
    if namespace.no_sync:
        parameters["no_sync"] = "true"
    headers = {"Content-Encoding": "gzip"} if namespace.gzip else {}
    lines_before = 0
    with one.open() as source:
        for chunk in chunks(source, _chunk_bytes(namespace)):
            body = gzip.compress(chunk, _GZIP_LEVEL) if namespace.gzip else chunk
            try:
                client.request(
                    "POST", "/api/v3/write_lp", parameters=parameters, body=body, headers=headers
                )
            except ServerError as error:
                yield _moved(error, lines_before)
            progress.add(len(chunk))
            lines_before += chunk.count(b"\n")


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


def _named(error: ServerError, name: str) -> ServerError:
    """`error` with the name of the input that it is about."""
    lines = [{**line, "line_number": f"{line['line_number']} of {name}"} for line in error.lines]
    text = error.text if lines else f"{name}: {error.text}"
    return ServerError(text, status=error.status, hint=error.hint, lines=lines)


def _inputs(namespace: argparse.Namespace) -> list[Input]:
    """What is to be sent, in order.

    Raises:
        ConfigError: Nothing is.
        OSError: There is no such file.
    """
    if namespace.lines is not None and namespace.lines != "-":
        content = str(namespace.lines).encode("utf-8", "surrogateescape")
        return [Input("the argument", len(content), lambda: io.BytesIO(content))]
    names = ["-"] if namespace.lines is not None else namespace.file
    if names is not None:
        return [_file(name) for name in names]
    if sys.stdin.isatty():
        raise ConfigError(
            "no lines given", hint="pass them as argument, with --file, or on standard input"
        )
    return [_file("-")]


def _file(name: str) -> Input:
    if name == "-":
        return Input("standard input", None, lambda: sys.stdin.buffer)
    path = Path(name)
    size = path.stat().st_size
    return Input(name, size if path.is_file() else None, lambda: path.open("rb"))
