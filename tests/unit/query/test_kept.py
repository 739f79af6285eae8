from pathlib import Path

from engine.query.kept import IDLE_S, Kept


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 30)
    for number in (1, 2, 3):
        kept.put(("f", number), number, 10)
    assert kept.get(("f", 1)) == 1
    kept.put(("f", 4), 4, 10)
    assert [number for number in (1, 2, 3, 4) if ("f", number) in kept] == [1, 3, 4]
    assert kept.size_bytes == 30
    kept.put(("f", 5), 5, 40)
    assert kept.size_bytes == 0


def test_room_is_made_of_what_was_not_used_for_long(tmp_path: Path) -> None:
    now_s = 0.0
    kept = Kept(tmp_path, 30, lambda: now_s)
    kept.put(("f", 1), 1, 10)
    kept.put(("f", 2), 2, 10)
    now_s = IDLE_S
    assert kept.get(("f", 1)) == 1
    assert kept.has_room(10)
    assert kept.size_bytes == 20
    assert kept.has_room(20)
    assert ("f", 2) not in kept
    assert not kept.has_room(21)
    assert not Kept(tmp_path, 0).has_room(1)


def test_entries_go_with_their_file(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 30)
    (tmp_path / "here").touch()
    kept.put(("here", 1), 1, 10)
    kept.put(("gone", 1), 1, 10)
    kept.forget_removed()
    assert ("here", 1) in kept
    assert ("gone", 1) not in kept
    assert kept.size_bytes == 10
