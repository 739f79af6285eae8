# Owns the bounds of plugin processes that the kernel's limits for one process do not give: how much
# of the processor they may claim against the server, how many there may be below one worker, and
# that none of them outlives it. Runs in the zygote, which is the parent of whatever loses its own.
"""Bounds on the processes of plugins."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

# So many processes and threads more on the whole machine are reason to look who started them.
_GROWTH_MAX = 32


def yield_to_server(nice: int) -> None:
    """Let the server go first where processor time is short; for a process with its own session.

    Args:
        nice: 0 for equal rights, up to 19.
    """
    # In place of what the server was started with: to real-time priority nice means nothing. Of the
    # ordinary policies, batch does not take the processor from who has it, at a wake-up.
    # A sandbox that refuses knows one policy alone, the ordinary one.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH if nice else os.SCHED_OTHER, os.sched_param(0))
    os.nice(nice)
    try:
        # Where the kernel shares time out by sessions, the weight of the session counts: then it
        # is the same for a plugin with one process and for one with hundreds.
        Path("/proc/self/autogroup").write_text(str(nice))
    except OSError:
        return  # this kernel shares it out by processes, and knows already


class ProcessEntry(msgspec.Struct, frozen=True):
    """One living process."""

    pid: int
    parent: int
    session: int


def processes() -> list[ProcessEntry]:
    """All living processes; those that end meanwhile may be missing."""
    found = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdecimal():
            continue
        try:
            stat = (directory / "stat").read_bytes()
        except OSError:
            continue  # it has ended
        # pid (name) state ppid pgrp session …: the name may hold spaces and parentheses.
        fields = stat[stat.rindex(b")") + 2 :].split(maxsplit=4)
        if fields[0] not in b"ZX":
            found.append(ProcessEntry(int(directory.name), int(fields[1]), int(fields[3])))
    return found


class Census(msgspec.Struct, frozen=True):
    """Whose processes there are.

    Attributes:
        counts: Per worker, processes below it or in its session, itself included.
        strays: Children of the zygote that belong to no worker: what dead ones have left, and what
            has cut itself off from a living one. Their own children follow when they are gone.
    """

    counts: dict[int, int]
    strays: list[int]


def census(entries: Iterable[ProcessEntry], zygote: int, workers: Iterable[int]) -> Census:
    """Assign processes to workers."""
    known = {entry.pid: entry for entry in entries}
    counts = dict.fromkeys(workers, 0)
    for entry in known.values():
        above: ProcessEntry | None = entry
        while above is not None and above.pid not in counts and above.session not in counts:
            above = known.get(above.parent)
        if above is not None:
            counts[above.pid if above.pid in counts else above.session] += 1
    strays = [
        entry.pid
        for entry in known.values()
        if entry.parent == zygote and entry.pid not in counts and entry.session not in counts
    ]
    return Census(counts, strays)


class GrowthGauge:
    """Tells cheaply when it is worth while to count."""

    def __init__(self) -> None:
        self._seen = _tasks()

    def has_grown(self) -> bool:
        """Whether there are a good many tasks more on the machine than at the last count."""
        tasks = _tasks()
        if tasks - self._seen > _GROWTH_MAX:
            self._seen = tasks
            return True
        self._seen = min(self._seen, tasks)
        return False


def _tasks() -> int:
    # "0.20 0.18 0.12 1/80 11206": the fourth is running/existing.
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
