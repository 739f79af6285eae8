# Owns how tests of the plugin host look at processes.

import asyncio
from pathlib import Path


async def wait_until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.01)


async def wait_until_gone(pid):
    await wait_until(lambda: not Path(f"/proc/{pid}").exists())
