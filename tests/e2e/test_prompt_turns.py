"""A server on busy cores, and one that stays awake for the next write."""

import os
import platform
import re
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine.turns import SHORT_TURN_NS
from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

# What the worker itself has, and what a process has that it starts.
TELL = """
import json, subprocess, sys
from pathlib import Path

LOOK = "from pathlib import Path; print(Path('/proc/thread-self/sched').read_text())"

def process_request(api, query, headers, body, args):
    child = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True)
    return {"worker": Path("/proc/thread-self/sched").read_text(), "child": child.stdout}
"""


def turn_ns(text: str) -> int:
    found = re.search(r"^se\.slice\s*:\s*(\d+)", text, re.M)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("niceness", [0, -5])
def test_threads_that_clients_wait_for_have_short_turns_and_plugins_do_not(
    make_server: Callable[..., ServerProcess], niceness: int, tmp_path: Path
) -> None:
    own = Path("/proc/thread-self/sched")
    release = tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])
    if release < (6, 12) or not own.exists() or "se.slice" not in own.read_text():
        pytest.skip("Linux 6.12 with /proc/thread-self/sched has turns that a thread chooses")
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        pytest.skip("threads with another policy have no such turns")
    # Two ways in, of which each has threads of its own.
    server = make_server("--http-socket", str(tmp_path / "socket"))
    try:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    except PermissionError:
        pytest.skip("only the superuser may have a niceness below 0")
    try:
        server.start()
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    server.plugin("tell.py", TELL)
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "t", "request:tell", "tell.py").status == 200
    assert server.write("db", "m f=1i 1", precision="ns").status == 204
    assert server.process is not None
    # What workers come from was there before the loop had short turns; what comes after it was not.
    for zygote in psutil.Process(server.process.pid).children():
        zygote.kill()
    answer = wait_for_answer(server)
    for whose in ("worker", "child"):
        assert turn_ns(answer[whose]) != SHORT_TURN_NS

    threads = Path(f"/proc/{server.process.pid}/task")
    before = set(threads.iterdir())
    assert server.query("db", "SELECT count(*) AS n FROM m") == [{"n": 1}]
    turns = {one: turn_ns((one / "sched").read_text()) for one in threads.iterdir()}
    prompt = {one for one, turn in turns.items() if turn == SHORT_TURN_NS}
    # The event loop, and those of granian that hand requests to it and its answers to clients.
    assert threads / str(server.process.pid) in prompt
    names = [(one / "comm").read_text().strip() for one in prompt]
    assert names.count("tokio-rt-worker") == 2
    if niceness == 0:
        # Those that run queries are nobody's to wait for in turn.
        assert not prompt - before


def wait_for_answer(server: ServerProcess) -> dict[str, str]:
    """What the plugin tells, once workers can be had again."""
    answers: list[dict[str, str]] = []

    def is_told() -> bool:
        answer = server.request("GET", "/api/v3/engine/tell")
        if answer.status == 200:
            answers.append(answer.json())
        return bool(answers)

    wait_for(is_told, "a worker of the new zygote answers")
    return answers[0]


@pytest.mark.parametrize("us_max", ["0", "300", "10000"])
def test_writes_one_upon_the_other_are_all_stored(
    make_server: Callable[..., ServerProcess], us_max: str
) -> None:
    server = make_server("--http-busy-poll-us", us_max).start()
    for number in range(100):
        assert server.write("db", f"m f={number}i {number}", precision="ns").status == 204
        if number % 10 == 0:
            (row,) = server.query("db", "SELECT count(*) AS n, max(f) AS last FROM m")
            assert row == {"n": number + 1, "last": number}
