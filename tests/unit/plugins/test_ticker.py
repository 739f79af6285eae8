"""The tick that wakes triggers."""

import asyncio
import logging

import pytest

from engine.plugins.ticker import tick


def test_an_error_is_logged_and_the_ticks_go_on(caplog):
    calls = []

    async def action():
        calls.append(len(calls))
        if len(calls) == 1:
            raise ValueError("first")
        if len(calls) == 3:
            raise asyncio.CancelledError

    with caplog.at_level(logging.ERROR), pytest.raises(asyncio.CancelledError):
        asyncio.run(tick(0.001, action))
    assert calls == [0, 1, 2]
    (record,) = caplog.records
    assert record.getMessage() == "tick failed"
    assert "ValueError: first" in caplog.text
