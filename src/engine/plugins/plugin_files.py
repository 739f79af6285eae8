# Owns writing into the plugin directory on behalf of clients, and the list of what is there. Every
# step of a path is opened without following symbolic links, relative to the directory before it, so
# that no race between check and use leads outside.
"""Files of the plugin directory."""

import contextlib
import errno
import os
import re
import stat
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec

from engine.errors import PluginError, PluginPathError
from engine.filesystem import FileSystem
from engine.paths import PLUGIN_PATH_PARTS_MAX
from engine.plugins import loader
from engine.plugins.source_check import check_sources

# What is added to a name while it is written still fits into the 255 bytes of a file system.
FILE_NAME_BYTES_MAX = 200
# With the plugin directory before it, it still fits into the 4096 bytes of the system.
PATH_BYTES_MAX = 1024
PACKAGE_FILES_MAX = 1000
# Where a file or package is written before it takes its place, and where the old one goes.
_LEFT_OVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<kind>new|old)")
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class PluginFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that belongs to a trigger's plugin."""

    trigger_name: str
    database: str
    file_name: str
    file_path: str
    size_bytes: int
    modified_ms: int


class PluginFiles:
    """Stores uploaded plugins. Its methods block: not for the event loop."""

    def __init__(self, plugin_dir: Path, filesystem: FileSystem) -> None:
        self._root = plugin_dir
        self._filesystem = filesystem

    def store(self, name: str, content: str) -> None:
        """Write one file, new or not, and the directories above it; all of it or nothing.

        Raises:
            PluginPathError: The name leads outside, or over a symbolic link, or is hidden.
            PluginLoadError: A .py file that does not compile.
        """
        parts = checked_parts(name)
        if name.endswith(".py"):
            check_sources({name: content.encode()})
        with self._opened(parts[:-1], name) as directory:
            self._write_whole(directory, parts[-1], content, name)

    def replace_package(self, name: str, files: Mapping[str, str]) -> None:
        """Put a package of exactly these files where `name` is, or where nothing is yet.

        Raises:
            PluginPathError: A name leads outside, or over a symbolic link, or is hidden.
            PluginLoadError: A .py file does not compile.
            PluginError: No files, too many, or no ``__init__.py`` among them.
        """
        parts = checked_parts(name)
        if "__init__.py" not in files:
            raise PluginError(
                f"Multi-file plugin directory must contain __init__.py: {name}",
                hint="add an __init__.py that defines or imports the entry point",
            )
        if len(files) > PACKAGE_FILES_MAX:
            raise PluginError(f"a package may have {PACKAGE_FILES_MAX} files, not {len(files)}")
        for relative in files:
            checked_parts(relative)
        check_sources(
            {
                f"{name}/{relative}": content.encode()
                for relative, content in files.items()
                if relative.endswith(".py")
            }
        )
        with self._opened(parts[:-1], name) as directory:
            self._swap(directory, parts[-1], files)

    def recover(self) -> None:
        """Undo the replacement of a package, and remove the files, that a crash cut short."""
        if not self._root.is_dir():
            return
        for place, directories, files, descriptor in os.fwalk(self._root):
            if len(Path(place).relative_to(self._root).parts) >= PLUGIN_PATH_PARTS_MAX:
                directories.clear()
            for left in [name for name in (*directories, *files) if _LEFT_OVER.fullmatch(name)]:
                match = _LEFT_OVER.fullmatch(left)
                assert match is not None
                if match["kind"] == "old" and not _exists(descriptor, match["name"]):
                    self._filesystem.replace_in(descriptor, left, match["name"])
                else:
                    self._filesystem.remove_in(descriptor, left)
            # Hidden directories are not the plugins'; an environment has many files.
            directories[:] = [name for name in directories if not name.startswith(".")]

    def _swap(self, directory: int, name: str, files: Mapping[str, str]) -> None:
        mark = uuid.uuid4().hex[:8]
        fresh, old = f".{name}.{mark}.new", f".{name}.{mark}.old"
        _refuse_other_than_package(directory, name)
        try:
            self._filesystem.make_directory_in(directory, fresh)
            for relative, content in files.items():
                inner = checked_parts(relative)
                with self._descended(directory, [fresh, *inner[:-1]], relative) as target:
                    self._write_whole(target, inner[-1], content, relative)
            with contextlib.suppress(FileNotFoundError):
                self._filesystem.replace_in(directory, name, old)
            try:
                self._filesystem.replace_in(directory, fresh, name)
            except OSError:
                with contextlib.suppress(FileNotFoundError):
                    self._filesystem.replace_in(directory, old, name)
                raise
            self._filesystem.sync_file(directory)
        finally:
            for leftover in (fresh, old):
                self._filesystem.remove_in(directory, leftover)

    @contextmanager
    def _opened(self, parts: list[str], name: str) -> Iterator[int]:
        """A descriptor of the directory below the root, made if absent."""
        root = os.open(self._root, _DIRECTORY_FLAGS)
        try:
            with self._descended(root, parts, name) as descriptor:
                yield descriptor
        finally:
            os.close(root)

    @contextmanager
    def _descended(self, start: int, parts: list[str], name: str) -> Iterator[int]:
        """A descriptor of the directory below `start`, made if absent."""
        descriptor = os.dup(start)
        try:
            for part in parts:
                self._filesystem.make_directory_in(descriptor, part)
                try:
                    inner = os.open(part, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=descriptor)
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR):
                        raise _escapes(name, f"'{part}' is a file or a symbolic link") from error
                    raise
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _write_whole(self, directory: int, name: str, content: str, shown: str) -> None:
        _refuse_link(directory, name, shown)
        aside = f".{name}.{uuid.uuid4().hex[:8]}.new"
        try:
            self._filesystem.create_in(directory, aside, content.encode())
            self._filesystem.replace_in(directory, aside, name)
        except BaseException:
            self._filesystem.remove_in(directory, aside)
            raise
        self._filesystem.sync_file(directory)


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _refuse_other_than_package(directory: int, name: str) -> None:
    """The place may be empty; a link, a file, or a directory of other plugins stays."""
    if not _exists(directory, name):
        return
    try:
        inner = os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _escapes(name, "what is there is not a package") from error
        raise
    try:
        if not _exists(inner, "__init__.py"):
            raise _escapes(name, "what is there is not a package")
    finally:
        os.close(inner)


def checked_parts(name: str) -> list[str]:
    """The steps of a relative path.

    Raises:
        PluginPathError: It is absolute, empty or hidden somewhere, or contains ``..``.
    """
    path = PurePosixPath(name)
    parts = list(path.parts)
    is_odd = not name.isprintable() or "\\" in name or name.endswith("/")
    if not parts or path.is_absolute() or is_odd:
        raise _escapes(name, "write a path relative to the plugin directory")
    if len(parts) > PLUGIN_PATH_PARTS_MAX or len(name.encode()) > PATH_BYTES_MAX:
        raise _escapes(
            name[:PATH_BYTES_MAX],
            f"a path may have {PLUGIN_PATH_PARTS_MAX} parts and {PATH_BYTES_MAX} bytes",
        )
    for part in parts:
        # Hidden names are the server's own: the virtual environment, files half written.
        if part.startswith("."):
            raise _escapes(name, "no part may start with a dot")
        if len(part.encode()) > FILE_NAME_BYTES_MAX:
            raise _escapes(name, f"a part may have {FILE_NAME_BYTES_MAX} bytes")
    return parts


def files_of(trigger_name: str, database: str, path: Path) -> list[PluginFile]:
    """The files of a trigger's plugin as they are on the disk; none where they are gone."""
    found: list[PluginFile] = []
    for file in loader.package_files(path) if path.is_dir() else [path]:
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        found.append(
            PluginFile(
                trigger_name=trigger_name,
                database=database,
                file_name=name,
                file_path=str(file),
                size_bytes=status.st_size,
                modified_ms=status.st_mtime_ns // 1_000_000,
            )
        )
    return found


def _refuse_link(directory: int, name: str, shown: str = "") -> None:
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise _escapes(shown or name, f"'{name}' is a symbolic link")
    if shown and stat.S_ISDIR(mode):
        raise _escapes(shown, f"'{name}' is a directory")


def _escapes(name: str, reason: str) -> PluginPathError:
    return PluginPathError(
        f"Path traversal detected: plugin filename '{name}' attempts to access files outside the "
        f"plugin directory, or is not a plain name: {reason}",
        hint="use a name relative to the plugin directory, without '..', links and hidden names",
    )
