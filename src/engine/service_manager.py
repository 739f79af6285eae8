# Owns what the server tells who supervises it (systemd, Type=notify): that it answers, that it
# stops. Without a supervisor nothing is told.
"""Notes to the service manager."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import MutableMapping

from engine.logs import keys

logger = logging.getLogger(__name__)

_VARIABLE = "NOTIFY_SOCKET"
_LOOK_AGAIN_S = 0.05


class ServiceManager:
    """The supervisor's socket, if there is one."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take the socket's name out of `environment`: plugins are not to speak for the server."""
        name = environment.pop(_VARIABLE, "")
        # An @ stands for the zero byte of a name that is in no directory.
        self._address = f"\0{name[1:]}" if name.startswith("@") else name

    def notify(self, state: str) -> None:
        """Tell `state`, such as ``READY=1``; a supervisor that does not listen is only logged."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(state.encode(), self._address)
        except OSError as error:
            logger.warning("service manager not told", extra=keys(state=state, error=error))

    async def notify_ready(self, host: str, port: int) -> None:
        """Tell that the server is ready once `host` and `port` take connections."""
        if not self._address:
            return
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        self.notify("READY=1")
