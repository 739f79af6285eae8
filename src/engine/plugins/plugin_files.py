# Owns writing into the plugin directory on behalf of clients, and the list of what is there. Every
# step of a path is opened without following symbolic links, relative to the directory before it, so
# that no race between check and use leads outside.
"""Files of the plugin directory."""

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec

from engine.errors import PluginError, PluginPathError
from engine.plugins import loader

FILE_NAME_BYTES_MAX = 255
PACKAGE_FILES_MAX = 1000


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

    def __init__(self, plugin_dir: Path) -> None:
        self._root = plugin_dir

    def store(self, name: str, content: str) -> None:
        """Write one file, new or not, and the directories above it; all of it or nothing.

        Raises:
            PluginPathError: The name leads outside, or over a symbolic link, or is hidden.
            PluginLoadError: A .py file that does not compile.
        """
        parts = checked_parts(name)
        if name.endswith(".py"):
            loader.check_syntax(content.encode(), name)
        with self._opened(parts[:-1], name) as directory:
            _write_whole(directory, parts[-1], content, name)

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
        for relative, content in files.items():
            checked_parts(relative)
            if relative.endswith(".py"):
                loader.check_syntax(content.encode(), f"{name}/{relative}")
        with self._opened(parts[:-1], name) as directory:
            self._swap(directory, parts, files)

    def _swap(self, directory: int, parts: list[str], files: Mapping[str, str]) -> None:
        name, mark = parts[-1], uuid.uuid4().hex[:8]
        fresh, old = f".{name}.{mark}.new", f".{name}.{mark}.old"
        _refuse_link(directory, name)
        where = self._root.joinpath(*parts[:-1])
        try:
            os.mkdir(fresh, 0o750, dir_fd=directory)
            for relative, content in files.items():
                inner = checked_parts(relative)
                with self._opened([*parts[:-1], fresh, *inner[:-1]], relative) as target:
                    _write_whole(target, inner[-1], content, relative)
            with contextlib.suppress(FileNotFoundError):
                os.rename(name, old, src_dir_fd=directory, dst_dir_fd=directory)
            try:
                os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(old, name, src_dir_fd=directory, dst_dir_fd=directory)
                raise
            os.fsync(directory)
        finally:
            for leftover in (fresh, old):
                path = where / leftover
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    @contextmanager
    def _opened(self, parts: list[str], name: str) -> Iterator[int]:
        """A descriptor of the directory below the root, made if absent."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        descriptor = os.open(self._root, flags)
        try:
            for part in parts:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o750, dir_fd=descriptor)
                try:
                    inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR):
                        raise _escapes(name, f"'{part}' is a file or a symbolic link") from error
                    raise
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


def checked_parts(name: str) -> list[str]:
    """The steps of a relative path.

    Raises:
        PluginPathError: It is absolute, empty or hidden somewhere, or contains ``..``.
    """
    path = PurePosixPath(name)
    parts = list(path.parts)
    if not parts or path.is_absolute() or "\0" in name or "\\" in name or name.endswith("/"):
        raise _escapes(name, "write a path relative to the plugin directory")
    for part in parts:
        # Hidden names are the server's own: the virtual environment, files half written.
        if part.startswith("."):
            raise _escapes(name, "no part may start with a dot")
        if len(part.encode("utf-8", "surrogatepass")) > FILE_NAME_BYTES_MAX:
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


def _write_whole(directory: int, name: str, content: str, shown: str) -> None:
    _refuse_link(directory, name, shown)
    aside = f".{name[:64]}.{uuid.uuid4().hex[:8]}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(aside, flags, 0o640, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode())
            file.flush()
            os.fsync(file.fileno())
        os.rename(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=directory)
        raise
    os.fsync(directory)


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
