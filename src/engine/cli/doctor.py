# Owns `headrace doctor`: what is looked at, in which order, and how it is shown. Every look is a
# function that yields findings; none changes anything but for a probe of the disk that it removes.
"""Look whether machine, directories and files are fit for a server."""

import argparse
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.cli.client import Client, ServerError
from engine.cli.terminal import BOLD, RED, styled
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.damage import Damage

OK, WARNING, FAILED = "ok", "warning", "failed"
GREEN, YELLOW = "32", "33"

# Below the second somebody should look, below the first even where no reserve is set.
FREE_BYTES_MIN, FREE_BYTES_LOW = 16 * 1024 * 1024, 2 * 1024 * 1024 * 1024
FREE_SHARE_LOW = 0.05
# Of the disk: a commit takes as long as one of these.
_SYNCS, SYNC_SLOW_S = 21, 0.02
FILES_OPEN_MIN = 1024
# Earlier than this program, or so much earlier than its own files, no clock can be right.
CLOCK_LEAST_S, CLOCK_SLACK_S = 1_735_689_600, 300
_TIME_ERROR = 5
_INTERPRETER_TIMEOUT_S = 60
_SERVER_TIMEOUT_S = 10.0


class Finding(NamedTuple):
    """One result."""

    check: str
    status: str
    text: str
    hint: str = ""


class UnfitError(EngineError):
    """Something is not as it must be."""

    code = "unfit"


class Places(NamedTuple):
    """The directories of a server."""

    data_dir: Path
    node_dir: Path
    plugin_dir: Path
    venv: Path


def doctor(namespace: argparse.Namespace) -> None:
    """Look at everything and show it.

    Raises:
        UnfitError: Something is not as it must be.
        SettingError: The settings are wrong.
    """
    # Imported late: only this command and servers need the settings of a server.
    from engine import config, serve_options
    from engine.paths import DataPaths

    flags: dict[str, Any] = {option.attribute: None for option in serve_options.FLAGS}
    flags |= {name: getattr(namespace, name) for name in flags if hasattr(namespace, name)}
    settings = config.load(flags, os.environ)
    paths = DataPaths(settings.data_dir, settings.node_id)
    places = Places(settings.data_dir, paths.node_dir, settings.plugins_path, settings.venv_path)
    is_running, running = _running(paths.lock_file)
    looks: list[Callable[[], Iterator[Finding]]] = [
        lambda: iter([running]),
        lambda: _server(namespace, is_running=is_running),
        lambda: _permissions(places),
        lambda: _disk(places.data_dir, settings.disk_reserve),
        lambda: _syncs(places),
        lambda: _clock(paths.wal_dir),
        _limits,
        lambda: _plugins(places, settings.package_manager),
    ]
    if not namespace.quick:
        looks.append(lambda: _files(paths, is_running=is_running, deep=namespace.deep))
    findings = []
    for look in looks:
        for finding in look():
            findings.append(finding)
            if namespace.format == "text":
                _show(finding)
    if namespace.format == "json":
        print(json.dumps([finding._asdict() for finding in findings], indent=1))
    failed = [finding for finding in findings if finding.status == FAILED]
    if failed:
        raise UnfitError(
            f"{len(failed)} of {len(findings)} checks failed",
            hint="; ".join(dict.fromkeys(finding.check for finding in failed)),
        )


def _show(finding: Finding) -> None:
    colour = {OK: GREEN, WARNING: YELLOW, FAILED: RED}[finding.status]
    print(f"{styled(f'{finding.status:8}', colour, sys.stdout)} {finding.check}: {finding.text}")
    if finding.hint:
        print(f"         {styled('hint:', BOLD, sys.stdout)} {finding.hint}")
    sys.stdout.flush()


def _running(lock_file: Path) -> tuple[bool, Finding]:
    """Whether a server has the directory."""
    try:
        descriptor = os.open(lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False, Finding("server", OK, "none runs on this directory")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        return True, Finding("server", OK, f"process {holder} runs on this directory")
    finally:
        os.close(descriptor)
    return False, Finding("server", OK, "none runs on this directory")


def _server(namespace: argparse.Namespace, *, is_running: bool) -> Iterator[Finding]:
    with Client(namespace, timeout_s=_SERVER_TIMEOUT_S) as client:
        try:
            client.request("GET", "/health")
            about = json.loads(client.request("GET", "/ping"))
        except ServerError as error:
            if error.status or is_running:
                yield Finding("health", FAILED, error.text, error.hint)
            return
    yield Finding("health", OK, f"{namespace.host} answers, version {about['version']}")


def _permissions(places: Places) -> Iterator[Finding]:
    for what, path in (
        ("data directory", places.data_dir),
        ("node directory", places.node_dir),
        ("plugin directory", places.plugin_dir),
    ):
        if not path.exists():
            parent = next(one for one in path.parents if one.exists())
            may = os.access(parent, os.W_OK | os.X_OK)
            text = f"{path} is not there yet"
            yield (
                Finding(what, OK, f"{text}; a start makes it")
                if may
                else Finding(
                    what,
                    FAILED,
                    f"{text}, and {parent} cannot be written",
                    f"chown or chmod {parent}",
                )
            )
        elif not path.is_dir():
            yield Finding(what, FAILED, f"{path} is no directory")
        elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            owner, user = path.stat().st_uid, os.geteuid()
            yield Finding(
                what,
                FAILED,
                f"{path} of user {owner} cannot be read and written by user {user}",
                "run as its user, or chown it",
            )
        else:
            yield Finding(what, OK, str(path))
    others = [
        path
        for path in sorted((places.node_dir / "secrets").glob("*"))
        if path.stat().st_mode & 0o077
    ]
    for path in others:
        yield Finding("secrets", FAILED, f"others may read {path}", f"chmod 600 {path}")


def _disk(data_dir: Path, reserve_bytes: int) -> Iterator[Finding]:
    place = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    usage = shutil.disk_usage(place)
    text = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB free"
    hint = "free space, shorten retention, or move the data directory"
    if usage.free < reserve_bytes:
        text += f", less than the reserve of {reserve_bytes / 1e9:.1f} GB: no rows are taken"
        yield Finding("disk space", FAILED, text, f"{hint}, or set --disk-reserve lower")
    elif usage.free < FREE_BYTES_MIN:
        yield Finding("disk space", FAILED, text, hint)
    elif usage.free < max(FREE_BYTES_LOW, FREE_SHARE_LOW * usage.total, 2 * reserve_bytes):
        yield Finding("disk space", WARNING, text, hint)
    else:
        yield Finding("disk space", OK, text)
    nodes = os.statvfs(place)
    if nodes.f_files and nodes.f_favail < FILES_OPEN_MIN:
        yield Finding("disk inodes", FAILED, f"room for {nodes.f_favail} more files", hint)


def _syncs(places: Places) -> Iterator[Finding]:
    """How long the disk takes to make a small write durable, which every write waits for."""
    place = next(
        path
        for path in (places.node_dir / "wal", places.data_dir, *places.data_dir.parents)
        if path.exists()
    )
    probe = place / f".doctor-{os.getpid()}"
    try:
        seconds = _sync_seconds(probe)
    except OSError as error:
        yield Finding("sync", FAILED, f"{place} cannot be written: {error.strerror}")
        return
    finally:
        probe.unlink(missing_ok=True)
    middle, most = seconds[len(seconds) // 2], seconds[-1]
    text = f"{middle * 1000:.2f} ms for a small write, {most * 1000:.2f} ms at most"
    if middle > SYNC_SLOW_S:
        yield Finding("sync", WARNING, text, "a write takes as long: use a disk with less latency")
    else:
        yield Finding("sync", OK, text)


def _sync_seconds(probe: Path) -> list[float]:
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    seconds = []
    try:
        for index in range(_SYNCS):
            started = time.monotonic()
            os.pwrite(descriptor, bytes(4096), index * 4096)
            os.fdatasync(descriptor)
            seconds.append(time.monotonic() - started)
    finally:
        os.close(descriptor)
    return sorted(seconds)


def _clock(wal_dir: Path, now_s: Callable[[], float] = time.time) -> Iterator[Finding]:
    now = now_s()
    newest = max((path.stat().st_mtime for path in wal_dir.glob("*.wal")), default=0.0)
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    hint = "set it: rows without a time get that of the clock, and retention goes by it"
    if now < CLOCK_LEAST_S:
        yield Finding("clock", FAILED, f"{shown} is past already", hint)
    elif now < newest - CLOCK_SLACK_S:
        ahead = newest - now
        yield Finding("clock", FAILED, f"{shown}: the log was written {ahead:.0f} s later", hint)
    elif _is_unsynchronised():
        yield Finding(
            "clock", WARNING, f"{shown}, not synchronised", "run chrony or systemd-timesyncd"
        )
    else:
        yield Finding("clock", OK, shown)


def _is_unsynchronised() -> bool:
    """Whether the kernel says that nobody keeps its clock; False where it does not say."""
    import ctypes

    try:
        ask = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return False
    # Larger than any struct timex; no mode is set, so nothing changes.
    return int(ask(ctypes.create_string_buffer(512))) == _TIME_ERROR


def _limits() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES_OPEN_MIN:
        yield Finding(
            "open files",
            WARNING,
            f"{soft} at most",
            f"ulimit -n {FILES_OPEN_MIN}: files of the log, connections and queries need some each",
        )
    else:
        yield Finding("open files", OK, "no limit" if soft < 0 else f"{soft} at most")


def _plugins(places: Places, manager: str) -> Iterator[Finding]:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    yield Finding("python", OK, f"{version}, {sys.executable}")
    uv = shutil.which("uv")
    if manager == "disabled":
        yield Finding("package manager", OK, "disabled")
    elif manager == "uv" and uv is None:
        yield Finding("package manager", FAILED, "uv is not there", "install it, or use pip")
    else:
        yield Finding("package manager", OK, uv if uv and manager != "pip" else "pip")
    if not places.venv.exists():
        yield Finding("plugin environment", OK, f"{places.venv} is not there: made when needed")
        return
    python = places.venv / "bin" / "python"
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        # One that is there is asked, as a worker would use it.
        answer = subprocess.run(  # noqa: S603 - the server's own interpreter for plugins
            [str(python), "-c", code],
            capture_output=True,
            text=True,
            timeout=_INTERPRETER_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding(
            "plugin environment",
            FAILED,
            f"{python} does not run: {error}",
            f"remove {places.venv} and install the packages again",
        )
        return
    found = answer.stdout.strip()
    if found != version:
        yield Finding(
            "plugin environment",
            FAILED,
            f"{places.venv} is of Python {found}, the server of {version}",
            f"remove {places.venv} and install the packages again",
        )
    else:
        yield Finding("plugin environment", OK, f"{places.venv}, Python {found}")


def _told(damage: "Damage") -> str:
    """What a note about damage says."""
    text = f"{damage.file}: {damage.reason}"
    if damage.after_position is not None and damage.lost_positions:
        first, last = damage.after_position + 1, damage.after_position + damage.lost_positions
        text += f"; positions {first} to {last} of the log are lost"
        if damage.content:
            text += f" ({', '.join(damage.content)})"
    return text


def _damage_hint(damage: "Damage") -> str:
    kept = f"the damaged file is kept as {damage.kept}; " if damage.kept else ""
    return f"{kept}the note may be removed from damaged/ once it is dealt with"


def _files(paths: Any, *, is_running: bool, deep: bool) -> Iterator[Finding]:
    if not paths.node_dir.exists():
        return
    # Imported late: it needs what servers are made of.
    from engine.clock import SystemClock
    from engine.damage import DamageBook
    from engine.filesystem import FileSystem
    from engine.storage_check import FileCheck

    book = DamageBook(paths, FileSystem(), SystemClock())
    book.load()
    for damage in book.entries():
        yield Finding("damage", WARNING, _told(damage), _damage_hint(damage))
    check = FileCheck(paths, book, is_running=is_running, deep=deep)
    count = 0
    try:
        for fault in check.faults():
            count += 1
            status = WARNING if fault.is_harmless else FAILED
            yield Finding("files", status, f"{fault.path}: {fault.text}", fault.hint)
    except OSError as error:
        yield Finding("files", FAILED, str(error), "look at the disk, and at the permissions")
        return
    text = (
        f"{check.checkpoints} checkpoints, {check.segments} log files with {check.frames} frames, "
        f"{check.parquet_files} Parquet files are whole"
    )
    if deep:
        text += ", read from end to end"
    yield Finding("files", OK, f"{text}; {count} faults" if count else text)
