# A short, repeatable run of each fuzz target; make fuzz runs them for longer, guided by coverage.
import importlib.util
import itertools
import subprocess
import sys

import pytest

from tests.fuzz.mutation import inputs
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.support.live_memory import is_sanitized
from tests.support.shared import REPOSITORY_ROOT

INPUTS = 3000


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_holds(target):
    for data in seeds(target):
        TARGETS[target](data)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", TARGETS)
def test_changed_seeds_hold(target, seed):
    for data in itertools.islice(inputs(seeds(target), seed), INPUTS):
        TARGETS[target](data)


def test_targets_notice_what_is_wrong(monkeypatch):
    monkeypatch.setattr("tests.fuzz.targets.compare_on_path", wrong_comparison)
    with pytest.raises(AssertionError, match="rows differ"):
        TARGETS["parse"](b"\0\0\0m f=1 1")


def wrong_comparison(body, precision):
    raise AssertionError("rows differ")


@pytest.mark.slow
@pytest.mark.skipif(is_sanitized, reason="the fuzzer brings a sanitizer of its own")
@pytest.mark.parametrize("target", TARGETS)
def test_the_engine_runs(target, tmp_path):
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed (make fuzz installs it)")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", target, "--seconds", "2", "--directory", tmp_path],
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units" in done.stderr
    assert not list((tmp_path / "findings").iterdir())
