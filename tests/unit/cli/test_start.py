"""A command of a client starts quickly: it imports little."""

import subprocess
import sys
from pathlib import Path

import engine.cli
from tests.support.server import ROOT

# What the server is made of. None of it is needed to send a request.
HEAVY = ("duckdb", "granian", "lp_core", "msgspec", "numpy", "pyarrow", "sqlglot", "uvloop")
# These do not talk to a server.
OFFLINE = {"serve", "serve_parsers", "wal", "completion"}


def imported_by(code: str) -> set[str]:
    code += "\nimport sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(result.stdout.split())


def test_no_client_command_imports_what_the_server_is_made_of() -> None:
    (directory,) = map(Path, engine.cli.__path__)
    names = {path.stem for path in directory.glob("*.py")} - OFFLINE - {"__init__"}
    assert {"query", "write", "catalog", "tokens", "profile"} <= names
    imports = "\n".join(f"import engine.cli.{name}" for name in sorted(names))
    imported = imported_by(imports)
    assert not imported.intersection(HEAVY)
    assert not {"engine.config", "engine.serve_options"} & imported
    # The measure can fail.
    assert "msgspec" in imported_by("import engine.cli.wal")


def test_the_parser_of_one_command_does_without_the_settings_of_servers() -> None:
    code = "from engine.cli.main import build_parser; build_parser('query')"
    assert not {"engine.config", "engine.serve_options"} & imported_by(code)
    assert "engine.serve_options" in imported_by(code.replace("'query'", ""))


def test_one_command_imports_nothing_that_only_others_use() -> None:
    imported = imported_by("from engine.cli.main import build_parser; build_parser('query')")
    assert not {"dataclasses", "difflib", "gzip", "inspect"} & imported
