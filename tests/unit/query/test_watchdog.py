import threading

import pytest

from engine.query.watchdog import RunningQuery, StopReason, Watchdog

WAIT_S = 10


@pytest.fixture
def watchdog():
    watchdog = Watchdog()
    yield watchdog
    watchdog.close()


class Target:
    """Counts interrupts and tells when enough came."""

    def __init__(self, wanted=1):
        self.count = 0
        self._wanted = wanted
        self.reached = threading.Event()

    def interrupt(self):
        self.count += 1
        if self.count >= self._wanted:
            self.reached.set()


def test_a_query_is_interrupted_again_until_it_has_finished(watchdog):
    target = Target(wanted=3)
    query = RunningQuery(target.interrupt, watchdog)
    watchdog.watch(query, 0.001, StopReason.TIMEOUT)
    assert target.reached.wait(WAIT_S)
    assert query.reason is StopReason.TIMEOUT
    query.finish()
    assert query.stop(StopReason.TIMEOUT) is False


def test_a_finished_query_is_left_alone(watchdog):
    target, other = Target(), Target()
    finished = RunningQuery(target.interrupt, watchdog)
    finished.finish()
    finished.cancel()
    later = RunningQuery(other.interrupt, watchdog)
    later.cancel()
    assert other.reached.wait(WAIT_S)
    later.finish()
    assert (target.count, finished.reason) == (0, None)


def test_the_first_reason_counts(watchdog):
    query = RunningQuery(lambda: None, watchdog)
    query.stop(StopReason.CANCELLED)
    query.stop(StopReason.TIMEOUT)
    assert query.reason is StopReason.CANCELLED
    query.finish()


def test_an_earlier_deadline_overtakes_a_later_one(watchdog):
    target = Target()
    slow = RunningQuery(lambda: None, watchdog)
    watchdog.watch(slow, 3600, StopReason.TIMEOUT)
    fast = RunningQuery(target.interrupt, watchdog)
    watchdog.watch(fast, 0.001, StopReason.TIMEOUT)
    assert target.reached.wait(WAIT_S)
    fast.finish()
    slow.finish()


def test_closing_stops_what_is_under_way():
    watchdog = Watchdog()
    query = RunningQuery(lambda: None, watchdog)
    watchdog.watch(query, 3600, StopReason.TIMEOUT)
    watchdog.close()
    assert query.reason is StopReason.CANCELLED
