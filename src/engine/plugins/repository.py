# Owns where a plugin's code comes from: the plugin directory, or (with the prefix gh:) a repository
# on the web, from which a file is fetched once, stored under the hash of its content, and pinned by
# that hash in its trigger. Nothing is fetched at a start or a run.
"""Sources of plugin code."""

import hashlib
import re
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from engine.errors import PluginFetchError, PluginNotFoundError, PluginPathError
from engine.filesystem import FileSystem
from engine.plugins import loader
from engine.plugins.channel import EntryPointKind

FETCH_PREFIX = "gh:"
DEFAULT_REPOSITORY_URL = (
    "https://raw.githubusercontent.com/influxdata/influxdb3_plugins/main/"  # the public collection
)
FETCH_TIMEOUT_S = 30.0
FETCH_BYTES_MAX = 10 * 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class LocatedPlugin(NamedTuple):
    """Where a plugin's code lies; ``digest`` pins fetched code and is empty for local code."""

    path: Path
    digest: str = ""


class PluginRepository:
    """Finds and fetches plugin code. Its methods block: not for the event loop."""

    def __init__(
        self,
        plugin_dir: Path,
        fetched_dir: Path,
        filesystem: FileSystem,
        url: str = DEFAULT_REPOSITORY_URL,
    ) -> None:
        self.plugin_dir = plugin_dir
        self._fetched_dir = fetched_dir
        self._filesystem = filesystem
        self._url = url

    @staticmethod
    def is_fetched(filename: str) -> bool:
        """Whether a plugin of that name comes from the web."""
        return filename.startswith(FETCH_PREFIX)

    def obtain(self, filename: str, kind: EntryPointKind) -> LocatedPlugin:
        """Find or fetch a plugin and check that it can serve a trigger of that kind.

        Raises:
            PluginPathError, PluginNotFoundError, PluginLoadError: As `loader.resolve` and `check`.
            PluginFetchError: The repository does not give it.
        """
        if not self.is_fetched(filename):
            path = loader.resolve(self.plugin_dir, filename)
            loader.check(path, kind)
            return LocatedPlugin(path)
        content = self._fetch(filename)
        loader.check_source(content, filename, kind)
        digest = hashlib.sha256(content).hexdigest()
        path = self._fetched_path(filename, digest)
        if not path.exists():
            self._filesystem.make_directory(path.parent)
            self._filesystem.write_whole(path, content)
        return LocatedPlugin(path, digest)

    def locate(self, filename: str, digest: str) -> Path:
        """The code of an existing trigger, without fetching anything.

        Raises:
            PluginPathError, PluginNotFoundError: As `loader.resolve`; also fetched code that is
                not on the disk any more.
        """
        if not self.is_fetched(filename):
            return loader.resolve(self.plugin_dir, filename)
        path = self._fetched_path(filename, digest)
        if not path.is_file():
            raise PluginNotFoundError(
                f"the fetched code of {filename} is gone: {path}",
                hint="fetch it again with 'headrace update trigger'",
            )
        return path

    def _fetched_path(self, filename: str, digest: str) -> Path:
        if not _DIGEST.match(digest):
            raise PluginNotFoundError(f"{filename} was never fetched")
        return self._fetched_dir / digest / PurePosixPath(filename).name

    def _fetch(self, filename: str) -> bytes:
        url = self._url_of(filename)
        request = urllib.request.Request(url, headers={"User-Agent": "headrace"})  # noqa: S310 - checked
        try:
            with urllib.request.urlopen(request, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310
                content: bytes = answer.read(FETCH_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise _not_fetched(f"{error.code} {error.reason} {url}") from None
        except (OSError, ValueError) as error:
            raise _not_fetched(f"{error} {url}") from error
        if len(content) > FETCH_BYTES_MAX:
            raise _not_fetched(f"more than {FETCH_BYTES_MAX} bytes at {url}")
        return content

    def _url_of(self, filename: str) -> str:
        path = filename.removeprefix(FETCH_PREFIX).lstrip("/")
        parts = path.split("/")
        if not path or any(part in ("", ".", "..") for part in parts) or "\0" in path:
            raise PluginPathError(
                f"'{filename}' does not name a file of the plugin repository",
                hint="write gh: and the path of the file in it, without '..'",
            )
        if urlsplit(self._url).scheme not in ("http", "https"):
            raise _not_fetched(f"{self._url} is not an HTTP address")
        return f"{self._url.rstrip('/')}/{quote(path)}"


def _not_fetched(reason: str) -> PluginFetchError:
    return PluginFetchError(
        f"error fetching plugin from repository: {reason}",
        hint="check the path behind gh:, and --plugin-repo of the server",
    )
