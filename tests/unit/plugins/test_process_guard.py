# Which process belongs to whom; real processes are in test_host.py.

import os
import subprocess
import sys

from engine.plugins.process_guard import Census, ProcessEntry, census, processes

ZYGOTE = 10
WORKER, OTHER = 20, 30
FAMILY = [
    ProcessEntry(ZYGOTE, 1, ZYGOTE),
    ProcessEntry(WORKER, ZYGOTE, WORKER),
    ProcessEntry(OTHER, ZYGOTE, OTHER),
]


def counted(*entries):
    return census([*FAMILY, *entries], ZYGOTE, [WORKER, OTHER])


def test_children_count_for_their_worker_however_deep():
    found = counted(ProcessEntry(21, WORKER, WORKER), ProcessEntry(22, 21, 22))
    assert found == Census({WORKER: 3, OTHER: 1}, [])


def test_orphans_in_the_session_of_a_worker_are_its_own():
    assert counted(ProcessEntry(21, ZYGOTE, WORKER)) == Census({WORKER: 2, OTHER: 1}, [])


def test_orphans_with_a_session_of_their_own_are_strays():
    found = counted(ProcessEntry(21, ZYGOTE, 21), ProcessEntry(22, 21, 21))
    assert found == Census({WORKER: 1, OTHER: 1}, [21])


def test_processes_of_others_are_left_alone():
    assert counted(ProcessEntry(40, 1, 40)) == Census({WORKER: 1, OTHER: 1}, [])


def test_living_processes_are_listed_and_dead_ones_are_not():
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        (entry,) = [entry for entry in processes() if entry.pid == child.pid]
        assert entry.parent == os.getpid()
        assert entry.session == os.getsid(0)
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.pid not in {entry.pid for entry in processes()}
