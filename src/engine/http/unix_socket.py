# Owns the socket file of the HTTP API: where it may be made, who may open it, and that it is gone
# after the stop. Called by listeners.py; granian listens on it.
"""The Unix socket of the HTTP API."""

import shutil
import socket
import tempfile
from pathlib import Path

import msgspec

from engine.errors import ConfigError

# The kernel's limit for the path of a socket, its end mark excluded.
PATH_BYTES_MAX = 107
_PROBE_TIMEOUT_S = 2.0


class UnixSocketConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the socket is, and the permissions of its file."""

    path: Path
    mode: int = 0o600


class UnixSocket:
    """A socket file that appears with its final permissions, or not at all.

    Granian makes the file with the permissions that the process happens to give, and others could
    open it before they are narrowed. So it is made in a directory of the server's user alone, and
    moved out of there once it has its permissions.
    """

    def __init__(self, config: UnixSocketConfig) -> None:
        """Make the directory.

        Raises:
            ConfigError: The path is too long, taken, or cannot be written.
        """
        path = config.path.absolute()
        self.path = path
        self._mode = config.mode
        _check_free(path)
        try:
            self._directory = Path(tempfile.mkdtemp(prefix=".", dir=path.parent))
        except OSError as error:
            raise ConfigError(
                f"--http-socket: cannot write to {path.parent}: {error.strerror}",
                hint="make the directory, or choose another path",
            ) from error
        # Where granian is to make the socket.
        self.made_path = self._directory / "s"
        self._identity: tuple[int, int] | None = None
        for shown in (path, self.made_path):
            if len(bytes(shown)) > PATH_BYTES_MAX:
                self._directory.rmdir()
                raise ConfigError(
                    f"--http-socket: {shown} is longer than the {PATH_BYTES_MAX} bytes that the "
                    "path of a socket may have",
                    hint="choose a shorter path",
                )

    def publish(self) -> None:
        """Give the socket, which is made now, its permissions and its place.

        Raises:
            OSError: That cannot be done.
        """
        self.made_path.chmod(self._mode)
        found = self.made_path.stat()
        self.made_path.replace(self.path)
        self._identity = (found.st_dev, found.st_ino)

    def remove(self) -> None:
        """Remove the file, unless another server has put its own there, and the directory."""
        shutil.rmtree(self._directory, ignore_errors=True)
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if (found.st_dev, found.st_ino) == self._identity:
            self.path.unlink()


def _check_free(path: Path) -> None:
    """Refuse what is not ours to replace: a file, or the socket of a server that lives."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_socket():
        raise ConfigError(
            f"--http-socket: {path} exists and is not a socket",
            hint="remove it, or choose another path",
        )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return  # left behind by a server that was killed
        except OSError as error:
            raise ConfigError(
                f"--http-socket: {path} cannot be looked at: {error.strerror or error}",
                hint="remove it, or choose another path",
            ) from error
    raise ConfigError(
        f"--http-socket: another process listens on {path}", hint="choose another path"
    )
