"""Which writers should be back after their answer."""

import pytest

from engine.ingest import regulars as module
from engine.ingest.regulars import BACK_AFTER_S_MAX, Regulars

ONE, OTHER = ("127.0.0.1", 1), ("127.0.0.1", 2)


def test_a_new_connection_is_not_expected_back() -> None:
    regulars = Regulars()
    regulars.answered(ONE, 10.0)
    assert regulars.has(ONE, 10.0)
    assert not regulars.has(OTHER, 10.0)


def test_who_takes_a_while_is_not_expected_back_and_who_hurries_again_is() -> None:
    regulars = Regulars()
    regulars.answered(ONE, 10.0)
    assert regulars.has(ONE, 10.0 + BACK_AFTER_S_MAX / 2)
    assert not regulars.has(ONE, 10.0 + BACK_AFTER_S_MAX * 1.1)
    regulars.answered(ONE, 11.0)
    assert regulars.has(ONE, 11.0)


def test_who_cannot_be_told_from_others_is_expected_back() -> None:
    regulars = Regulars()
    regulars.answered(None, 10.0)
    assert regulars.has(None, 1000.0)


def test_connections_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 10)
    regulars = Regulars()
    for port in range(100):
        regulars.answered(("127.0.0.1", port), float(port))
        assert len(regulars._answered) <= 10
        assert regulars.has(("127.0.0.1", port), float(port))


def test_too_many_at_once_are_forgotten_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 10)
    regulars = Regulars()
    for port in range(100):
        regulars.answered(("127.0.0.1", port), 10.0)
        assert len(regulars._answered) <= 10
