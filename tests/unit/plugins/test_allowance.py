# A clock that stands still until told otherwise.

from engine.plugins.allowance import Allowance


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def test_a_burst_is_there_at_once_and_comes_back_with_time():
    clock = Clock()
    allowance = Allowance(10, 2, clock)
    assert allowance.take(10)
    assert not allowance.take(1)
    clock.now_s += 1
    assert not allowance.take(3)
    assert allowance.take(2)
    clock.now_s += 1000
    assert not allowance.take(11)
    assert allowance.take(10)


def test_a_debt_tells_how_long_to_wait():
    clock = Clock()
    allowance = Allowance(10, 2, clock)
    assert allowance.owe(10) == 0.0
    assert allowance.owe(4) == 2.0
    clock.now_s += 2
    assert allowance.owe(1) == 0.5
