"""Notes to a service manager."""

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from engine.service_manager import ServiceManager


def test_without_one_nothing_is_told() -> None:
    manager = ServiceManager({})
    manager.notify("READY=1")
    # It does not even look whether the server answers.
    asyncio.run(asyncio.wait_for(manager.notify_ready("127.0.0.1", 1), 30))


def test_the_variable_is_for_the_server_alone(tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "socket"), "HOME": "/"}
    ServiceManager(environment)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("is_abstract", [False, True])
def test_it_is_told_once_the_server_answers(is_abstract: bool, tmp_path: Path) -> None:
    name = f"@headrace-{tmp_path.name}" if is_abstract else str(tmp_path / "socket")

    async def serve_late(port: int, manager: ServiceManager) -> None:
        told = asyncio.create_task(manager.notify_ready("127.0.0.1", port))
        await asyncio.sleep(0)
        assert not told.done()
        server = await asyncio.start_server(
            lambda reader, writer: writer.close(), "127.0.0.1", port
        )
        await asyncio.wait_for(told, 30)
        server.close()
        await server.wait_closed()

    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor,
        socket.create_server(("127.0.0.1", 0)) as probe,
    ):
        supervisor.bind(name.replace("@", "\0") if is_abstract else name)
        supervisor.settimeout(30)
        port = probe.getsockname()[1]
        probe.close()
        asyncio.run(serve_late(port, ServiceManager({"NOTIFY_SOCKET": name})))
        assert supervisor.recv(100) == b"READY=1"


def test_one_that_is_gone_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    with caplog.at_level(logging.WARNING):
        manager.notify("STOPPING=1")
    assert caplog.messages == ["service manager not told"]
