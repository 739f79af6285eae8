# Owns the repetition of a short action at an interval, whatever the action raises: without it one
# bad flush would leave every trigger asleep until the next start.
"""Repetition that outlives errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

logger = logging.getLogger(__name__)


async def tick(interval_s: float, action: Callable[[], Awaitable[None]]) -> NoReturn:
    """Call `action` each `interval_s` until cancelled; its errors are logged."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await action()
        except Exception:
            logger.exception("tick failed")
