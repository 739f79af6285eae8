# Owns how the scripts of this folder measure: contenders of one race take turns, so that whatever else
# the machine does meanwhile hits all of them; and the line that says on what machine that was.
"""Interleaved measurements."""

import gc
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# A sample is at least this long, so that the clock and the call of the contender do not count.
SAMPLE_SECONDS_MIN = 0.002


@dataclass(frozen=True)
class Times:
    """Seconds per call, over all samples of a contender."""

    best: float
    median: float


def race(contenders, repeats):
    """Time each of the callables `repeats` times in turns; returns Times by name."""
    numbers = {}
    for name, call in contenders.items():
        call()
        numbers[name] = max(1, int(SAMPLE_SECONDS_MIN / max(_sample(call, 1), 1e-9)))
    samples = {name: [] for name in contenders}
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            for name, call in contenders.items():
                samples[name].append(_sample(call, numbers[name]))
    finally:
        gc.enable()
    return {name: Times(min(own), statistics.median(own)) for name, own in samples.items()}


def _sample(call, number):
    started = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - started) / number


def machine():
    """Hardware, versions, commit and command, one per line."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return "\n".join(
        [
            f"hardware  {model}, {os.cpu_count()} cores, load before the run {load}",
            f"system    {platform.system()} {platform.release()}, {_first_line('gcc', '--version')}",
            f"python    {platform.python_version()}",
            f"commit    {_commit()}",
            f"command   {' '.join(['python', *sys.orig_argv[1:]])}",
        ]
    )


def _commit():
    commit = _first_line("git", "rev-parse", "--short=12", "HEAD")
    changed = _first_line("git", "status", "--porcelain", "--untracked-files=no")
    return f"{commit} with changes" if changed else commit


def _first_line(*command):
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        )
    except (OSError, subprocess.CalledProcessError):
        return f"({command[0]} tells nothing)"
    return result.stdout.partition("\n")[0]
