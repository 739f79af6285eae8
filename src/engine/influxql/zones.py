# Owns time zones in InfluxQL: clocks of a zone, and the intervals that begin by them.
"""Time zones of tz()."""

import datetime
import zoneinfo
from collections.abc import Iterator

_NS_PER_SECOND = 1_000_000_000
# Intervals up to this width are told apart in the hour that comes twice a year.
NARROW_NS_MAX = 3_600 * _NS_PER_SECOND
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_EPOCH_OF_CLOCK = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - a clock without a zone
_NO_OFFSET = datetime.timedelta()


def is_zone(name: str) -> bool:
    """Whether there is a time zone of that name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


class Zone:
    """The clock of one time zone; all times are nanoseconds."""

    def __init__(self, name: str) -> None:
        """`name` is one that `is_zone`, or empty for UTC."""
        self.name = name
        self._zone = zoneinfo.ZoneInfo(name) if name else None

    def offset_ns(self, time_ns: int) -> int:
        """How far the clock is ahead of UTC at a time."""
        if self._zone is None:
            return 0
        moment = _EPOCH + datetime.timedelta(seconds=time_ns // _NS_PER_SECOND)
        offset = moment.astimezone(self._zone).utcoffset() or _NO_OFFSET
        return int(offset.total_seconds()) * _NS_PER_SECOND

    def instant_ns(self, clock_ns: int) -> int:
        """The time, the earlier of two, at which the clock shows `clock_ns`."""
        if self._zone is None:
            return clock_ns
        shown = _EPOCH_OF_CLOCK + datetime.timedelta(seconds=clock_ns // _NS_PER_SECOND)
        offset = shown.replace(tzinfo=self._zone).utcoffset() or _NO_OFFSET
        return clock_ns - int(offset.total_seconds()) * _NS_PER_SECOND

    def interval_start(self, time_ns: int, width_ns: int, origin_ns: int) -> int:
        """The beginning of the interval that `time_ns` is in."""
        offset = self.offset_ns(time_ns)
        clock_ns = time_ns + offset - origin_ns
        start = clock_ns // width_ns * width_ns + origin_ns
        return start - offset if width_ns <= NARROW_NS_MAX else self.instant_ns(start)

    def intervals(
        self, first_ns: int, last_ns: int, width_ns: int, origin_ns: int
    ) -> Iterator[int]:
        """The beginnings of the intervals from that of `first_ns` to that of `last_ns`."""
        start = self.interval_start(first_ns, width_ns, origin_ns)
        last = max(start, self.interval_start(last_ns, width_ns, origin_ns))
        while start <= last:
            yield start
            if width_ns <= NARROW_NS_MAX:
                start = self.interval_start(start + width_ns, width_ns, origin_ns)
            else:
                start = self.instant_ns(start + self.offset_ns(start) + width_ns)
