"""Calls of the kernel that Python does not have."""

import errno
import os
import platform
import re
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import _kernel, turns
from engine.filesystem import FileSystem
from engine.turns import SHORT_TURN_NS, take_prompt_turns

LONG_NS = 60_000_000_000
SCHEDULING = Path("/proc/thread-self/sched")


def test_what_was_written_is_begun_with_and_stays_as_it_is(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(descriptor, b"x" * 10_000, 0)
        FileSystem().begin_sync(descriptor, 100, 5_000)
        assert os.pread(descriptor, 10_000, 0) == b"x" * 10_000
    finally:
        os.close(descriptor)


def test_a_file_that_cannot_be_begun_with_is_an_error() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="Illegal seek") as caught:
            _kernel.begin_writeback(writing, 0, 1)
        assert caught.value.errno == errno.ESPIPE
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("number", "is_told"),
    [
        (errno.ENOSYS, False),
        (errno.EINVAL, False),
        (errno.EPERM, False),
        (errno.EIO, True),
    ],
)
def test_a_file_system_without_it_begins_with_the_sync(
    number: int, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("engine.filesystem.begin_writeback", refuse)
    if is_told:
        with pytest.raises(OSError, match="Input/output error"):
            FileSystem().begin_sync(1, 0, 1)
    else:
        FileSystem().begin_sync(1, 0, 1)


def test_polling_ends_with_input_and_lets_other_threads_run() -> None:
    reading, writing = os.pipe()
    with select.epoll() as events:
        try:
            events.register(reading, select.EPOLLIN)
            started = time.monotonic()
            assert not _kernel.poll_busily(events.fileno(), 1_000_000)
            assert time.monotonic() - started >= 0.001
            # Who held the interpreter's lock would wait for the whole minute.
            writer = threading.Thread(target=os.write, args=(writing, b"x"))
            started = time.monotonic()
            writer.start()
            assert _kernel.poll_busily(events.fileno(), LONG_NS)
            assert time.monotonic() - started < LONG_NS / 1e9
            writer.join()
            assert _kernel.poll_busily(reading, 0)
        finally:
            os.close(reading)
            os.close(writing)


def turn_ns() -> int:
    """The turns of the calling thread."""
    found = re.search(r"^se\.slice\s*:\s*(\d+)", SCHEDULING.read_text(), re.M)
    assert found is not None
    return int(found[1])


def in_thread(what: Callable[[], None]) -> None:
    """Have a thread of its own do `what`; raise what that raises."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            what()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def needs_short_turns() -> None:
    release = tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])
    if release < (6, 12) or not SCHEDULING.exists() or "se.slice" not in SCHEDULING.read_text():
        pytest.skip("Linux 6.12 with /proc/thread-self/sched has turns that a thread chooses")
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        pytest.skip("threads with another policy have no such turns")


def test_a_prompt_thread_has_short_turns_and_gives_them_only_to_those_it_should() -> None:
    needs_short_turns()
    usual = turn_ns()
    assert usual != SHORT_TURN_NS
    found: list[int] = []

    def note() -> None:
        found.append(turn_ns())

    def work() -> None:
        niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        take_prompt_turns(is_for_children=True)
        note()
        in_thread(note)
        take_prompt_turns()
        note()
        in_thread(note)
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == niceness

    in_thread(work)
    assert found == [SHORT_TURN_NS, SHORT_TURN_NS, SHORT_TURN_NS, usual]
    assert turn_ns() == usual


def test_a_better_niceness_goes_on_to_threads_that_begin_later() -> None:
    needs_short_turns()
    found: list[int] = []

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -5)
        except PermissionError:
            pytest.skip("only the superuser may have a niceness below 0")
        take_prompt_turns()
        in_thread(lambda: found.append(niceness()))
        assert (niceness(), turn_ns()) == (-5, SHORT_TURN_NS)

    in_thread(work)
    assert found == [-5]


def test_where_the_kernel_forbids_it_all_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(slice_ns: int, *, is_for_children: bool) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(turns, "take_short_turns", refuse)
    with caplog.at_level("INFO"):
        take_prompt_turns()
    assert "Operation not permitted" in caplog.text
