"""Tables in which there is nothing to do are not looked at again, until something has changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.ids import Position
from engine.persist import planner, rewriter
from engine.persist.planner import HOUR_NS
from engine.persist.settled_tables import SettledTables
from engine.persist.thread import PersistConfig
from engine.store.live_table import LiveTable
from tests.support.storage import Storage
from tests.unit.persist.test_planner import entry

FILES = (entry(1, 0), entry(2, HOUR_NS))
CUTS = (Position(3),)


def test_what_was_looked_at_is_settled_until_it_changes() -> None:
    settled, table = SettledTables(), LiveTable("m", Position(1))
    assert not settled.has(table, FILES, CUTS)
    settled.add(table, FILES, CUTS)
    assert settled.has(table, FILES, CUTS)
    # Equal ones, but not those that were looked at: comparing them would be a look at each.
    assert not settled.has(table, (*FILES,), CUTS)
    assert not settled.has(table, FILES, ())
    assert not settled.has(LiveTable("m", Position(1)), FILES, CUTS)


def test_one_file_alone_is_always_settled() -> None:
    settled, table = SettledTables(), LiveTable("m", Position(1))
    assert settled.has(table, (), CUTS)
    assert settled.has(table, FILES[:1], CUTS)


def test_a_look_for_less_settles_only_that() -> None:
    settled, table = SettledTables(), LiveTable("m", Position(1))
    settled.add(table, FILES, CUTS, in_full=False)
    assert settled.has(table, FILES, CUTS, in_full=False)
    assert not settled.has(table, FILES, CUTS)
    settled.add(table, FILES, CUTS)
    assert settled.has(table, FILES, CUTS, in_full=False)


def counting(looks: list[str], name: str, look: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **settings: Any) -> Any:
        looks.append(name)
        return look(*arguments, **settings)

    return counted


def test_each_table_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    merges = counting(looks, "merges", planner.next_compactions)
    monkeypatch.setattr(planner, "next_compactions", merges)
    rewrites = counting(looks, "rewrites", rewriter.next_rewrite)
    monkeypatch.setattr(rewriter, "next_rewrite", rewrites)
    storage = Storage(tmp_path, msgspec.structs.replace(PersistConfig(), log_bytes=1))
    storage.create_database()
    for month in range(2):
        storage.write(f"m f=1i {month * planner.DAY_NS * 30}")
        storage.persist_all()
    storage.persist.work()
    assert looks == ["merges", "rewrites"]
    storage.persist.work()
    assert looks == ["merges", "rewrites"]
    storage.write(f"m f=1i {planner.DAY_NS * 60}")
    storage.persist_all()
    storage.persist.work()
    assert looks == ["merges", "rewrites"] * 2
    storage.close()
