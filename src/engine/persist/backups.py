# Owns the backups that are under way: each holds its files until its client is done, or has not
# been heard of for a while. On the event loop; files are read in threads.
"""Backups under way."""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path

from engine.errors import (
    BackupFailedError,
    BackupLimitError,
    BackupNotFoundError,
    FileDamagedError,
    WalError,
)
from engine.ids import Position
from engine.logs import keys
from engine.persist.backup_files import (
    BackupDirectories,
    BackupFile,
    Collected,
    FileKind,
    collect,
)
from engine.persist.file_store import StoppedError
from engine.persist.ports import LogPort, StatePort
from engine.persist.thread import PersistThread
from engine.store.file_faults import FileFaults
from engine.store.manifest import FileEntry
from engine.store.readers import Readers

logger = logging.getLogger(__name__)

# A backup whose client was silent for so long is over: files that nobody else needs can go.
IDLE_S = 300.0
# More of them would hold too many files.
BACKUPS_MAX = 4
PIECE_BYTES = 1024 * 1024


class _Lease:
    def __init__(self, collected: Collected) -> None:
        self.collected = collected
        self.files = {(file.kind.value, file.path): file for file in collected.files}
        self.readers = 0
        self.is_over = False
        self.timer: asyncio.TimerHandle | None = None


class Backups:
    """Begins backups, gives their files, ends them."""

    def __init__(
        self,
        directories: BackupDirectories,
        persist: PersistThread,
        state: StatePort,
        log: LogPort,
        readers: Readers,
        faults: FileFaults,
    ) -> None:
        self._directories = directories
        self._persist = persist
        self._state = state
        self._log = log
        self._readers = readers
        self._faults = faults
        self._leases: dict[str, _Lease] = {}

    async def begin(self, *, with_secrets: bool) -> tuple[str, Position, list[BackupFile]]:
        """Take hold of the files of now; return how the backup is called, and what it holds.

        Raises:
            BackupLimitError: Too many backups are under way.
            BackupFailedError: The files cannot be read, or a checkpoint not be written.
            WalError: The server stops.
        """
        if len(self._leases) >= BACKUPS_MAX:
            raise BackupLimitError(
                f"{len(self._leases)} backups are under way, the limit is {BACKUPS_MAX}",
                hint=f"one whose client is gone ends after {IDLE_S:g} seconds",
            )
        work = self._persist.ask(
            lambda: collect(
                self._directories,
                self._persist.checkpointer,
                self._state,
                self._log,
                self._readers,
                self._faults,
                with_secrets=with_secrets,
            )
        )
        try:
            collected = await asyncio.wrap_future(work)
        except OSError as error:
            raise BackupFailedError(
                f"the files of the server cannot be held: {error}",
                hint="look at its disk and its log, then try again",
            ) from error
        except StoppedError as error:
            raise WalError("the server is shutting down and makes no backup any more") from error
        except asyncio.CancelledError:
            # The files that are, or will be, taken hold of nobody would let go.
            work.add_done_callback(_let_go)
            raise
        name = secrets.token_hex(16)
        lease = self._leases[name] = _Lease(collected)
        self._watch(name, lease)
        logger.info(
            "backup begun",
            extra=keys(
                position=collected.position,
                files=len(collected.files),
                bytes=sum(file.size_bytes for file in collected.files),
            ),
        )
        return name, collected.position, collected.files

    def read(self, name: str, kind: str, path: str) -> "BackupPieces":
        """The content of a file of a backup.

        Raises:
            BackupNotFoundError: There is no such backup, or no such file in it.
            OSError: The file cannot be read.
        """
        lease = self._leases.get(name)
        if lease is None:
            raise BackupNotFoundError(
                "there is no such backup under way",
                hint="it was ended, or its client was silent for too long: begin again",
            )
        file = lease.files.get((kind, path))
        if file is None:
            raise BackupNotFoundError(f"the backup has no file {kind}/{path}")
        held = lease.collected.descriptors.get((kind, path))
        if held is not None:
            descriptor = os.dup(held)
        else:
            directory = self._directories.of(file.kind)
            descriptor = _open_below(directory, file.path)
        lease.readers += 1
        self._watch(name, lease)
        size = file.size_bytes if file.is_fixed or held is not None else None
        parquet = lease.collected.parquet.get(path) if file.kind is FileKind.PARQUET else None
        return BackupPieces(
            descriptor,
            size,
            lambda: self._done(name, lease),
            on_fault=(lambda: None) if parquet is None else partial(self._look_at, parquet),
        )

    def end(self, name: str) -> None:
        """Let go of the files of a backup; one that is over already is fine."""
        lease = self._leases.pop(name, None)
        if lease is None:
            return
        lease.is_over = True
        if lease.timer is not None:
            lease.timer.cancel()
        if not lease.readers:
            lease.collected.hold.close()
        logger.info("backup ended", extra=keys(position=lease.collected.position))

    def close(self) -> None:
        """End all."""
        for name in list(self._leases):
            self.end(name)

    def _look_at(self, parquet: tuple[str, str, FileEntry]) -> None:
        """See whether the file is damaged, so that the next backup does without it."""
        with suppress(FileDamagedError):
            self._faults.search([parquet])

    def _done(self, name: str, lease: _Lease) -> None:
        lease.readers -= 1
        if not lease.is_over:
            self._watch(name, lease)
        elif not lease.readers:
            lease.collected.hold.close()

    def _watch(self, name: str, lease: _Lease) -> None:
        if lease.timer is not None:
            lease.timer.cancel()
        if not lease.readers:
            loop = asyncio.get_running_loop()
            lease.timer = loop.call_later(IDLE_S, self._give_up, name)

    def _give_up(self, name: str) -> None:
        logger.warning("backup given up: its client is silent", extra=keys(seconds=IDLE_S))
        self.end(name)


class BackupPieces:
    """A file in pieces; `aclose` lets go of it."""

    def __init__(
        self,
        descriptor: int,
        size_bytes: int | None,
        on_done: Callable[[], None],
        *,
        on_fault: Callable[[], None] = lambda: None,
    ) -> None:
        """`size_bytes` is how much of the file belongs to the backup; None for all of it.

        `on_fault` is called in a thread when the file cannot be read to that end.
        """
        self._descriptor = descriptor
        self._left = size_bytes
        self._on_done = on_done
        self._on_fault = on_fault

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces, in order.

        Raises:
            OSError: The file cannot be read, or is shorter than it was.
        """
        try:
            async for piece in self._pieces():
                yield piece
        except OSError:
            await asyncio.to_thread(self._on_fault)
            raise

    async def _pieces(self) -> AsyncIterator[bytes]:
        offset = 0
        while self._left is None or self._left > 0:
            wanted = PIECE_BYTES if self._left is None else min(PIECE_BYTES, self._left)
            piece = await asyncio.to_thread(os.pread, self._descriptor, wanted, offset)
            if not piece:
                if self._left:
                    raise OSError(f"the file ends {self._left} bytes too early")
                return
            offset += len(piece)
            if self._left is not None:
                self._left -= len(piece)
            yield piece

    async def aclose(self) -> None:
        """Nobody reads on."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._on_done()


def _let_go(work: Future[Collected]) -> None:
    if not work.cancelled() and work.exception() is None:
        work.result().hold.close()


def _open_below(directory: Path, path: str) -> int:
    """Open a file below a directory, through no link: what it was may have been replaced."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    *parents, name = path.split("/")
    place = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        for parent in parents:
            inner = os.open(parent, flags | os.O_DIRECTORY, dir_fd=place)
            os.close(place)
            place = inner
        return os.open(name, flags, dir_fd=place)
    finally:
        os.close(place)
