"""Log lines of plugins on the disk."""

import os
from pathlib import Path

import pytest

from engine.filesystem import FileSystem
from engine.plugins import log_files
from engine.plugins.log_files import LogFiles, LogRetention
from engine.plugins.plugin_log import LogEntry

DAY_NS = 86_400 * 10**9
# A file that the first version wrote. Never changed, only joined by others.
GOLDEN = (
    b'{"format":"headrace-plugin-log","version":1}\n'
    b'{"time_ns":5,"database":"db","trigger_name":"t","level":"WARN","text":"a \\"b\\"\\n\xc3\xa9"}\n'
)


class Clock:
    def __init__(self) -> None:
        self.now = 30 * DAY_NS

    def now_ns(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1e9


@pytest.fixture
def clock() -> Clock:
    return Clock()


def entry(number: int, text: str = "x") -> LogEntry:
    return LogEntry(30 * DAY_NS + number, "db", "t", "INFO", text)


def make(directory: Path, clock: Clock, **limits: float) -> LogFiles:
    return LogFiles(directory / "logs", FileSystem(), clock, LogRetention(**limits))


def written(files: LogFiles, entries: list[LogEntry]) -> None:
    files.start()
    for one in entries:
        files.add(one)
    files.stop()


def test_lines_are_read_back_in_order_over_restarts(tmp_path, clock):
    lines = [entry(number, f"line {number}\nof two, ü, \x00") for number in range(20)]
    for start in (0, 10):
        files = make(tmp_path, clock)
        assert list(files.load()) == lines[:start]
        written(files, lines[start : start + 10])
    assert list(make(tmp_path, clock).load()) == lines


def test_the_format_is_that_of_the_first_version(tmp_path, clock):
    clock.now = 10
    golden = LogEntry(5, "db", "t", "WARN", 'a "b"\né')
    written(make(tmp_path, clock), [golden])
    (path,) = (tmp_path / "logs").iterdir()
    assert path.read_bytes() == GOLDEN
    assert list(make(tmp_path, clock).load()) == [golden]


def test_a_line_that_a_crash_cut_is_left_out(tmp_path, clock, caplog):
    written(make(tmp_path, clock), [entry(1), entry(2)])
    (path,) = (tmp_path / "logs").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    files = make(tmp_path, clock)
    assert list(files.load()) == [entry(1)]
    assert "not read to its end" in caplog.text
    written(files, [entry(3)])
    assert list(make(tmp_path, clock).load()) == [entry(1), entry(3)]


def test_a_file_of_a_later_version_is_left_alone(tmp_path, clock, caplog):
    written(make(tmp_path, clock), [entry(1)])
    (path,) = (tmp_path / "logs").iterdir()
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    assert list(make(tmp_path, clock).load()) == []
    assert "of another version" in caplog.text


def test_old_lines_go_by_age_and_by_size(tmp_path, clock):
    files = make(tmp_path, clock, age_s=86_400.0)
    written(files, [entry(1)])
    clock.now += 2 * DAY_NS
    fresh = LogEntry(clock.now, "db", "t", "INFO", "fresh")
    (path,) = (tmp_path / "logs").iterdir()
    os.utime(path, (30 * 86_400, 30 * 86_400))
    files = make(tmp_path, clock, age_s=86_400.0)
    assert list(files.load()) == []
    written(files, [fresh])
    assert list(make(tmp_path, clock, age_s=86_400.0).load()) == [fresh]
    assert not path.exists()


def test_the_files_together_stay_within_their_size(tmp_path, clock):
    limit = 512 * 1024
    files = make(tmp_path, clock, size_bytes_max=limit)
    files.start()
    for number in range(2000):
        files.add(entry(number, "x" * 1000))
        if number % 50 == 0:
            files.stop()
            files.start()
    files.stop()
    sizes = [path.stat().st_size for path in (tmp_path / "logs").iterdir()]
    # What came in one piece may exceed a file.
    assert limit // 2 < sum(sizes) <= limit + 60_000
    kept = list(make(tmp_path, clock, size_bytes_max=limit).load())
    assert kept == [entry(number, "x" * 1000) for number in range(2000)][-len(kept) :]


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path, clock, caplog, monkeypatch):
    files = make(tmp_path, clock)

    def full(self, descriptor, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FileSystem, "append", full)
        written(files, [entry(1), entry(2)])
    assert caplog.text.count("plugin log lines not written") == 1
    written(files, [entry(3)])
    assert list(make(tmp_path, clock).load()) == [entry(3)]


def test_lines_that_the_disk_cannot_take_do_not_fill_the_memory(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(log_files, "_WAITING_MAX", 10)
    files = make(tmp_path, clock)
    for number in range(100):
        files.add(entry(number))
    files.start()
    files.stop()
    assert len(list(make(tmp_path, clock).load())) <= 10
