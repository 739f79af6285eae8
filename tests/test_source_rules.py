"""Rules of the house that no linter knows."""

import re
from pathlib import Path

import pytest

from tests.support.server import ROOT

MODULES = sorted(
    path
    for pattern in ("*.py", "*.pyx")
    for path in (ROOT / "src").rglob(pattern)
    if path.read_text().strip() and path.name != "__init__.py"
)
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "manager", "data", "misc"}


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_modules_open_with_what_they_own(path: Path) -> None:
    lines = path.read_text().splitlines()
    header = list(lines[: lines.index(next(x for x in lines if not x.startswith("#")))])
    assert 1 <= len(header) <= 8, "a comment of one to five lines, then the docstring"


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_modules_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600


def test_no_module_is_named_after_nothing() -> None:
    assert not [path for path in MODULES if path.stem.strip("_") in FORBIDDEN_NAMES]


def test_nothing_names_a_path_of_one_machine() -> None:
    pattern = re.compile(r"(^|[^A-Za-z0-9_.])/(home|root|work|Users)/")
    for folder in ("src", "tests", "docs", "examples", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".pyx", ".pyi", ".md", ".h", ".pxd"} and path != Path(
                __file__
            ):
                assert not pattern.search(path.read_text()), path


def test_errors_are_not_swallowed() -> None:
    pattern = re.compile(r"except( Exception| BaseException)?:\s*(#.*)?\n\s*pass\b")
    for path in MODULES:
        assert not pattern.search(path.read_text()), path
