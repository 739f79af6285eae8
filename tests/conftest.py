"""Fixtures for all tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.server import ServerProcess

# How long an example takes says nothing on a shared machine.
settings.register_profile(
    "headrace",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("headrace")


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Makes servers (not started) in the test's directory; whatever runs at the end is killed."""
    made: list[ServerProcess] = []

    def make(*flags: str) -> ServerProcess:
        made.append(ServerProcess(tmp_path, *flags))
        return made[-1]

    yield make
    for process in made:
        process.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A running server of the test's own; it must stop in order."""
    process = ServerProcess(tmp_path).start()
    try:
        yield process
        assert process.stop() == 0, process.log_text
    finally:
        process.kill()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A running server for all tests of a module; each test uses a database of its own."""
    process = ServerProcess(tmp_path_factory.mktemp("server")).start()
    try:
        yield process
    finally:
        process.kill()
