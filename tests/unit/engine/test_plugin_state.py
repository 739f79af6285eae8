"""State and dead letters as the log's records make them."""

from engine.ids import Position, TriggerId
from engine.store.dead_letters import DeadLetterTable
from engine.store.plugin_state import StateReads, StateTable
from engine.store.run_records import ParkedRows, Retry

ONE, TWO = TriggerId(1), TriggerId(2)


def test_changes_replace_and_delete_and_are_counted() -> None:
    table = StateTable()
    table.apply(ONE, [("a", b"123"), ("ab", b"1"), ("b", b"")], Position(5))
    state = table.get(ONE)
    assert state.items("a") == [("a", b"123"), ("ab", b"1")]
    assert state.size_bytes == 4 + 3 + 1
    assert state.size_after([("a", b"1"), ("b", None), ("c", b"22")]) == 2 + 3 + 3
    table.apply(ONE, [("a", None), ("a", b"9")], Position(6))
    assert state.get("a") == (b"9", 6)
    assert state.size_bytes == 2 + 3 + 1
    assert table.get(TWO).get("a") == (None, 0)
    table.end(ONE)
    assert table.get(ONE).items("") == []


def test_a_run_is_told_that_somebody_changed_what_it_read() -> None:
    table = StateTable()
    table.apply(ONE, [("a", b"1")], Position(5))
    state = table.get(ONE)
    reads = StateReads(keys=[("a", 5), ("absent", 0)], all=5)
    assert not state.is_changed_since(reads)
    table.apply(ONE, [("other", b"1")], Position(6))
    assert state.is_changed_since(reads)
    assert not state.is_changed_since(StateReads(keys=reads.keys))
    table.apply(ONE, [("absent", b"1")], Position(7))
    assert state.is_changed_since(StateReads(keys=[("absent", 0)]))
    table.apply(ONE, [("a", None)], Position(8))
    assert state.is_changed_since(StateReads(keys=[("a", 5)]))


def parked(rows: int, size: int = 10) -> ParkedRows:
    return ParkedRows(batch_id="b", num_rows=rows, rows=bytes(size), error="E", tries=2)


def test_letters_come_go_and_are_noted() -> None:
    table = DeadLetterTable()
    table.park(ONE, [parked(1), parked(2)], Position(7))
    table.park(ONE, [parked(4)], Position(9))
    assert [letter.id for letter in table.of(ONE)] == ["7-0", "7-1", "9-0"]
    assert table.num_rows(ONE) == 7
    size = table.size_bytes(ONE)
    table.retried(
        ONE, [Retry(id="7-1", error="EE", traceback="T", time_ns=3), Retry(id="0-0", error="")]
    )
    letter = table.get(ONE, "7-1")
    assert letter is not None
    assert (letter.parked.tries, letter.parked.error, letter.parked.time_ns) == (3, "EE", 3)
    assert table.size_bytes(ONE) == size + 2
    table.unpark(ONE, ["7-0", "7-0", "9-0", "7-1"])
    assert table.of(ONE) == []
    assert table.size_bytes(ONE) == 0
    assert table.of(TWO) == []
