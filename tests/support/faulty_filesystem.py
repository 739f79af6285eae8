# Owns a file system that fails, and one that loses its power: a twin of engine/filesystem.py over a
# real directory, which remembers what was made durable. `crash` gives a new directory as a disk may
# be found afterwards; nothing else of the process that crashed is of use then.
"""A file system that fails."""

import errno
import os
import random
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.filesystem import PAGE_BYTES, FileSystem

# A disk writes at least this much at once: within it nothing is torn.
SECTOR_BYTES = 512
NEVER = 1 << 62


class PowerCut(BaseException):
    """The machine is off; no `except Exception` may go on after it."""


class _Node(msgspec.Struct):
    """A file or directory, whatever its name.

    Attributes:
        descriptor: Holds it, so that its number is given to nobody else.
        durable: Content of a file that a power cut leaves.
        entries: Names in a directory that a power cut leaves, with their nodes.
    """

    descriptor: int
    is_directory: bool
    durable: bytes = b""
    entries: dict[str, "_Node"] = {}


class FaultyFileSystem(FileSystem):
    """The file system below `root`; what is there at the beginning is durable.

    Attributes:
        steps: How many steps, which change or sync something, were taken.
        cut_at: The power goes before that step.
        cuts_at_sync: The power goes before the next sync of a log's frames.
        cuts_after_replace: The power goes in the step behind the next file that takes the place of
            another one.
        room_bytes: What can still be written before the disk is full.
        copies_on_write: What is written over takes room, too.
        failing_syncs: So many syncs fail next.
        unreadable: Pages (path, number) that cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps = 0
        self.cut_at = NEVER
        self.cuts_at_sync = False
        self.cuts_after_replace = False
        self.room_bytes = NEVER
        self.copies_on_write = False
        self.failing_syncs = 0
        self.unreadable: set[tuple[Path, int]] = set()
        self._nodes: dict[int, _Node] = {}
        # What the process that uses it has not closed.
        self._open: set[int] = set()
        self._adopt(root)

    def close_all(self) -> None:
        """Let go of all that is held."""
        for descriptor in [node.descriptor for node in self._nodes.values()] + [*self._open]:
            os.close(descriptor)
        self._nodes.clear()
        self._open.clear()

    # What changes or syncs something.

    def create_preallocated(self, path: Path, size_bytes: int) -> int:
        self._step()
        self._take(size_bytes, all_or_nothing=True)
        descriptor = super().create_preallocated(path, size_bytes)
        self._open.add(descriptor)
        return descriptor

    def open_to_append(self, path: Path) -> int:
        self._step()
        descriptor = super().open_to_append(path)
        self._open.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self._open.discard(descriptor)

    def append(self, descriptor: int, content: bytes) -> None:
        self._step()
        room = self._take(len(content))
        super().append(descriptor, content[:room])
        self._refuse_rest(room, len(content))

    def write_at(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        self._step()
        size = sum(buffer.nbytes for buffer in buffers)
        missing = max(0, offset + size - os.fstat(descriptor).st_size)
        if self.copies_on_write:
            missing = size
        room = size - missing + self._take(missing)
        if room < size:
            super().write_at(descriptor, [memoryview(b"".join(buffers))[:room]], offset)
        self._refuse_rest(room, size)
        return super().write_at(descriptor, buffers, offset)

    def write_file(self, path: Path, content: memoryview | bytes, *, mode: int = 0o640) -> None:
        self._step()
        size = memoryview(content).nbytes
        room = self._take(size)
        super().write_file(path, memoryview(content)[:room], mode=mode)
        self._refuse_rest(room, size)

    def sync_data(self, descriptor: int) -> None:
        if self.cuts_at_sync:
            self.cut_at = 0
        self._sync(descriptor)

    def sync_file(self, descriptor: int) -> None:
        self._sync(descriptor)

    def sync_path(self, path: Path) -> None:
        self._sync_named(path)

    def sync_directory(self, path: Path) -> None:
        self._sync_named(path)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        self._step()
        os.ftruncate(descriptor, size_bytes)
        self._sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)
        if self.cuts_after_replace:
            self.cut_at = self.steps

    def prepare_directory(self, path: Path, *, mode: int = 0o750) -> None:
        self._step()
        super().prepare_directory(path, mode=mode)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def make_directory_in(self, directory: int, name: str) -> bool:
        self._step()
        return super().make_directory_in(directory, name)

    def replace_in(self, directory: int, source: str, target: str) -> None:
        self._step()
        super().replace_in(directory, source, target)

    def remove_in(self, directory: int, name: str) -> None:
        self._step()
        super().remove_in(directory, name)

    # What reads.

    def read(self, path: Path) -> bytes:
        self._refuse_unreadable(path)
        return super().read(path)

    def read_ahead(self, path: Path) -> None:
        self._refuse_unreadable(path)
        super().read_ahead(path)

    def read_at(self, path: Path, offset: int, size_bytes: int) -> bytes:
        pages = range(offset // PAGE_BYTES, (offset + size_bytes - 1) // PAGE_BYTES + 1)
        if any((path, page) in self.unreadable for page in pages):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return super().read_at(path, offset, size_bytes)

    def free_bytes(self, path: Path) -> int:
        return min(self.room_bytes, super().free_bytes(path))

    # The end.

    def crash(self, target: Path, choice: random.Random) -> None:
        """Make `target` what may be left of `root`: what was synced, and any part of the rest."""
        self.cut_at = 0
        self._leave(self._node(self.root), self.root, target, choice)

    def _leave(self, node: _Node, path: Path, target: Path, choice: random.Random) -> None:
        target.mkdir()
        now = self._entries(path)
        then = node.entries
        for name, child in _survivors(then, now, choice).items():
            if child.is_directory:
                self._leave(child, _place(child), target / name, choice)
            else:
                current = _content(child.descriptor)
                (target / name).write_bytes(_left_of(child.durable, current, choice))

    # The model.

    def _step(self) -> None:
        if self.steps >= self.cut_at:
            raise PowerCut
        self.steps += 1

    def _take(self, size: int, *, all_or_nothing: bool = False) -> int:
        """Of `size` bytes, how many the disk has room for; they are taken."""
        room = min(size, self.room_bytes)
        if all_or_nothing:
            self._refuse_rest(room, size)
        self.room_bytes -= room
        return room

    def _refuse_rest(self, room: int, size: int) -> None:
        if room < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _refuse_unreadable(self, path: Path) -> None:
        if any(one == path for one, _ in self.unreadable):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    def _sync_named(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)

    def _sync(self, descriptor: int) -> None:
        self._step()
        if self.failing_syncs:
            self.failing_syncs -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        node = self._node(Path(f"/proc/self/fd/{descriptor}"))
        if node.is_directory:
            node.entries = self._entries(_place(node))
        else:
            node.durable = _content(descriptor)

    def _entries(self, path: Path) -> dict[str, _Node]:
        return {entry.name: self._node(Path(entry.path)) for entry in _list(path)}

    def _node(self, path: Path) -> _Node:
        status = path.stat()
        node = self._nodes.get(status.st_ino)
        if node is None:
            node = self._nodes[status.st_ino] = _Node(
                os.open(path, os.O_RDONLY), stat.S_ISDIR(status.st_mode)
            )
        return node

    def _adopt(self, path: Path) -> _Node:
        node = self._node(path)
        if node.is_directory:
            node.entries = {entry.name: self._adopt(Path(entry.path)) for entry in _list(path)}
        else:
            node.durable = path.read_bytes()
        return node


def _list(path: Path) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _place(node: _Node) -> Path:
    """Where an open directory is now."""
    return Path(f"/proc/self/fd/{node.descriptor}").readlink()


def _content(descriptor: int) -> bytes:
    reading = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    try:
        return os.pread(reading, os.fstat(reading).st_size, 0)
    finally:
        os.close(reading)


def _survivors(
    then: dict[str, _Node], now: dict[str, _Node], choice: random.Random
) -> dict[str, _Node]:
    """Of two states of a directory, one in between: each change was made durable, or was not.

    The names of one file belong together: a rename happens as a whole.
    """
    left = {name: node for name, node in then.items() if now.get(name) is node}
    changed = sorted({*then, *now} - {*left})
    while changed:
        names = {changed.pop()}
        while True:
            nodes = [side[name] for side in (then, now) for name in sorted(names) if name in side]
            more = {
                name
                for name in changed
                if any(side.get(name) is node for side in (then, now) for node in nodes)
            }
            if not more:
                break
            names |= more
            changed = [name for name in changed if name not in more]
        side = choice.choice((then, now))
        left |= {name: side[name] for name in sorted(names) if name in side}
    return left


def _left_of(durable: bytes, current: bytes, choice: random.Random) -> bytes:
    """What a power cut may leave of a file: each page as it was synced, or as it was last, or torn."""
    if durable == current:
        return current
    size = choice.choice((len(durable), len(current)))
    # Some power cuts lose nothing of it.
    share = choice.choice((0.0, 0.2, 0.5, 0.8, 1.0))
    content = bytearray(durable[:size].ljust(size, b"\0"))
    for start in range(0, size, PAGE_BYTES):
        page = current[start : min(start + PAGE_BYTES, size)]
        if choice.random() < share:
            content[start : start + len(page)] = page
        else:
            _tear(content, page, start, choice)
    return bytes(content)


def _tear(content: bytearray, page: bytes, start: int, choice: random.Random) -> None:
    """Write some of the sectors of a page that changed: the first ones, or any."""
    changed = [
        place
        for place in range(0, len(page), SECTOR_BYTES)
        if content[start + place : start + place + SECTOR_BYTES]
        != page[place : place + SECTOR_BYTES]
    ]
    written = changed[: choice.randrange(len(changed) + 1)]
    if choice.random() < 0.3:
        written = [place for place in changed if choice.random() < 0.5]
    for place in written:
        sector = page[place : place + SECTOR_BYTES]
        content[start + place : start + place + len(sector)] = sector
