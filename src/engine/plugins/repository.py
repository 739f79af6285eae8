# Owns where a plugin's code comes from: the plugin directory, or (with the prefix gh:) a repository
# on the web, from which a file is fetched once, stored under the hash of its content, and pinned by
# that hash in its trigger. Nothing is fetched at a start or a run.
"""Sources of plugin code."""

import hashlib
import http.client
import re
import stat
import time
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple
from urllib.parse import quote, urlsplit

from engine.errors import PluginFetchError, PluginNotFoundError, PluginPathError
from engine.filesystem import FileSystem
from engine.plugins import loader
from engine.plugins.channel import EntryPointKind
from engine.plugins.source_check import check_plugin, check_sources
from engine.redaction import without_credentials

FETCH_PREFIX = "gh:"
DEFAULT_REPOSITORY_URL = (
    "https://raw.githubusercontent.com/influxdata/influxdb3_plugins/main/"  # the public collection
)
# For the whole of a file; also the longest silence within it.
FETCH_TIMEOUT_S = 30.0
FETCH_BYTES_MAX = 10 * 1024 * 1024
_FETCH_PIECE_BYTES = 64 * 1024
# Plugins whose place is remembered.
_FOUND_MAX = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


# Device, inode, and the last change of either its content or its names.
_Stamp = tuple[int, int, int]


class LocatedPlugin(NamedTuple):
    """Where a plugin's code lies; ``digest`` pins fetched code and is empty for local code."""

    path: Path
    digest: str = ""


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to web addresses, but not from an encrypted connection to an open one."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request to make instead."""
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or urlsplit(req.full_url).scheme == "https"):
            raise urllib.error.URLError(f"a redirect to {newurl} is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Opens addresses of the web alone; the usual one also takes file: and ftp:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        SafeRedirects(),
    ):
        opener.add_handler(handler)
    return opener


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
        # Stamps of fetched files whose content was found to be as pinned.
        self._verified: dict[Path, tuple[int, int, int]] = {}
        # Where plugins of the directory were found, and the stamp of the file.
        self._found: dict[str, tuple[_Stamp, Path]] = {}

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
            check_plugin(path, kind)
            return LocatedPlugin(path)
        content = self._fetch(filename)
        check_sources({filename: content}, filename, kind)
        digest = hashlib.sha256(content).hexdigest()
        path = self._fetched_path(filename, digest)
        if not self._is_intact(path, digest):
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
            return self._local(filename)
        path = self._fetched_path(filename, digest)
        if not path.is_file():
            raise PluginNotFoundError(
                f"the fetched code of {filename} is gone: {path}",
                hint="fetch it again with 'headrace update trigger'",
            )
        if not self._is_intact(path, digest):
            raise PluginNotFoundError(
                f"the fetched code of {filename} was changed: {path}",
                hint="fetch it again with 'headrace update trigger'",
            )
        return path

    def _local(self, filename: str) -> Path:
        """As `loader.resolve`, with one look at the disk while the same file is there.

        Runs ask this on the event loop, and to resolve a path takes a look at each part of it.
        """
        stamp = _stamp(self.plugin_dir / filename)
        found = self._found.get(filename)
        if found is not None and stamp == found[0]:
            return found[1]
        path = loader.resolve(self.plugin_dir, filename)
        if len(self._found) >= _FOUND_MAX:
            self._found.clear()
        if stamp is not None:
            self._found[filename] = stamp, path
        return path

    def _is_intact(self, path: Path, digest: str) -> bool:
        """Whether a fetched file is what its hash pins; read again only when it was touched."""
        try:
            status = path.stat()
            stamp = (status.st_ino, status.st_size, status.st_ctime_ns)
            if self._verified.get(path) != stamp:
                if hashlib.sha256(self._filesystem.read(path)).hexdigest() != digest:
                    return False
                self._verified[path] = stamp
        except FileNotFoundError:
            return False
        return True

    def _fetched_path(self, filename: str, digest: str) -> Path:
        if not _DIGEST.match(digest):
            raise PluginNotFoundError(f"{filename} was never fetched")
        return self._fetched_dir / digest / PurePosixPath(filename).name

    def _fetch(self, filename: str) -> bytes:
        url = self._url_of(filename)
        shown = without_credentials(url)
        deadline = time.monotonic() + FETCH_TIMEOUT_S
        request = urllib.request.Request(url, headers={"User-Agent": "headrace"})  # noqa: S310 - checked
        content = bytearray()
        try:
            with _opener().open(request, timeout=FETCH_TIMEOUT_S) as answer:
                while piece := answer.read1(_FETCH_PIECE_BYTES):
                    content += piece
                    if len(content) > FETCH_BYTES_MAX:
                        raise _not_fetched(f"more than {FETCH_BYTES_MAX} bytes at {shown}")
                    if time.monotonic() > deadline:
                        raise _not_fetched(f"it takes longer than {FETCH_TIMEOUT_S:g} s: {shown}")
                if answer.length:
                    raise _not_fetched(f"the answer breaks off: {shown}")
        except urllib.error.HTTPError as error:
            with error:
                raise _not_fetched(f"{error.code} {error.reason} {shown}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise _not_fetched(without_credentials(f"{error} {url}")) from error
        return bytes(content)

    def _url_of(self, filename: str) -> str:
        path = filename.removeprefix(FETCH_PREFIX).lstrip("/")
        parts = path.split("/")
        if not path.isprintable() or not path or any(part in ("", ".", "..") for part in parts):
            raise PluginPathError(
                f"'{filename}' does not name a file of the plugin repository",
                hint="write gh: and the path of the file in it, without '..'",
            )
        if urlsplit(self._url).scheme not in ("http", "https"):
            raise _not_fetched(f"{without_credentials(self._url)} is not an HTTP address")
        return f"{self._url.rstrip('/')}/{quote(path)}"


def _stamp(path: Path) -> _Stamp | None:
    """Which file `path` leads to, in which state.

    None for what is none: not there, or a package, of which another file counts as well.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    is_file = stat.S_ISREG(status.st_mode)
    return (status.st_dev, status.st_ino, status.st_ctime_ns) if is_file else None


def _not_fetched(reason: str) -> PluginFetchError:
    return PluginFetchError(
        f"error fetching plugin from repository: {reason}",
        hint="check the path behind gh:, and --plugin-repo of the server",
    )
