# Owns the past of the log as triggers want it: the position that a point in time stands for, and
# the notes of frames that the flush index has dropped already. What reads files runs in a thread.
"""The log before a trigger's time."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from engine.clock import Clock, time_of_number
from engine.errors import PluginError
from engine.ids import Position
from engine.paths import DataPaths
from engine.plugins.flush_index import FlushIndex, Note
from engine.wal.log import DurableFrame
from engine.wal.tail import frames_between

_NS_PER_US = 1_000
_TIME_NS_MIN = -(2**63)


class HistoryClosedError(PluginError):
    """The server stops, and does not read the log to the end."""

    code = "history_closed"


class TriggerStart(NamedTuple):
    """Where a trigger begins.

    Attributes:
        position: Behind it; None for the position of its creation.
        past_ns: Before it goes on from there, it is handed the rows of this time and later.
    """

    position: Position | None = None
    past_ns: int | None = None


class LogHistory:
    """Looks back."""

    def __init__(
        self,
        paths: DataPaths,
        clock: Clock,
        *,
        durable: Callable[[], Position],
        created: Callable[[str], Position],
    ) -> None:
        """`durable` is the last position there is, `created` where a database begins."""
        self._paths = paths
        self._clock = clock
        self._durable = durable
        self._created = created
        self._is_closed = False

    def close(self) -> None:
        """Break off what is being read: a stop does not wait for it."""
        self._is_closed = True

    def check_open(self) -> None:
        """Break off reading when the server stops.

        Raises:
            HistoryClosedError: It does.
        """
        if self._is_closed:
            raise HistoryClosedError("the server is shutting down")

    def begins_at(self) -> Position:
        """Frames up to this position are not in the log any more."""
        segments = self._paths.segments()
        return Position(int(segments[0].stem) - 1 if segments else self._durable())

    async def start_of(self, database: str, start_from: str) -> TriggerStart:
        """Where a trigger begins.

        Args:
            database: Whose frames are looked at.
            start_from: ``now``, ``beginning``, or a time as `parse_time` reads it, which stands for
                the first write at that time or later; where the log does not go back so far, for
                all rows of that time or later that are there.

        Raises:
            PluginError: It is none of these, or lies in the future.
        """
        word = start_from.strip().lower()
        if word == "now":
            return TriggerStart()
        start = self._created(database)
        has_all = self.begins_at() <= start
        if word == "beginning":
            return TriggerStart(position=start) if has_all else TriggerStart(past_ns=_TIME_NS_MIN)
        time_ns = parse_time(start_from)
        if time_ns > self._clock.now_ns():
            raise PluginError(
                f"a trigger cannot start from {start_from}, which lies in the future",
                hint="leave it out to start now",
            )
        loop = asyncio.get_running_loop()
        position = await loop.run_in_executor(None, self._find, database, start, time_ns, has_all)
        return TriggerStart(past_ns=time_ns) if position is None else TriggerStart(position)

    def _find(self, database: str, start: Position, time_ns: int, has_all: bool) -> Position | None:
        """Behind which position the writes of that time and later are; None: the log lacks some."""
        end = self._durable()
        goes_back = has_all
        try:
            for durable in self._frames(start, end):
                for section in durable.frame.sections:
                    if section.ingest_time_ns < time_ns:
                        # Whatever was written before this is not in question.
                        goes_back = True
                    elif not goes_back:
                        return None
                    elif section.database == database:
                        return Position(durable.position - 1)
        except FileNotFoundError:
            # A file of the log went meanwhile.
            return None
        return end if goes_back else None

    def _frames(self, start: Position, end: Position) -> Iterator[DurableFrame]:
        for durable in frames_between(self._paths, start, end):
            self.check_open()
            yield durable

    async def notes(
        self, database: str, start: Position, end: Position, note_rows_max: int
    ) -> list[Note]:
        """Notes of the frames at (`start`, `end`] that concern `database`."""

        def read() -> list[Note]:
            index = FlushIndex(note_rows_max)
            for durable in self._frames(start, end):
                index.add(durable)
            return index.notes_of(database)

        return await asyncio.get_running_loop().run_in_executor(None, read)


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch from RFC 3339 text (UTC unless it says otherwise), or a number.

    Raises:
        PluginError: It is neither.
    """
    word = text.strip()
    time_ns = time_of_number(word)
    if time_ns is not None:
        return time_ns
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise PluginError(
            f"'{text}' is not a time",
            hint="write now, beginning, 2025-01-31T12:00:00Z, or nanoseconds since 1970",
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return microseconds * _NS_PER_US
