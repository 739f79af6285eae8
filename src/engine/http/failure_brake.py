# Owns the price of a wrong token: the answer comes the later, the more of them an address has sent.
# Requests with a valid token never meet it.
"""Slowing of failed attempts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from engine.clock import Clock
from engine.errors import TooManyFailuresError
from engine.logs import keys

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
DELAY_S_MAX = 2.0
# Without a wrong token for so long, an address begins anew.
FORGIVEN_AFTER_S = 60.0
ADDRESSES_MAX = 4096
# Answers held back at one time; further wrong tokens are refused at once.
WAITING_MAX = 256


class FailureBrake:
    """Holds back the answers to wrong tokens."""

    def __init__(
        self, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        # Per address, failures in a row and when the last one was; the oldest stands first.
        self._failures: dict[str, tuple[int, float]] = {}
        self._waiting = 0

    async def hold(self, address: str) -> None:
        """Count a wrong token from `address`; return when it has waited its time.

        Raises:
            TooManyFailuresError: Too many are waiting.
        """
        now = self._clock.monotonic_s()
        count, last = self._failures.pop(address, (0, now))
        if now - last > FORGIVEN_AFTER_S:
            count = 0
        if not count:
            logger.warning("wrong token", extra=keys(client=address))
        while len(self._failures) >= ADDRESSES_MAX:
            del self._failures[next(iter(self._failures))]
        self._failures[address] = (count + 1, now)
        if self._waiting >= WAITING_MAX:
            raise TooManyFailuresError(
                "too many requests with wrong tokens", hint="send a valid token, or wait a while"
            )
        self._waiting += 1
        try:
            await self._sleep(min(FIRST_DELAY_S * 2 ** min(count, 10), DELAY_S_MAX))
        finally:
            self._waiting -= 1
