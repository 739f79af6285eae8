"""Packages of plugins: installed into an environment of their own, used at the next call."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ServerProcess
from tests.support.wheels import make_wheel, offline_pip

pytestmark = pytest.mark.e2e

INSTALL = "/api/v3/configure/plugin_environment"

IMPORTS = """
import os
def process_request(api, query, headers, body, args):
    try:
        module = __import__(query["module"])
    except ImportError as error:
        return str(error), 404
    return [module.VERSION, os.environ.get("VIRTUAL_ENV")]
"""


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    directory = tmp_path / "wheels"
    make_wheel(directory, "tinyone", "1.0", "VERSION = '1.0'\n")
    make_wheel(directory, "tinytwo", "1.0", "VERSION = 'two'\n", ["tinyone>=1", "msgspec"])
    make_wheel(directory, "greedy", "1.0", "VERSION = 'x'\n", ["msgspec>=9999"])
    return directory


@pytest.fixture
def pip_server(tmp_path: Path, wheels: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, "--package-manager", "pip", environment=offline_pip(wheels))
    try:
        yield process.start()
        assert process.stop() == 0, process.log_text
    finally:
        process.kill()


def imported(server: ServerProcess, module: str) -> tuple[int, object]:
    answer = server.request("GET", f"/api/v3/engine/imports?module={module}")
    return answer.status, answer.json() if answer.status == 200 else answer.body.decode()


def test_installed_packages_are_usable_by_the_next_call(
    pip_server: ServerProcess, wheels: Path, tmp_path: Path
) -> None:
    server = pip_server
    own = importlib.metadata.version("msgspec")
    venv = server.plugin_dir / ".venv"
    server.plugin("imports.py", IMPORTS)
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "t", "request:imports", "imports.py").status == 200
    assert imported(server, "tinyone") == (404, "No module named 'tinyone'")

    # By the command, with names.
    installed = server.cli("install", "package", "tinyone==1.0")
    assert (installed.returncode, installed.stdout) == (0, "Installed tinyone==1.0\n")
    assert imported(server, "tinyone") == (200, ["1.0", str(venv)])

    # By a requirements file; what the server has is not installed again.
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("tinytwo\n")
    installed = server.cli("install", "requirements", str(requirements))
    assert installed.returncode == 0, installed.stderr
    assert imported(server, "tinytwo") == (200, ["two", str(venv)])
    (packages,) = (venv / "lib").glob("python*/site-packages")
    assert not list(packages.glob("msgspec*"))

    # A newer version takes the place of one that a worker has imported already.
    make_wheel(wheels, "tinyone", "2.0", "VERSION = '2.0'\n")
    assert server.cli("install", "package", "tinyone==2.0").returncode == 0
    assert imported(server, "tinyone") == (200, ["2.0", str(venv)])

    # What would change the server's own packages fails, and says why.
    greedy = server.cli("install", "package", "greedy")
    assert greedy.returncode == 1
    assert "msgspec" in greedy.stderr
    assert importlib.metadata.version("msgspec") == own
    assert imported(server, "greedy")[0] == 404

    # A failure of pip is the failure of the request, with its last lines.
    body = json.dumps({"packages": ["nosuchpackage"]}).encode()
    json_type = {"Content-Type": "application/json"}
    failed = server.request("POST", f"{INSTALL}/install_packages", body, headers=json_type)
    assert (failed.status, failed.json()["code"]) == (422, "package_install")
    assert "No matching distribution found for nosuchpackage" in failed.json()["error"]

    # Options do not reach pip.
    for package in ("--index-url=http://x", "-r/etc/passwd", ""):
        body = json.dumps({"packages": [package]}).encode()
        refused = server.request("POST", f"{INSTALL}/install_packages", body, headers=json_type)
        assert (refused.status, refused.json()["code"]) == (400, "bad_request")

    # A file on the server.
    body = json.dumps({"requirements_location": str(requirements)}).encode()
    done = server.request("POST", f"{INSTALL}/install_requirements", body, headers=json_type)
    assert done.status == 200
    body = json.dumps({"requirements_location": "/no/such/file"}).encode()
    missing = server.request("POST", f"{INSTALL}/install_requirements", body, headers=json_type)
    assert missing.status == 400
    assert "no requirements file at /no/such/file" in missing.json()["error"]

    # The server's own interpreter sees nothing of it.
    python = subprocess.run(
        [sys.executable, "-c", "import tinyone"], capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError" in python.stderr


def test_an_environment_elsewhere_is_used(tmp_path: Path, wheels: Path) -> None:
    venv = tmp_path / "elsewhere"
    server = ServerProcess(
        tmp_path,
        *("--package-manager", "pip", "--virtual-env-location", str(venv)),
        environment=offline_pip(wheels),
    ).start()
    try:
        server.plugin("imports.py", IMPORTS)
        server.cli("create", "database", "db")
        assert server.create_trigger("db", "t", "request:imports", "imports.py").status == 200
        installed = server.cli("install", "package", "-r", "/dev/stdin", stdin="tinyone\n")
        assert installed.returncode == 0, installed.stderr
        assert imported(server, "tinyone") == (200, ["1.0", str(venv)])
        assert not (server.plugin_dir / ".venv").exists()
    finally:
        server.kill()


@pytest.mark.parametrize(
    "flags", [("--package-manager", "disabled"), ("--disable-package-management",)]
)
def test_a_server_may_refuse_installs(tmp_path: Path, flags: tuple[str, ...]) -> None:
    server = ServerProcess(tmp_path, *flags).start()
    try:
        for content, route in (
            ({"packages": ["x"]}, "install_packages"),
            ({"requirements": "x"}, "install_requirements"),
        ):
            answer = server.request(
                "POST",
                f"{INSTALL}/{route}",
                json.dumps(content).encode(),
                headers={"Content-Type": "application/json"},
            )
            assert (answer.status, answer.json()["code"]) == (403, "packages_disabled")
            assert answer.json()["error"].startswith("Package installation has been disabled.")
        refused = server.cli("install", "package", "x")
        assert "Package installation has been disabled" in refused.stderr
        assert not (server.plugin_dir / ".venv").exists()
    finally:
        server.kill()


UV = """#!/bin/sh
echo "$@" >> {log}
if [ "$1" = venv ]; then exec "$3" -m venv "$4"; fi
shift 2; python=$2; shift 2
exec "$python" -m pip install "$@"
"""


def test_uv_is_taken_where_there_is_one(tmp_path: Path, wheels: Path) -> None:
    """A stand-in takes the calls that uv gets, and has pip do its work."""
    log = tmp_path / "uv.log"
    stand_in = tmp_path / "bin" / "uv"
    stand_in.parent.mkdir()
    stand_in.write_text(UV.format(log=log))
    stand_in.chmod(0o755)
    path = f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"
    server = ServerProcess(tmp_path, environment={**offline_pip(wheels), "PATH": path}).start()
    try:
        installed = server.cli("install", "package", "tinyone")
        assert installed.returncode == 0, installed.stderr
        venv = server.plugin_dir / ".venv"
        made, done = log.read_text().splitlines()
        assert made.startswith("venv --python ")
        assert made.endswith(f" {venv}")
        assert done.startswith(f"pip install --python {venv}/bin/python -c ")
        assert done.endswith(" -- tinyone")
        assert list(venv.glob("lib/python*/site-packages/tinyone.py"))
    finally:
        server.kill()


def test_an_environment_of_another_python_is_refused(pip_server: ServerProcess) -> None:
    venv = pip_server.plugin_dir / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    refused = pip_server.cli("install", "package", "tinyone")
    assert "was not made by the server's Python" in refused.stderr
