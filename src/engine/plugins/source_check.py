# Owns the check of plugin code before it is stored or a trigger runs it. Compiling takes the
# interpreter's lock for as long as it lasts, which hostile or merely large text makes long; so all
# but small files are compiled in a process of their own, within limits. Nothing is executed.
"""The check of plugin code, without executing it."""

import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.errors import PluginLoadError, PluginNotFoundError
from engine.plugins import loader
from engine.plugins.channel import EntryPointKind

# The slowest text of this size that we know takes a sixth of a second.
_INLINE_BYTES_MAX = 16 * 1024
COMPILE_CPU_S_MAX = 10
_COMPILE_WALL_S_MAX = 60.0
_COMPILE_MEMORY_BYTES_MAX = 2 * 1024 * 1024 * 1024


class _Task(msgspec.Struct, frozen=True):
    files: dict[str, bytes]
    entry_file: str
    kind: EntryPointKind | None
    cpu_s_max: int


class _Verdict(msgspec.Struct, frozen=True):
    message: str = ""
    hint: str = ""


def check_plugin(path: Path, kind: EntryPointKind) -> None:
    """Checks the file or package at `path`: it can be read and compiled and has the entry point.

    Raises:
        PluginNotFoundError: A file cannot be read.
        PluginPathError: A file of the package is a link that leads outside.
        PluginLoadError: It does not compile, or the entry point of this kind is not in it.
    """
    files: dict[str, bytes] = {}
    for file in loader.files_within(path):
        try:
            files[str(file)] = file.read_bytes()
        except OSError as error:
            raise PluginNotFoundError(f"Plugin not found: {file}: {error.strerror}") from error
    check_sources(files, str(path / "__init__.py" if path.is_dir() else path), kind)


def check_sources(
    files: Mapping[str, bytes], entry_file: str = "", kind: EntryPointKind | None = None
) -> None:
    """Checks that all `files`, sources by name, compile and that one of them has the entry point.

    Raises:
        PluginLoadError: They do not, or it has not.
    """
    if not files:
        return
    task = _Task(dict(files), entry_file, kind, COMPILE_CPU_S_MAX)
    small = sum(map(len, files.values())) <= _INLINE_BYTES_MAX
    verdict = _judge(task) if small else _judge_apart(task)
    if verdict.message:
        raise PluginLoadError(verdict.message, hint=verdict.hint)


def _judge(task: _Task) -> _Verdict:
    for name, source in task.files.items():
        try:
            if task.kind is not None and name == task.entry_file:
                loader.check_source(source, name, task.kind)
            else:
                loader.check_syntax(source, name)
        except PluginLoadError as error:
            return _Verdict(error.message, error.hint)
    return _Verdict()


def _judge_apart(task: _Task) -> _Verdict:
    names = ", ".join(task.files) if len(task.files) == 1 else f"{len(task.files)} files"
    try:
        ended = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", __name__],
            input=msgspec.msgpack.encode(task),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            timeout=_COMPILE_WALL_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Verdict(f"compiling {names} takes longer than {_COMPILE_WALL_S_MAX:g} s")
    if ended.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return _Verdict(f"compiling {names} takes longer than {COMPILE_CPU_S_MAX} s")
    if ended.returncode != 0:
        return _Verdict(f"{names} cannot be compiled: Python ended with {ended.returncode}")
    return msgspec.msgpack.decode(ended.stdout, type=_Verdict)


def _main() -> None:
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Task)
    resource.setrlimit(resource.RLIMIT_CPU, (task.cpu_s_max, task.cpu_s_max))
    memory = (_COMPILE_MEMORY_BYTES_MAX, _COMPILE_MEMORY_BYTES_MAX)
    resource.setrlimit(resource.RLIMIT_AS, memory)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.buffer.write(msgspec.msgpack.encode(_judge(task)))


if __name__ == "__main__":
    _main()
