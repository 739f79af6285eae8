"""The check of plugin code: what it costs the server, and what it lets pass."""

import time

import pytest

from engine.errors import PluginLoadError, PluginPathError
from engine.plugins import source_check
from engine.plugins.source_check import check_plugin, check_sources

ENTRY = "\ndef process_request(api, query, headers, body, args):\n    return 'x'\n"
LARGE = "# " + "x" * 20_000 + "\n"


def check(source: str) -> None:
    check_sources({"p.py": source.encode()}, "p.py", "request")


@pytest.mark.parametrize("source", ["", LARGE], ids=["small", "large"])
def test_large_files_are_checked_as_small_ones(source):
    check(source + ENTRY)
    with pytest.raises(PluginLoadError, match=r"SyntaxError.*p\.py, line"):
        check(source + "def (:")
    with pytest.raises(PluginLoadError, match="process_request function is not present"):
        check(source + "x = 1")
    with pytest.raises(PluginLoadError, match="async def") as caught:
        check(source + ENTRY.replace("def ", "async def "))
    assert caught.value.hint == "use 'def', and asyncio.run() inside it"
    with pytest.raises(PluginLoadError, match=r"inner\.py"):
        check_sources({"p/__init__.py": (source + ENTRY).encode(), "p/inner.py": b"return"})


@pytest.mark.parametrize(
    "expression",
    ["1" + " + 1" * 1500, "a" + ".b" * 1500, "a" + "()" * 1500, "not " * 1500 + "a"],
    ids=["sum", "attributes", "calls", "not"],
)
def test_a_long_expression_is_no_error(expression):
    """Published plugins build long texts so; only what Python itself refuses is refused."""
    check(f"x = {expression}{ENTRY}")


def test_a_text_that_takes_long_does_not_stop_the_server(monkeypatch):
    """An f-string of many parts takes quadratic time, with the interpreter's lock held."""
    monkeypatch.setattr(source_check, "_COMPILE_WALL_S_MAX", 0.5)
    started = time.monotonic()
    with pytest.raises(PluginLoadError, match="longer than"):
        check("x = f'" + "{x}" * 200_000 + "'" + ENTRY)
    assert time.monotonic() - started < 10


def test_a_text_that_python_cannot_bear_is_refused():
    with pytest.raises(PluginLoadError):
        check("x = " + "(" * 100_000 + ENTRY)
    with pytest.raises(PluginLoadError):
        check("x = 1" + " + 1" * 1_000_000 + ENTRY)
    with pytest.raises(PluginLoadError, match="null bytes"):
        check("x = '\0'" + ENTRY)


def test_the_limit_of_time_is_the_compilers_own(monkeypatch):
    """Whatever else the machine does."""
    monkeypatch.setattr(source_check, "COMPILE_CPU_S_MAX", 1)
    with pytest.raises(PluginLoadError, match="longer than 1 s"):
        check("x = f'" + "{x}" * 400_000 + "'" + ENTRY)


def test_a_package_whose_files_lead_outside_is_refused(tmp_path):
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text(ENTRY)
    check_plugin(package, "request")
    outside = tmp_path / "outside.py"
    outside.write_text("x = 1")
    (package / "linked.py").symlink_to(outside)
    with pytest.raises(PluginPathError):
        check_plugin(package, "request")
