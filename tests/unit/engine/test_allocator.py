"""What is asked of the C library's allocator."""

import ctypes
from types import SimpleNamespace

import pytest

from engine import allocator


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What a C library in place of this machine's is told."""
    made: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda what, value: made.append((what, value)))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    for name in allocator._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return made


def test_memory_of_bodies_is_kept(calls: list[tuple[int, int]]) -> None:
    allocator.keep_memory()
    assert calls == [(-1, allocator.KEPT_BYTES_MAX), (-3, allocator.MAPPED_BYTES_MIN)]


@pytest.mark.parametrize("name", allocator._VARIABLES)
def test_who_has_set_it_otherwise_is_obeyed(
    name: str, calls: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    allocator.keep_memory()
    assert calls == []


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    allocator.keep_memory()
