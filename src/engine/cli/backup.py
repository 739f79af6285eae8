# Owns `headrace backup` and `headrace restore`: which files are copied, in which order they become
# durable, and that a backup that is broken off leaves the one before as it was.
"""Back up a server, and make a server of a backup."""

import argparse
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.cli import backup_manifest
from engine.cli.backup_manifest import Entry, Manifest, hashed, new_file, sync_directory
from engine.cli.client import Client, ServerError
from engine.cli.write import Progress
from engine.errors import BackupFailedError, ConfigError, EngineError

_ROUTE = "/api/v3/backup"
_LOCK, _SOURCE, _INCOMING = "lock", "cluster-uuid", "incoming"
_OBJECTS, _PARQUET = "objects", "parquet"
# Plugins and secrets may be removed while a backup is made.
_MAY_BE_GONE = ("plugins", "secrets", "fetched-plugins")


class BackupIncompleteError(EngineError):
    """A backup has all but what was damaged."""

    code = "backup_incomplete"


def backup(namespace: argparse.Namespace) -> None:
    """Copy what the directory does not have, or look whether all is as it was written.

    Raises:
        EngineError: The server refuses or broke off, or files are damaged.
        OSError: The directory cannot be written.
    """
    directory = Path(namespace.directory)
    if namespace.verify:
        _verify(directory, quiet=namespace.quiet)
        return
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    sync_directory(directory.parent)
    with _locked(directory), Client(namespace) as client:
        _Backup(client, directory, namespace).make()


def _verify(directory: Path, *, quiet: bool) -> None:
    manifest = _known(directory)
    damaged = list(backup_manifest.damage(directory, manifest))
    for entry, reason in damaged:
        print(f"{entry.kind}/{entry.path} ({entry.stored}): {reason}", file=sys.stderr)
    if damaged:
        raise backup_manifest.BackupDamagedError(
            f"{len(damaged)} of {len(manifest.files)} files are damaged",
            hint="back up into another directory while the server is there",
        )
    if not quiet:
        print(f"{len(manifest.files)} files, {manifest.total_bytes} bytes: all as written")


def _known(directory: Path) -> Manifest:
    manifest = backup_manifest.read(directory)
    if manifest is None:
        raise ConfigError(
            f"there is no backup in {directory}", hint="headrace backup DIR makes one"
        )
    return manifest


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Alone with a directory."""
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFailedError(
                f"another backup into {directory} is under way", hint="wait for its end"
            ) from None
        yield
    finally:
        os.close(descriptor)


class _Backup:
    """One backup into a directory."""

    def __init__(self, client: Client, directory: Path, namespace: argparse.Namespace) -> None:
        self._client = client
        self._directory = directory
        self._quiet = namespace.quiet
        self._with_secrets = not namespace.without_secrets
        before = backup_manifest.read(directory)
        self._before = before
        self._entries = {(one.kind, one.path): one for one in before.files} if before else {}
        self._stored = {one.stored: one for one in before.files} if before else {}
        self._touched: set[Path] = set()
        # Files that the server cannot give, and of which there is no copy from before.
        self._missing: list[dict[str, Any]] = []
        self.copied_bytes = 0

    def make(self) -> None:
        """Make it.

        Raises:
            BackupIncompleteError: It is made, of all files but those that are damaged.
        """
        content = {"secrets": self._with_secrets}
        begun = json.loads(self._client.request("POST", _ROUTE, content=content))
        try:
            self._check_source(begun["cluster_uuid"])
            files = self._copy_all(begun["backup_id"], begun["files"])
        finally:
            # If the server is gone, so is what it held.
            with suppress(ServerError):
                self._client.request("DELETE", _ROUTE, parameters={"id": begun["backup_id"]})
        about = {
            name: begun[name]
            for name in ("position", "created_ns", "cluster_uuid", "node_id", "server_version")
        }
        if self._missing:
            about["missing"] = [
                {"path": file["path"], "reason": file["damage"]} for file in self._missing
            ]
        manifest = Manifest(about, files)
        for place in sorted(self._touched):
            sync_directory(place)
        backup_manifest.write(self._directory, manifest)
        self._remove_others(manifest)
        if not self._quiet:
            print(
                f"{len(files)} files, {manifest.total_bytes} bytes at position "
                f"{begun['position']}; {self.copied_bytes} bytes were new",
                file=sys.stderr,
            )
        if self._missing:
            raise BackupIncompleteError(
                f"the backup is made, but without {len(self._missing)} damaged files of the "
                f"server: {', '.join(file['path'] for file in self._missing[:3])}",
                hint="system.damage tells what is wrong with them, and whose rows they have",
            )

    def _check_source(self, uuid: str) -> None:
        path = self._directory / _SOURCE
        known = path.read_text().strip() if path.exists() else None
        if known is None:
            others = [one.name for one in self._directory.iterdir() if one.name != _LOCK]
            if others:
                raise ConfigError(
                    f"{self._directory} has other files: {', '.join(sorted(others)[:3])}",
                    hint="name an empty directory, or a new one",
                )
            with new_file(path) as file:
                file.write(f"{uuid}\n".encode())
                file.flush()
                os.fsync(file.fileno())
            self._touched.add(self._directory)
        elif known != uuid:
            # Files of one name would not have one content.
            raise ConfigError(
                f"{self._directory} has the backup of another server, {known}, and this is {uuid}",
                hint="name another directory; a restored server counts as another one",
            )

    def _copy_all(self, name: str, files: list[dict[str, Any]]) -> list[Entry]:
        total = sum(file["size_bytes"] for file in files)
        progress = Progress(total, quiet=self._quiet)
        entries = []
        with closing(progress):
            for file in files:
                entry = self._found(file)
                if entry is None and file.get("damage"):
                    self._missing.append(file)
                elif entry is None:
                    entry = self._copy(name, file)
                if entry is not None:
                    entries.append(entry)
                progress.add(file["size_bytes"])
        return entries

    def _found(self, file: dict[str, Any]) -> Entry | None:
        """A file that the directory has already."""
        if not file["is_fixed"]:
            return None
        known = self._entries.get((file["kind"], file["path"]))
        if known is not None and known.is_fixed and known.size_bytes == file["size_bytes"]:
            return known if _size(self._directory / known.stored) == known.size_bytes else None
        stored = self._place(file)
        path = self._directory / stored
        if file["kind"] != _PARQUET or _size(path) != file["size_bytes"]:
            return None
        # A backup that was broken off has copied it: as a whole, or it would not have this name.
        with path.open("rb") as copied:
            size, digest = hashed(copied)
        return Entry(file["kind"], file["path"], stored, size, digest, is_fixed=True)

    def _place(self, file: dict[str, Any], digest: str = "") -> str:
        """Where a file goes: Parquet files under their own names, for other programs."""
        stored = f"{_PARQUET}/{file['path']}"
        if file["kind"] == _PARQUET and stored not in self._stored:
            return stored
        return f"{_OBJECTS}/{digest}"

    def _copy(self, name: str, file: dict[str, Any]) -> Entry | None:
        parameters = {"id": name, "kind": file["kind"], "path": file["path"]}
        incoming = self._directory / _INCOMING
        digest, size = hashlib.sha256(), 0
        try:
            with new_file(incoming) as target:
                for piece in self._client.stream(f"{_ROUTE}/file", parameters=parameters):
                    digest.update(piece)
                    size += len(piece)
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
        except ServerError as error:
            if file["kind"] in _MAY_BE_GONE and "not there any more" in error.text:
                incoming.unlink()
                return None
            raise
        if file["is_fixed"] and size != file["size_bytes"]:
            raise BackupFailedError(
                f"{file['kind']}/{file['path']} came with {size} bytes, not {file['size_bytes']}",
                hint="the log may have been cut meanwhile: begin again, what was copied stays",
            )
        stored = self._place(file, digest.hexdigest())
        path = self._directory / stored
        self._make_directory(path.parent)
        incoming.replace(path)
        self._touched.add(path.parent)
        self.copied_bytes += size
        return Entry(
            file["kind"], file["path"], stored, size, digest.hexdigest(), is_fixed=file["is_fixed"]
        )

    def _make_directory(self, path: Path) -> None:
        if path == self._directory or path.is_dir():
            return
        self._make_directory(path.parent)
        path.mkdir(mode=0o700)
        self._touched.add(path.parent)

    def _remove_others(self, manifest: Manifest) -> None:
        """Remove what only the backup before this one had."""
        kept = {entry.stored for entry in manifest.files}
        for top in (_OBJECTS, _PARQUET):
            for place, _, names in os.walk(self._directory / top, topdown=False):
                for name in names:
                    path = Path(place) / name
                    if path.relative_to(self._directory).as_posix() not in kept:
                        path.unlink()
                if place != str(self._directory / top) and not os.listdir(place):  # noqa: PTH208
                    Path(place).rmdir()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def restore(namespace: argparse.Namespace) -> None:
    """Make the data directory of a new server of a backup.

    Raises:
        EngineError: The backup is damaged, or the directory is in use.
        OSError: A file cannot be read or written.
    """
    source = Path(namespace.directory)
    manifest = _known(source)
    data_dir = Path(namespace.data_dir).expanduser()
    plugin_dir = Path(namespace.plugin_dir or data_dir / "plugins").expanduser()
    node = namespace.node_id or str(manifest.about["node_id"])
    if "/" in node or node in ("", ".", ".."):
        raise ConfigError(f"--node-id: '{node}' is no name of a directory")
    for target in (data_dir, plugin_dir):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigError(
                f"{target} is not empty", hint="name a new directory: nothing is overwritten"
            )
    # Under their own names only once they are whole: a server does not find half of them.
    unfinished = data_dir / f"{node}.restoring"
    unfinished.mkdir(parents=True, mode=0o750)
    plugin_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    progress = Progress(manifest.total_bytes, quiet=namespace.quiet)
    made = {unfinished, plugin_dir, data_dir}
    with closing(progress):
        for entry in manifest.files:
            base = plugin_dir if entry.kind == "plugins" else unfinished / entry.kind
            target = base / entry.path
            _make_directories(target.parent, made, private=entry.kind == "secrets")
            _copy_back(source, entry, target)
            progress.add(entry.size_bytes)
    for place in made:
        sync_directory(place)
    sync_directory(data_dir.parent)
    unfinished.rename(data_dir / node)
    sync_directory(data_dir)
    if not namespace.quiet:
        flags = f"--data-dir {data_dir} --plugin-dir {plugin_dir} --node-id {node}"
        print(
            f"{len(manifest.files)} files, {manifest.total_bytes} bytes; start: "
            f"headrace serve {flags}",
            file=sys.stderr,
        )


def _make_directories(path: Path, made: set[Path], *, private: bool) -> None:
    if path in made:
        return
    _make_directories(path.parent, made, private=False)
    path.mkdir(mode=0o700 if private else 0o750, exist_ok=True)
    made.add(path)


def _copy_back(source: Path, entry: Entry, target: Path) -> None:
    mode = 0o600 if entry.kind == "secrets" else 0o640
    digest, size = hashlib.sha256(), 0
    with (source / entry.stored).open("rb") as stored, new_file(target, mode) as file:
        while piece := stored.read(backup_manifest.PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if size != entry.size_bytes or digest.hexdigest() != entry.sha256:
        raise backup_manifest.BackupDamagedError(
            f"{source / entry.stored} is not what was written: {entry.kind}/{entry.path}",
            hint=f"what was restored before is in {target.parent}: remove it, take another backup",
        )
