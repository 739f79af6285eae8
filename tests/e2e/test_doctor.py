"""The doctor says what is wrong, of a server that runs and of one that does not."""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.cli import doctor, main
from engine.cli.doctor import FAILED, OK, WARNING, Places
from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e

Examine = Callable[..., dict[str, list[dict[str, str]]]]


@pytest.fixture
def examine(server: ServerProcess, monkeypatch, capsys) -> Examine:
    """The findings of the doctor, by check."""
    monkeypatch.setenv("HEADRACE_HOST_URL", server.url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(server.data_dir / "none"))

    def run(*flags: str) -> dict[str, list[dict[str, str]]]:
        where = ["--data-dir", str(server.data_dir), "--plugin-dir", str(server.plugin_dir)]
        status = main.main(["doctor", *where, "--node-id", "node0", "--format", "json", *flags])
        findings = json.loads(capsys.readouterr().out)
        assert status == any(one["status"] == FAILED for one in findings)
        checks: dict[str, list[dict[str, str]]] = {}
        for finding in findings:
            checks.setdefault(finding["check"], []).append(finding)
        return checks

    return run


def test_of_a_server_that_runs_and_then_does_not(server: ServerProcess, examine: Examine) -> None:
    assert server.write("db", "m f=1 1").status == 204
    found = examine("--deep")
    for check in ("server", "health", "data directory", "node directory", "files", "python"):
        assert [one["status"] for one in found[check]] == [OK], found[check]
    assert server.process is not None
    assert f"process {server.process.pid} " in found["server"][0]["text"]
    assert {"disk space", "sync", "clock", "open files", "plugin environment"} <= set(found)
    assert "files" not in examine("--quick")
    server.stop()
    assert examine()["server"][0]["text"] == "none runs on this directory"
    checkpoint = min((server.data_dir / "node0" / "checkpoints").glob("*.checkpoint"))
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    checkpoint.write_bytes(content)
    broken = examine()
    assert FAILED in [one["status"] for one in broken["files"]]
    assert "health" not in broken
    text = server.cli("doctor", "--data-dir", str(server.data_dir), "--node-id", "node0")
    assert text.returncode == 1
    assert "hint: " in text.stdout
    assert "checks failed" in text.stderr


def places(directory: Path) -> Places:
    return Places(directory, directory / "node0", directory / "plugins", directory / "venv")


def test_permissions(tmp_path: Path) -> None:
    secret = tmp_path / "node0" / "secrets" / "key"
    secret.parent.mkdir(parents=True)
    secret.write_text("x")
    secret.chmod(0o644)
    (tmp_path / "plugins").write_text("no directory")
    found = {one.check: one.status for one in doctor._permissions(places(tmp_path))}
    assert found == {
        "data directory": OK,
        "node directory": OK,
        "plugin directory": FAILED,
        "secrets": FAILED,
    }


def test_clocks(tmp_path: Path) -> None:
    segment = tmp_path / "1.wal"
    segment.touch()
    now = time.time()
    os.utime(segment, (now, now))
    for now_s, statuses in ((now, (OK, WARNING)), (now - 4_000, (FAILED,)), (1e9, (FAILED,))):
        (found,) = doctor._clock(tmp_path, lambda now_s=now_s: now_s)
        assert found.status in statuses


def test_space(tmp_path: Path, monkeypatch) -> None:
    total = 100 * 1024**3
    for free, status in ((total // 2, OK), (total // 50, WARNING), (1_000_000, FAILED)):
        usage = argparse.Namespace(free=free, total=total)
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place, usage=usage: usage)
        assert next(doctor._disk(tmp_path / "new", 0)).status == status
    few = argparse.Namespace(free=3 * 1024**3, total=total // 4)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: few)
    for reserve, status in ((1024**3, OK), (2 * 1024**3, WARNING), (4 * 1024**3, FAILED)):
        found = next(doctor._disk(tmp_path / "new", reserve))
        assert found.status == status, reserve
    assert "no rows are taken" in found.text


def test_plugin_environments(tmp_path: Path) -> None:
    found = {one.check: one for one in doctor._plugins(places(tmp_path), "pip")}
    assert found["plugin environment"].status == OK
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for script, status in (("echo 2.7", FAILED), ("exit 3", FAILED)):
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        found = {one.check: one for one in doctor._plugins(places(tmp_path), "pip")}
        assert found["plugin environment"].status == status
        assert found["plugin environment"].hint
