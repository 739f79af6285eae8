# Owns the bound on rows that are in no file yet: when they come faster than they move to files, or
# cannot move, clients wait instead of the machine's memory filling up.
"""The limit of live rows."""

from engine.errors import BackPressureError
from engine.store.live_bytes import LiveBytes

_RETRY_S = 2


class LiveLimit:
    """Refuses rows while too many are live."""

    def __init__(self, live: LiveBytes, bytes_max: int) -> None:
        self._live = live
        self._bytes_max = bytes_max

    def check(self) -> None:
        """Let rows pass, or not.

        Raises:
            BackPressureError: Too many are live.
        """
        if self._live.total > self._bytes_max:
            raise BackPressureError(
                f"{self._live.total} bytes of rows wait to be moved to files, the limit is "
                f"{self._bytes_max}",
                retry_after_s=_RETRY_S,
                hint="send again after the pause given; if it lasts, look in the log for "
                "'persisting failed', or raise --live-rows-max",
            )
