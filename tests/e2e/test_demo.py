"""The demo shows every step at work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_the_demo_sees_every_step_work(tmp_path: Path) -> None:
    if not Path(sys.executable).with_name("headrace").exists():
        pytest.skip("the headrace command is not installed beside this Python")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        env={**os.environ, "DEMO_SECONDS": "1", "DEMO_DIR": str(tmp_path / "demo")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 12 steps worked." in done.stdout
    assert "FAILED" not in done.stdout
