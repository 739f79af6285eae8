# Owns the manifest of a backup directory (docs/formats/backup.md): what belongs to the backup,
# where each file is and its hash. It is the backup: what it does not name does not count, and it is
# replaced as a whole, last.
"""The manifest of a backup."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from engine.errors import EngineError

VERSION = 1
FORMAT = "headrace-backup"
FILE_NAME = "manifest.json"
PIECE_BYTES = 1024 * 1024
_ELSEWHERE = "back up into another directory; the files in this one may still be of use"
# Kinds of files; those of plugins go into the plugin directory, all others below the node's.
KINDS = ("wal", "checkpoints", "parquet", "fetched-plugins", "secrets", "plugins")


class BackupDamagedError(EngineError):
    """A backup is not whole, or not of a version that is known."""

    code = "backup_damaged"


class Entry(NamedTuple):
    """One file: what it is on the server, and where the backup has it."""

    kind: str
    path: str
    stored: str
    size_bytes: int
    sha256: str
    is_fixed: bool


class Manifest(NamedTuple):
    """A backup.

    Attributes:
        about: Its time, position and server.
        files: All files.
    """

    about: dict[str, Any]
    files: list[Entry]

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(entry.size_bytes for entry in self.files)


def read(directory: Path) -> Manifest | None:
    """The backup in a directory, or None when there is none.

    Raises:
        BackupDamagedError: The manifest cannot be understood, or is not as it was written.
        OSError: It cannot be read.
    """
    path = directory / FILE_NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise BackupDamagedError(
                f"{path} is of version {content['version']}, and this program knows {VERSION}",
                hint="use the version that wrote it, or a newer one",
            )
        checksum = content.pop("checksum")
        manifest = Manifest(content["about"], [Entry(**entry) for entry in content["files"]])
    except (ValueError, KeyError, TypeError) as error:
        raise BackupDamagedError(f"{path} is damaged: {error!r}", hint=_ELSEWHERE) from error
    if checksum != _checksum(content):
        raise BackupDamagedError(f"{path} is damaged: its checksum does not fit", hint=_ELSEWHERE)
    for entry in manifest.files:
        for name in (entry.path, entry.stored):
            if not _is_below(name) or entry.kind not in KINDS:
                raise BackupDamagedError(f"{path} names a file outside: {entry.kind}/{name}")
    return manifest


def write(directory: Path, manifest: Manifest) -> None:
    """Replace the backup of a directory; its files are durable already."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "about": manifest.about,
        "files": [entry._asdict() for entry in manifest.files],
    }
    content["checksum"] = _checksum(content)
    aside = directory / f"{FILE_NAME}.tmp"
    with new_file(aside) as file:
        file.write(json.dumps(content, indent=1).encode())
        file.flush()
        os.fsync(file.fileno())
    aside.replace(directory / FILE_NAME)
    sync_directory(directory)


def damage(directory: Path, manifest: Manifest) -> Iterator[tuple[Entry, str]]:
    """What is wrong with each file that is not as it was written."""
    for entry in manifest.files:
        try:
            with (directory / entry.stored).open("rb") as file:
                size, digest = hashed(file)
        except OSError as error:
            yield entry, error.strerror or str(error)
            continue
        if size != entry.size_bytes:
            yield entry, f"has {size} bytes and should have {entry.size_bytes}"
        elif digest != entry.sha256:
            yield entry, "is not what was written: its hash does not fit"


def hashed(file: BinaryIO) -> tuple[int, str]:
    """Size and hash of what is left of a file."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


def new_file(path: Path, mode: int = 0o600) -> BinaryIO:
    """A file to write to, in place of what a crash has left there."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb")


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_below(name: str) -> bool:
    parts = name.split("/")
    return bool(name) and "\0" not in name and all(part not in ("", ".", "..") for part in parts)


def _checksum(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
