"""Fixtures of the compatibility tests."""

from collections.abc import Iterator

import pytest

from tests.support.probe import Probe
from tests.support.server import ServerProcess


@pytest.fixture(scope="module")
def compat_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for all rules of a module, with the environment that operators give plugins."""
    process = ServerProcess(
        tmp_path_factory.mktemp("compat"),
        environment={"PLUGIN_DIR": "/operators/choice", "SOME_TOKEN": "t0ken", "TZ": "Asia/Tokyo"},
    ).start()
    try:
        yield process
        assert process.stop() == 0, process.log_text
    finally:
        process.kill()


@pytest.fixture
def probe(compat_server: ServerProcess, request: pytest.FixtureRequest) -> Probe:
    """The server, with a database of the test's own."""
    return Probe(compat_server, request.node.name)
