# Owns how a plugin file becomes the function to call: path safety, what is checked of its text, and
# loading. A single file is compiled once per content and executed anew for each call; a package is
# imported under a private name and kept until one of its files changes. Loading runs in the worker
# only.
"""Finding, checking and loading plugin code."""

import ast
import builtins
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from engine.errors import PluginLoadError, PluginNotFoundError, PluginPathError
from engine.plugins.channel import EntryPointKind

ENTRY_POINTS: dict[EntryPointKind, str] = {
    "wal": "process_writes",
    "schedule": "process_scheduled_call",
    "request": "process_request",
}
# Takes the place of process_writes where a plugin has it.
ARROW_ENTRY_POINT = "process_batches"
_SIGNATURES: dict[EntryPointKind, str] = {
    "wal": "process_writes(influxdb3_local, table_batches, args=None)",
    "schedule": "process_scheduled_call(influxdb3_local, call_time, args=None)",
    "request": (
        "process_request(influxdb3_local, query_parameters, request_headers, request_body, "
        "args=None) -> Tuple[str, Optional[Dict[str, str]]]"
    ),
}
_PRIVATE_PREFIX = "_headrace_plugin_"

# --- paths and what is checked of a text ----------------------------------------------------------


def resolve(plugin_dir: Path, filename: str) -> Path:
    """Finds a plugin in the plugin directory.

    Returns:
        The absolute path of a file, or of a directory with an ``__init__.py``.

    Raises:
        PluginPathError: The name is absolute, contains ``..`` or leads outside through a link.
        PluginNotFoundError: Nothing is there, or a directory without ``__init__.py``.
    """
    relative = Path(filename)
    if "\0" in filename or relative.is_absolute() or ".." in relative.parts:
        raise _escapes(filename)
    root = plugin_dir.resolve()
    try:
        target = (root / relative).resolve()
        is_there = target.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long, a loop of links
        reason = getattr(error, "strerror", None) or error
        raise PluginNotFoundError(f"Plugin not found: {root / relative}: {reason}") from error
    if not target.is_relative_to(root):
        raise _escapes(filename)
    if target == root or not is_there:
        raise PluginNotFoundError(
            f"Plugin not found: {root / relative}",
            hint=f"put the file into the plugin directory {root}, or use a name relative to it",
        )
    if target.is_dir() and not (target / "__init__.py").is_file():
        raise PluginNotFoundError(
            f"Multi-file plugin directory must contain __init__.py: {target}",
            hint="add an __init__.py that defines or imports the entry point",
        )
    return target


def _escapes(filename: str) -> PluginPathError:
    return PluginPathError(
        f"Path traversal detected: plugin filename '{filename}' attempts to access files outside "
        "the plugin directory",
        hint="use a name relative to the plugin directory, without '..'",
    )


def files_within(path: Path) -> list[Path]:
    """The Python files of a plugin: a file, or a package.

    Raises:
        PluginPathError: A file of the package is a link that leads outside of it.
    """
    if not path.is_dir():
        return [path]
    root = path.resolve()
    files = package_files(path)
    for file in files:
        if not file.resolve().is_relative_to(root):
            raise _escapes(str(file.relative_to(path.parent)))
    return files


def check_syntax(source: bytes, filename: str) -> None:
    """Checks that source text compiles.

    Raises:
        PluginLoadError: It does not.
    """
    _compiled(source, filename)


def check_source(source: bytes, filename: str, kind: EntryPointKind) -> None:
    """Checks that source text compiles and has the entry point.

    Raises:
        PluginLoadError: It does not, or has not.
    """
    _check_entry_point(_compiled(source, filename).body, kind)


def _compiled(source: bytes, filename: str) -> ast.Module:
    try:
        tree = compile(source, filename, "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
        # The tree says nothing of what only the compiler refuses, such as a return outside.
        compile(source, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PluginLoadError(f"{type(error).__name__}: {error}") from error
    assert isinstance(tree, ast.Module)
    return tree


def _check_entry_point(body: list[ast.stmt], kind: EntryPointKind) -> None:
    found = list(_bindings(body, ENTRY_POINTS[kind]))
    if kind == "wal":
        found += _bindings(body, ARROW_ENTRY_POINT)
    if not found:
        raise _missing_entry_point(kind)
    if all(isinstance(statement, ast.AsyncFunctionDef) for statement in found):
        raise _async_entry_point(kind)


def _bindings(body: Iterable[ast.AST], name: str) -> Iterable[ast.AST]:
    """Statements at module level, also inside if, try and with, that may bind the name."""
    waiting = list(body)
    while waiting:  # not by recursion, which a long expression would exhaust
        statement = waiting.pop()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if statement.name == name:
                yield statement
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names = {alias.asname or alias.name for alias in statement.names}
            if names & {name, "*"}:
                yield statement
        elif isinstance(statement, ast.Name):
            if statement.id == name and isinstance(statement.ctx, ast.Store):
                yield statement
        else:
            waiting += ast.iter_child_nodes(statement)


def _missing_entry_point(kind: EntryPointKind) -> PluginLoadError:
    return PluginLoadError(
        f"the {ENTRY_POINTS[kind]} function is not present in the plugin. "
        f"Should be defined as: {_SIGNATURES[kind]}"
    )


def _async_entry_point(kind: EntryPointKind) -> PluginLoadError:
    return PluginLoadError(
        f"the {ENTRY_POINTS[kind]} function is defined with 'async def'. "
        f"Should be defined as: {_SIGNATURES[kind]}",
        hint="use 'def', and asyncio.run() inside it",
    )


def package_files(directory: Path) -> list[Path]:
    """The Python files of a package, sorted."""
    return sorted(file for file in directory.rglob("*.py") if "__pycache__" not in file.parts)


# --- loading, in the worker ---------------------------------------------------------------------


def install_builtins(names: dict[str, object]) -> None:
    """Makes names usable in plugin code, and in the modules it imports, without an import.

    They are put into ``__main__`` too: plugins written for the reference import them from there.
    """
    for name, value in names.items():
        setattr(builtins, name, value)
        setattr(sys.modules["__main__"], name, value)


class EntryPoint(NamedTuple):
    """What to call; a write plugin may take Arrow tables instead of dicts."""

    function: Callable[..., Any]
    takes_arrow: bool


class PluginLoader:
    """Gives the entry point of one plugin, in the version that is on disk."""

    def __init__(self, path: Path, kind: EntryPointKind) -> None:
        self._path = path
        self._kind = kind
        self._lock = threading.Lock()
        self._package = _PackageImporter(path) if path.is_dir() else None
        self._digest = b""
        self._code: CodeType | None = None
        parent = str(path.parent)
        if parent not in sys.path:
            sys.path.append(parent)

    def load(self) -> EntryPoint:
        """Executes or imports the plugin as needed and returns the function to call.

        Raises:
            PluginLoadError: The entry point is missing.
            Exception: Whatever reading, compiling or executing the plugin raises.
        """
        # Overlapping calls share sys.modules, which module code may look itself up in.
        with self._lock:
            module = self._package.module() if self._package else self._executed_anew()
        function: Any = None
        if self._kind == "wal":
            function = getattr(module, ARROW_ENTRY_POINT, None)
        takes_arrow = callable(function)
        if not takes_arrow:
            function = getattr(module, ENTRY_POINTS[self._kind], None)
        if not callable(function):
            raise _missing_entry_point(self._kind)
        if inspect.iscoroutinefunction(function):
            raise _async_entry_point(self._kind)
        return EntryPoint(function, takes_arrow)

    def _executed_anew(self) -> ModuleType:
        try:
            source = self._path.read_bytes()
        except OSError:
            # A deleted plugin keeps running; editors also remove the file for a moment on saving.
            if self._code is None:
                raise
        else:
            digest = hashlib.sha256(source).digest()
            if self._code is None or digest != self._digest:
                self._code = compile(source, str(self._path), "exec", dont_inherit=True)
                self._digest = digest
        module = ModuleType(_private_name(self._path))
        module.__file__ = str(self._path)
        # dataclasses and others look a class's module up by name.
        sys.modules[module.__name__] = module
        exec(self._code, module.__dict__)  # noqa: S102 - running plugins is what this does
        return module


def _private_name(path: Path) -> str:
    # No file name can then hide a module of the standard library or of a package.
    return _PRIVATE_PREFIX + re.sub(r"\W", "_", path.stem)


class _PackageImporter(importlib.abc.MetaPathFinder):
    """Imports one package under a private name, and its own name as an alias of that.

    Both ``from . import x`` and ``import <package>.x`` then reach one and the same module.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._own_name = directory.name
        self._private_name = _private_name(directory)
        self._stamp: list[tuple[object, ...]] = []
        self._digest = b""
        self._module: ModuleType | None = None
        sys.meta_path.insert(0, self)

    def module(self) -> ModuleType:
        stamp = self._file_stamps()
        if self._module is not None and not stamp:
            return self._module  # deleted: keeps running, as a single file does
        if self._module is None or stamp != self._stamp:
            digest = self._content_digest()
            if self._module is None or digest != self._digest:
                self._module = self._imported_anew()
            self._digest, self._stamp = digest, stamp
        return self._module

    def _imported_anew(self) -> ModuleType:
        self._module = None
        self._forget()
        importlib.invalidate_caches()
        try:
            return importlib.import_module(self._private_name)
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        for name in list(sys.modules):
            if self._is_within(name, self._private_name) or (
                self._is_aliased(name) and self._is_within(name, self._own_name)
            ):
                del sys.modules[name]

    def _file_stamps(self) -> list[tuple[object, ...]]:
        stamps: list[tuple[object, ...]] = []
        for file in package_files(self._directory):
            status = file.stat()
            stamps.append((str(file), status.st_ino, status.st_size, status.st_ctime_ns))
        return stamps

    def _content_digest(self) -> bytes:
        digest = hashlib.sha256()
        for file in package_files(self._directory):
            content = file.read_bytes()
            digest.update(f"{file}\0{len(content)}\0".encode(errors="surrogateescape"))
            digest.update(content)
        return digest.digest()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if self._is_within(fullname, self._private_name):
            return self._private_spec(fullname, path)
        if self._is_aliased(fullname) and self._is_within(fullname, self._own_name):
            private = self._private_name + fullname[len(self._own_name) :]
            return importlib.machinery.ModuleSpec(fullname, _AliasLoader(private))
        return None

    def _private_spec(
        self, fullname: str, path: Sequence[str] | None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == self._private_name:
            init = str(self._directory / "__init__.py")
            return importlib.util.spec_from_file_location(
                fullname,
                init,
                loader=_SourceLoader(fullname, init),
                submodule_search_locations=[str(self._directory)],
            )
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _SourceLoader(fullname, spec.loader.path)
        return spec

    def _is_aliased(self, fullname: str) -> bool:
        # Inside a package called like a standard module the name still means the standard module.
        return fullname.partition(".")[0] not in sys.stdlib_module_names

    @staticmethod
    def _is_within(fullname: str, package: str) -> bool:
        return fullname == package or fullname.startswith(package + ".")


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles from source always: a .pyc is checked by whole seconds and misses quick edits."""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _AliasLoader(importlib.abc.Loader):
    """Hands out an already imported module under a second name."""

    def __init__(self, private_name: str) -> None:
        self._private_name = private_name
        self._spec: importlib.machinery.ModuleSpec | None = None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._private_name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just overwritten it with the alias's, which relative imports
        # inside the package would stumble over.
        module.__spec__ = self._spec


def without_own_frames(error: BaseException) -> BaseException:
    """Drops the worker's frames from the top of a traceback, so that it starts in the plugin."""
    own_directory = str(Path(__file__).parent)
    frame = error.__traceback__
    while frame is not None:
        filename = frame.tb_frame.f_code.co_filename
        if not filename.startswith((own_directory, "<frozen importlib")):
            return error.with_traceback(frame)
        frame = frame.tb_next
    return error.with_traceback(None)
