# Owns what threads that clients wait for ask of the kernel's scheduler: they have little to do, but
# a client waits for each of four threads in turn. Imports nothing heavy.
"""Turns of threads on busy cores."""

import logging

from engine._kernel import take_short_turns

logger = logging.getLogger(__name__)

# The shortest that Linux gives. A thread with short turns is served as soon as it wakes up, before
# those in the midst of a long one (3 ms): without this each hand-over from thread to thread waits
# for that where others compute on all cores.
SHORT_TURN_NS = 100_000


def take_prompt_turns(*, is_for_children: bool = False) -> None:
    """Have the calling thread served promptly, and with `is_for_children` those that it starts.

    Without that those have the kernel's own turns, unless the niceness is below 0; to be taken
    back it would need a right of the superuser, so a thread says once what its children get.
    """
    _take(SHORT_TURN_NS, is_for_children=is_for_children)


def take_usual_turns() -> None:
    """Have the calling thread, and what it starts, served as the kernel does by itself."""
    _take(0, is_for_children=True)


def _take(turn_ns: int, *, is_for_children: bool) -> None:
    try:
        take_short_turns(turn_ns, is_for_children=is_for_children)
    except OSError as error:
        # A sandbox may forbid it; all goes on, only later on a busy machine.
        logger.info("the kernel does not let turns be chosen: %s", error)
