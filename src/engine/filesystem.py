# Every durable write goes through this module; a fault-injecting twin takes its place in crash
# tests. It knows files and directories, never frames or tables.
"""Durable file operations."""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from engine._kernel import begin_writeback
from engine.errors import ConfigError

# Linux takes at most this many buffers in one pwritev call (IOV_MAX).
BUFFERS_PER_WRITE_MAX = 1024
# What a disk reads, or fails to read, at once.
PAGE_BYTES = 4096
_READ_BYTES = 1024 * 1024


class FileSystem:
    """The machine's file system; methods raise OSError and never retry."""

    def create_preallocated(self, path: Path, size_bytes: int) -> int:
        """Create `path`, which must not exist, with `size_bytes` reserved; return a descriptor.

        Reserving the blocks first keeps later fdatasync calls free of file-size updates and lets a
        full disk show up here, before any record was accepted, instead of in the middle of a group.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        return descriptor

    def open_to_append(self, path: Path) -> int:
        """Open `path`, made if absent, for `append`; return a descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def append(self, descriptor: int, content: bytes) -> None:
        """Write all of `content` at the end of the file."""
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]

    def write_at(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        """Write all `buffers` one behind the other at `offset`; return how many bytes."""
        written = 0
        for start in range(0, len(buffers), BUFFERS_PER_WRITE_MAX):
            group = list(buffers[start : start + BUFFERS_PER_WRITE_MAX])
            expected = sum(buffer.nbytes for buffer in group)
            done = os.pwritev(descriptor, group, offset + written)
            while done < expected:
                # A short write is legal; go on where the kernel stopped.
                rest = memoryview(b"".join(group))[done:]
                done += os.pwrite(descriptor, rest, offset + written + done)
            written += expected
        return written

    def begin_sync(self, descriptor: int, offset: int, nbytes: int) -> None:
        """Let the disk begin with what `sync_data` will wait for; nothing is durable by that."""
        try:
            begin_writeback(descriptor, offset, nbytes)
        except OSError as error:
            # No file system need have it, and a sandbox may forbid it: then the disk begins with
            # `sync_data`. What that would say as well is not kept back.
            if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
                raise

    def sync_data(self, descriptor: int) -> None:
        """Make the file's data durable."""
        os.fdatasync(descriptor)

    def sync_file(self, descriptor: int) -> None:
        """Make the file's data and metadata durable."""
        os.fsync(descriptor)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Cut the file to `size_bytes` and make that durable."""
        os.ftruncate(descriptor, size_bytes)
        os.fsync(descriptor)

    def truncate_path(self, path: Path, size_bytes: int) -> None:
        """Cut a file that is not open to `size_bytes` and make that durable."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            self.truncate(descriptor, size_bytes)
        finally:
            self.close(descriptor)

    def read(self, path: Path) -> bytes:
        """The whole content of a file."""
        return path.read_bytes()

    def read_ahead(self, path: Path) -> None:
        """Read a file through, so that what cannot be read is an error here.

        In memory that is mapped to a file it would be a signal, and the end of the process.
        """
        piece = bytearray(_READ_BYTES)
        with path.open("rb", buffering=0) as file:
            while file.readinto(piece):
                pass

    def read_at(self, path: Path, offset: int, size_bytes: int) -> bytes:
        """`size_bytes` at `offset`; fewer at the end of the file."""
        with path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size_bytes, offset)

    def free_bytes(self, path: Path) -> int:
        """What may still be written to the file system of `path`."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def close(self, descriptor: int) -> None:
        """Close a descriptor returned by this class."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file a name that nothing has yet; durable once its directory is synced."""
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        source.rename(target)

    def replace(self, source: Path, target: Path) -> None:
        """Give a file a name that another one may have had, which it loses; durable as `rename`."""
        source.replace(target)

    def sync_directory(self, path: Path) -> None:
        """Make the directory's entries durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_directory(self, path: Path, *, mode: int = 0o750) -> None:
        """Create `path` and its parents, durably; `mode` is for `path` itself."""
        missing = [path, *path.parents]
        missing = [candidate for candidate in missing if not candidate.exists()]
        path.mkdir(parents=True, exist_ok=True, mode=mode)
        for created in missing:
            self.sync_directory(created.parent)

    def prepare_directory(self, path: Path, *, mode: int = 0o750) -> None:
        """Create `path` and its parents; durable once the directories they are in are synced."""
        path.mkdir(parents=True, exist_ok=True, mode=mode)

    def write_whole(self, path: Path, content: bytes, *, mode: int = 0o640) -> None:
        """Write `path` durably as a whole: aside, sync, rename, sync the directory."""
        aside = path.with_name(path.name + ".tmp")
        self.remove(aside)  # what a crash left may have another mode
        try:
            self.write_file(aside, content, mode=mode)
            self.sync_path(aside)
            self.replace(aside, path)
        except OSError:
            # On a full disk half a file would take what others need.
            with contextlib.suppress(OSError):
                self.remove(aside)
            raise
        self.sync_directory(path.parent)

    def write_file(self, path: Path, content: memoryview | bytes, *, mode: int = 0o640) -> None:
        """Write `path`; durable once it and its directory are synced.

        It replaces a file of that name: one that nothing refers to, left behind by a crash.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)

    def sync_path(self, path: Path) -> None:
        """Make the content of a written file durable, but not its name."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is fine."""
        path.unlink(missing_ok=True)

    # Below a directory that is held open, so that no symbolic link on the way is followed.

    def make_directory_in(self, directory: int, name: str) -> bool:
        """Create a directory, durably; whether it was missing."""
        try:
            os.mkdir(name, 0o750, dir_fd=directory)
        except FileExistsError:
            return False
        self.sync_file(directory)
        return True

    def create_in(self, directory: int, name: str, content: bytes) -> None:
        """Write a new file with all of its content; its name is durable once that is synced."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o640, dir_fd=directory)
        try:
            self.append(descriptor, content)
            self.sync_file(descriptor)
        finally:
            self.close(descriptor)

    def replace_in(self, directory: int, source: str, target: str) -> None:
        """Rename within the directory; durable once that is synced."""
        os.rename(source, target, src_dir_fd=directory, dst_dir_fd=directory)

    def remove_in(self, directory: int, name: str) -> None:
        """Remove a file, a link or a directory with all that is in it; one that is gone is fine."""
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            shutil.rmtree(name, dir_fd=directory)

    def lock(self, path: Path) -> int:
        """Take the exclusive lock file `path`; return the descriptor that holds it until closed.

        The file names the process that holds it; what counts is the lock, which ends with it.

        Raises:
            ConfigError: Another process holds it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ConfigError(
                f"data directory is in use by another server"
                f"{f' (process {holder})' if holder else ''}: {path.parent}",
                hint="stop that server, or choose another --data-dir or --node-id",
            ) from None
        # A full disk must not keep the server from starting for the sake of a message.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor
