# Owns the pieces that tests of the plugin host share: a fake server behind the plugins, and plugin
# files written on the fly. The workers themselves are real processes.

import asyncio
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.plugins.host import PluginConfig, PluginHost, Worker, WorkerTrigger

FakeQuery = Callable[[str, dict | None, str], Awaitable[bytes]]


class FakeServices:
    """Records what plugins ask of the server."""

    def __init__(self):
        self.logs = []
        self.writes = []
        self.hops = []
        self.write_error = None
        self.answer_query = None
        self.log_seen = asyncio.Event()
        self.state = {}

    async def query(self, trigger, sql, params, database):
        assert self.answer_query is not None
        return await self.answer_query(sql, params, database)

    async def write(self, trigger, database, lines, no_sync, hops):
        if self.write_error is not None:
            raise self.write_error
        self.writes.append((database, lines, no_sync))
        self.hops.append(hops)

    def state_get(self, trigger, key):
        return self.state.get(key, (None, 0))

    def state_items(self, trigger, prefix):
        items = [(key, value) for key, (value, _) in self.state.items() if key.startswith(prefix)]
        return sorted(items), max((position for _, position in self.state.values()), default=0)

    def log(self, trigger, level, text, time_ns):
        self.logs.append((level, text))
        self.log_seen.set()


class Bench:
    """A plugin directory, a host and a shorthand for triggers."""

    def __init__(self, directory: Path, services: FakeServices, host: PluginHost):
        self.directory = directory
        self.services = services
        self.host = host

    def plugin(self, source: str, name: str = "plugin.py") -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    def worker(self, path: Path, kind="schedule", name="trigger", **settings) -> Worker:
        return self.host.worker(
            WorkerTrigger(
                database="db",
                name=name,
                identity=f"db/{name}",
                plugin_path=str(path),
                kind=kind,
                **settings,
            )
        )


@asynccontextmanager
async def open_bench(directory: Path, **settings) -> AsyncIterator[Bench]:
    services = FakeServices()
    host = PluginHost(PluginConfig(plugin_dir=directory, **settings), services)
    await host.start()
    try:
        yield Bench(directory, services, host)
    finally:
        await host.stop(0)


@pytest.fixture
def with_bench(tmp_path):
    """Runs an async test body with a host; the body gets the bench."""

    def run(body, runner=asyncio.run, **settings):
        async def main():
            async with open_bench(tmp_path, **settings) as bench:
                return await body(bench)

        return runner(main())

    return run
