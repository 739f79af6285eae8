"""The columns of an answer are told without looking for rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.persist.thread import PersistConfig
from engine.query import doubts, lookups, table_sources
from engine.query.slice_stream import SliceStream
from tests.support.storage import HandClock, Storage

SUM = "SELECT sum(f) AS f FROM m"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A file of which some rows are there again."""
    storage = Storage(tmp_path, PersistConfig(log_bytes=1, window_ns=1_000), clock=HandClock(1_000))
    storage.create_database()
    storage.write("\n".join(f"m,t=a f=1i {time}" for time in range(100)))
    storage.persist_all()
    storage.write("m,t=a f=2i 3\nm,t=a f=2i 33")
    yield storage
    storage.close()


def planned(storage: Storage) -> list[str]:
    answer = storage.executor.run("db", SUM, is_schema_only=True)
    assert answer.num_rows == 0
    names: list[str] = answer.column_names
    return names


def test_no_rows_are_looked_up(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    found = lookups._Search._found

    def noted(self: Any, *args: Any) -> Any:
        calls.append(args)
        return found(self, *args)

    monkeypatch.setattr(lookups, "EARLIER_ROWS_MIN", 0)
    monkeypatch.setattr(lookups._Search, "_found", noted)
    assert planned(storage) == ["f"]
    assert not calls
    assert storage.query(SUM) == [{"f": 102}]
    assert calls


def test_no_slices_are_begun(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[Any] = []

    def noted(*args: Any) -> SliceStream:
        streams.append(args)
        return SliceStream(*args)

    monkeypatch.setattr(doubts, "ROW_BYTES", 1 << 30)
    monkeypatch.setattr(table_sources, "SliceStream", noted)
    assert planned(storage) == ["f"]
    assert not streams
    assert storage.query(SUM) == [{"f": 102}]
    assert streams
