# Owns what persisting needs of the rest of the server, as Protocols; server.py wires them.
"""The server as the persist thread sees it."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from engine.catalog.model import Trigger
from engine.ids import Position
from engine.store.cuts import Cuts
from engine.store.live import LiveStore
from engine.store.manifest import FileEntry, FilesRecord

_Result = TypeVar("_Result")


class CheckpointDraft(msgspec.Struct, frozen=True):
    """A state that was looked at, to be encoded on another thread.

    Attributes:
        position: Of the log, after which the state was that.
        persisted: Rows up to this position are in files.
    """

    position: Position
    persisted: Position
    encode: Callable[[], bytes]


class Laggard(msgspec.Struct, frozen=True):
    """A trigger and the position that it has passed.

    Attributes:
        keeps: Whether the log is kept for it whatever its budget.
    """

    trigger: Trigger
    passed: Position
    keeps: bool = False


class StatePort(Protocol):
    """State of the server; everything is called where `Loop.call` runs it."""

    @property
    def store(self) -> LiveStore:
        """All tables."""

    @property
    def position(self) -> Position:
        """Of the last frame that has taken effect."""

    @property
    def persisted(self) -> Position:
        """Rows up to here are in files."""

    @property
    def next_file_number(self) -> int:
        """Number of the next file."""

    @property
    def unreferenced(self) -> list[FileEntry]:
        """Files that no table has any more; whoever removes them empties the list."""

    def draft(self) -> CheckpointDraft:
        """The state as a checkpoint keeps it."""

    def retention_of(self, database: str, table: str) -> int | None:
        """How long rows are kept, in nanoseconds; None for ever."""

    def cuts(self) -> Cuts:
        """Where WAL triggers begin: no file has rows from before and from behind."""

    def forget_log(self, through: Position) -> None:
        """The log does not have frames up to this position any more."""

    def log_readers(self) -> list[Laggard]:
        """How far the enabled triggers that read the log have come."""


class LogPort(Protocol):
    """The log; may be used from the persist thread, waits for the event loop."""

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` where the state changes, and give its result."""

    def append(self, record: FilesRecord) -> None:
        """Store a record durably; it has taken effect at the return.

        Raises:
            WalError, BackPressureError: The log does not take it.
        """

    def skip(self, laggard: Laggard, through: Position) -> None:
        """Let a trigger lose what it has not read up to a position, loudly.

        Raises:
            WalError, BackPressureError: The log does not take the record.
        """

    def written_bytes(self) -> int:
        """Bytes that the log has taken, those before the start included."""

    def is_stopping(self) -> bool:
        """Whether the server is about to end, and work is to be broken off."""
