"""The retry policy."""

from engine.plugins.retry import RetryPolicy


def test_the_first_retry_is_at_once_then_waits_double_up_to_a_limit() -> None:
    policy = RetryPolicy(retries_max=6, first_wait_s=1, wait_s_max=5, jitter=0.5)
    assert [policy.wait_s(retry, 0.0) for retry in range(1, 8)] == [0, 1, 2, 4, 5, 5, None]
    assert policy.wait_s(3, 0.999) > 1.0
    assert policy.wait_s(3, 0.999) < 1.01
