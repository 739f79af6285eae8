"""The search for bad rows: every row is processed or parked once, from first to last."""

from hypothesis import given
from hypothesis import strategies as st

from engine.plugins.bisection import Bisection, BisectionPolicy, RowRange


def searched(
    total: int, bad: set[int], *, tries: int = 6, start: int = 0, **limits: float
) -> tuple[list[int], list[RowRange], Bisection]:
    search = Bisection(RowRange(start, total, tries), BisectionPolicy(**limits), lambda: 0.0)
    processed: list[int] = []
    parked: list[RowRange] = []
    done = start
    while (rows := search.current) is not None:
        assert rows.start == done, "rows are finished from first to last"
        if bad.isdisjoint(range(rows.start, rows.end)):
            search.succeeded()
            processed += range(rows.start, rows.end)
            done = rows.end
        elif (given_up := search.failed()) is not None:
            parked.append(given_up)
            done = given_up.end
    assert done == total
    return processed, parked, search


@given(
    total=st.integers(0, 300),
    bad=st.sets(st.integers(0, 299), max_size=8),
    start=st.integers(0, 300),
    tries=st.integers(0, 3),
)
def test_bad_rows_stand_alone_and_the_others_are_processed(
    total: int, bad: set[int], start: int, tries: int
) -> None:
    start = min(start, total)
    processed, parked, _ = searched(total, bad, start=start, tries=tries)
    wanted = set(range(start, total))
    assert processed == sorted(wanted - bad) or (tries and total - start == 1)
    assert [(rows.start, rows.end) for rows in parked] == [
        (row, row + 1) for row in sorted(bad & wanted)
    ]


def test_one_row_of_a_million_takes_some_forty_runs() -> None:
    _, parked, search = searched(1_000_000, {777_777})
    assert [(rows.start, rows.end) for rows in parked] == [(777_777, 777_778)]
    assert parked[0].tries >= 6 + 19
    assert search.runs <= 40


def test_a_batch_that_is_all_bad_is_parked_in_pieces() -> None:
    _, parked, search = searched(100_000, set(range(100_000)), bad_in_a_row_max=50)
    assert search.runs <= 2 * 50 + 2 * 17
    assert sum(rows.end - rows.start for rows in parked) == 100_000
    assert [rows.end - rows.start for rows in parked[:50]] == [1] * 50
    assert parked[-1].end - parked[-1].start > 10_000


def test_any_number_of_bad_rows_among_good_ones_is_found() -> None:
    bad = set(range(0, 20_000, 7))
    processed, parked, _ = searched(20_000, bad, bad_in_a_row_max=50)
    assert len(processed) == 20_000 - len(bad)
    assert len(parked) == len(bad)


def test_the_search_goes_on_behind_a_stretch_of_bad_rows() -> None:
    bad = {*range(1024), 3000}
    processed, parked, _ = searched(4096, bad, bad_in_a_row_max=10)
    assert len(processed) >= 4096 - 1024 - 1 - 600
    assert (3000, 3001) in [(rows.start, rows.end) for rows in parked]


def test_the_search_ends_with_its_time() -> None:
    now = [0.0]
    search = Bisection(RowRange(0, 8, 1), BisectionPolicy(seconds_max=5.0), lambda: now[0])
    assert search.failed() is None
    now[0] = 5.0
    assert search.failed() == RowRange(0, 2, 3)
    assert search.failed() == RowRange(2, 4, 3)
    assert search.failed() == RowRange(4, 8, 2)
    assert search.current is None
