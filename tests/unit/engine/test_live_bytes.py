"""Bytes of rows that are in no file yet, and what happens when they are too many."""

from pathlib import Path

import pytest

from engine.errors import BackPressureError
from engine.ids import Position
from engine.ingest.live_limit import LiveLimit
from engine.store.live_bytes import LiveBytes
from tests.support.storage import Storage
from tests.unit.persist.test_storage import cpu, make


def test_bytes_go_when_all_of_their_chunk_is_in_files() -> None:
    live = LiveBytes()
    for position in range(1, 11):
        live.add(Position(position), 300_000)
    assert live.total == 3_000_000
    # Four frames fill a chunk.
    live.drop(Position(3))
    assert live.total == 3_000_000
    live.drop(Position(4))
    assert live.total == 1_800_000
    live.drop(Position(10))
    assert live.total == 0


def test_a_storage_counts_what_is_not_in_files_also_after_a_restart(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    held = storage.state.live_bytes.total
    assert held > 0
    storage.persist.checkpointer.write()
    again: Storage = storage.restart()
    assert again.state.live_bytes.total == held
    again.persist_all()
    assert again.state.live_bytes.total < held


def test_rows_are_refused_while_too_many_wait_for_files() -> None:
    live = LiveBytes()
    limit = LiveLimit(live, 1000)
    live.add(Position(1), 1000)
    limit.check()
    live.add(Position(2), 1)
    with pytest.raises(BackPressureError, match="1001 bytes") as caught:
        limit.check()
    assert caught.value.retry_after_s > 0
    live.drop(Position(2))
    limit.check()
