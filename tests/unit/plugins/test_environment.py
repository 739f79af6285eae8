"""Installs: what reaches the package manager, and what its failures cost."""

import asyncio
import logging
import os
import sys
import textwrap
from pathlib import Path

import pytest

from engine.errors import PackageInstallError, RequestError
from engine.plugins import environment
from engine.plugins.environment import PluginPackages
from tests.support.waiting import wait_for


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """Makes a stand-in for uv; returns what installs by it."""
    venv = tmp_path / "venv"
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (venv / "lib" / python / "site-packages").mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(sys.executable)

    def make(script: str) -> PluginPackages:
        path = tmp_path / "bin" / "uv"
        path.parent.mkdir()
        path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
        return PluginPackages(venv, "uv")

    return make


def failure(packages: PluginPackages, *names: str) -> str:
    with pytest.raises(PackageInstallError) as caught:
        asyncio.run(packages.install(names or ["x"]))
    return caught.value.message


def is_alive(pid_file: Path) -> bool:
    try:
        state = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return False
    return state.split()[0] != "Z"


def test_of_an_endless_output_the_end_is_kept(uv):
    """A build may print without end, and without a line break."""
    packages = uv("""
        head -c 30000000 /dev/zero | tr '\\0' x
        echo; for i in $(seq 100); do echo line $i; done
        exit 1
    """)
    lines = failure(packages).splitlines()
    assert lines == [f"line {number}" for number in range(81, 101)]
    assert len(failure(packages)) < 1000


def test_a_single_line_without_end_is_cut(uv):
    assert len(failure(uv("head -c 30000000 /dev/zero | tr '\\0' x; exit 1"))) <= 64 * 1024


def test_the_time_limit_ends_all_that_the_manager_started(uv, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "INSTALL_TIMEOUT_S", 0.5)
    child = tmp_path / "child"
    packages = uv(f"sleep 300 &\n echo $! > {child}\n sleep 300")
    assert "longer than" in failure(packages)
    wait_for(lambda: not is_alive(child), "the child is gone")


def test_who_gives_up_waiting_ends_the_install(uv, tmp_path):
    child = tmp_path / "child"
    packages = uv(f"sleep 300 &\n echo $! > {child}.part\n mv {child}.part {child}\n sleep 300")

    async def body():
        task = asyncio.create_task(packages.install(["x"]))
        await asyncio.to_thread(wait_for, child.exists, "the manager has started its child")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(body(), 20))
    wait_for(lambda: not is_alive(child), "the child is gone")


def test_who_gives_up_while_the_manager_starts_ends_it_with_its_children(uv, tmp_path, monkeypatch):
    child = tmp_path / "child"
    packages = uv(f"sleep 300 &\n echo $! > {child}.part\n mv {child}.part {child}\n sleep 300")
    started = asyncio.create_subprocess_exec

    async def start_slowly(*command, **options):
        process = await started(*command, **options)
        await asyncio.to_thread(wait_for, child.exists, "the manager has started its child")
        task.cancel()
        await asyncio.sleep(0)
        return process

    async def body():
        nonlocal task
        task = asyncio.create_task(packages.install(["x"]))
        with pytest.raises(asyncio.CancelledError):
            await task

    task = None
    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_slowly)
    asyncio.run(asyncio.wait_for(body(), 20))
    wait_for(lambda: not is_alive(child), "the child is gone")


def test_passwords_in_addresses_are_neither_answered_nor_logged(uv, tmp_path, caplog):
    packages = uv("""
        case "$*" in *good*) exit 0;; esac
        echo "ERROR: no access to https://user:pass-word@host/simple/x"
        exit 1
    """)
    message = failure(packages)
    assert "host/simple/x" in message
    assert "pass-word" not in message
    requirements = tmp_path / "good.txt"
    requirements.write_text("x @ https://user:pass-word@host/x.whl\n")
    with caplog.at_level(logging.INFO):
        asyncio.run(packages.install_requirements(str(requirements)))
        with pytest.raises(RequestError):
            asyncio.run(packages.install_requirements("https://user:pass-word@host/good.txt "))
        asyncio.run(packages.install_requirements("https://user:pass-word@host/good.txt"))
    assert "pass-word" not in str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize(
    "package",
    [
        "https://host/x.whl",
        "git+https://host/x",
        "file:///etc/passwd",
        "x @ https://host/x.whl",
        "./x",
        "../x.whl",
        "/tmp/x.whl",
        "x.whl",
        "x.tar.gz",
        ".",
        "~/x",
        "-e.",
        " --pre",
        "x --index-url=http://host",
        "x\n--pre",
        "",
        # Endless for a pattern that tries all ways to share the blanks out.
        "x" + " " * 5_000 + "y",
    ],
)
def test_names_of_packages_are_names(uv, package):
    with pytest.raises(RequestError):
        asyncio.run(uv("exit 0").install([package]))


@pytest.mark.parametrize(
    "package",
    [
        "pandas",
        "pandas==2.2",
        "a.b_c-d>=1,<2",
        "requests[socks, use_chardet_on_py3]~=2.0",
        "x ; python_version >= '3.11' and sys_platform == \"linux\"",
        "torch==2.0+cpu",
        "x!=1.*",
        "x===1.0-rc1",
    ],
)
def test_specifiers_are_taken(uv, tmp_path, package):
    told = tmp_path / "told"
    asyncio.run(uv(f'printf "%s\\n" "$@" > {told}').install([package]))
    assert told.read_text().splitlines()[-2:] == ["--", package]


def test_the_environment_of_the_server_itself_is_never_installed_into(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(sys.prefix)
    for venv in (Path(sys.prefix), link):
        with pytest.raises(PackageInstallError, match="server's own"):
            asyncio.run(PluginPackages(venv, "pip").install(["x"]))


def test_an_environment_whose_making_was_cut_short_is_made_whole(tmp_path, monkeypatch):
    """Killed before pip was in it, it would fail every install from then on."""
    venv = tmp_path / "venv"
    asyncio.run(environment._run([sys.executable, "-m", "venv", "--without-pip", str(venv)]))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    message = failure(PluginPackages(venv, "pip"), "nosuchpackage")
    assert "No matching distribution found for nosuchpackage" in message
