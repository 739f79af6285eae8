"""When the log thread waits for company."""

import pytest

from engine.wal import gathering
from engine.wal.gathering import GATHER_BYTES_MAX, GROUPS_WITHOUT_WAIT, PATIENCE_S_MAX, Gathering


def test_it_waits_for_those_that_were_just_acknowledged() -> None:
    pace = Gathering()
    pace.committed(writers=5, waiting_writers=3, seconds=0.004)
    assert pace.patience(waiting_bytes=1000) == (8, 0.001)


def test_a_lone_writer_is_never_kept_waiting() -> None:
    pace = Gathering()
    pace.committed(writers=1, waiting_writers=0, seconds=0.004)
    wanted, _ = pace.patience(waiting_bytes=0)
    assert wanted == 1


def test_the_wait_is_a_part_of_a_commit_and_bounded() -> None:
    pace = Gathering()
    pace.committed(writers=5, waiting_writers=0, seconds=60.0)
    assert pace.patience(0) == (5, PATIENCE_S_MAX)
    pace.committed(writers=5, waiting_writers=0, seconds=0.0002)
    assert pace.patience(0)[1] == 0.0


def test_nothing_is_waited_for_before_the_first_commit_or_with_large_frames() -> None:
    pace = Gathering()
    assert pace.patience(100)[1] == 0.0
    pace.committed(writers=5, waiting_writers=2, seconds=0.004)
    assert pace.patience(GATHER_BYTES_MAX + 1)[1] == 0.0


@pytest.mark.parametrize("gained", [0, 1])
def test_a_wait_in_vain_is_not_repeated_at_once(gained: int) -> None:
    pace = Gathering()
    pace.committed(writers=5, waiting_writers=0, seconds=0.004)
    pace.waited(gained)
    waits = [pace.patience(0)[1] > 0 for _ in range(gathering.GROUPS_WITHOUT_WAIT + 1)]
    assert waits == [bool(gained)] * GROUPS_WITHOUT_WAIT + [True]
