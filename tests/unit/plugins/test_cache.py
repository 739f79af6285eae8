# Expiring storage and the cache object of plugins, on a clock that the tests move.

import math

import pytest

from engine.plugins.cache import SWEEP_INTERVAL_S, CacheFullError, ExpiringStore, PluginCache
from engine.plugins.channel import ScheduleRun


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Shared:
    """The global cache without a channel in between."""

    def __init__(self, store):
        self.store = store

    def cache_get(self, key):
        return self.store.get(key)

    def cache_put(self, key, value, ttl_s):
        self.store.put(key, value, ttl_s)

    def cache_delete(self, key):
        return self.store.delete(key)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock):
    return PluginCache(ExpiringStore(clock), Shared(ExpiringStore(clock)))


def test_a_local_value_is_the_object_itself_and_a_global_one_a_copy(cache):
    value = ["live"]
    cache.put("k", value)
    cache.put("k", value, use_global=True)
    value.append("changed")
    assert cache.get("k") is value
    assert cache.get("k", use_global=True) == ["live"]


def test_a_value_expires_at_its_time_to_live(cache, clock):
    cache.put("k", 1, 2.5)
    clock.now += 2.4
    assert cache.get("k") == 1
    clock.now += 0.1
    assert cache.get("k", "default") == "default"
    assert cache.delete("k") is False


def test_a_zero_time_to_live_expires_at_once(cache):
    cache.put("k", 1, ttl=0)
    assert cache.get("k") is None


def test_a_second_put_replaces_the_time_to_live(cache, clock):
    cache.put("k", 1, 1)
    cache.put("k", 2)
    clock.now += 1e6
    assert cache.get("k") == 2


def test_delete_tells_whether_a_value_was_there(cache):
    cache.put("k", None)
    assert cache.delete("k") is True
    assert cache.delete("k") is False
    assert cache.delete("k", use_global=True) is False


def test_expired_values_are_swept_without_being_asked_for(clock):
    store = ExpiringStore(clock)
    store.put("old", 1, 1)
    clock.now += SWEEP_INTERVAL_S
    store.put("new", 1, None)
    assert len(store) == 1


@pytest.mark.parametrize("ttl", [-1, math.nan, math.inf, 1e12])
def test_impossible_times_to_live_are_refused(cache, ttl):
    with pytest.raises(ValueError, match="cache ttl"):
        cache.put("k", 1, ttl)


@pytest.mark.parametrize("ttl", ["1", True, b"1"])
def test_a_time_to_live_must_be_a_number(cache, ttl):
    with pytest.raises(TypeError, match="cache ttl"):
        cache.put("k", 1, ttl)


def test_a_key_must_be_text(cache):
    for call in (cache.get, cache.delete, lambda key: cache.put(key, 1)):
        with pytest.raises(TypeError, match="cache key must be a str, not int"):
            call(1)


def test_a_global_value_that_cannot_be_copied_is_refused_with_the_reason(cache):
    with pytest.raises(TypeError, match="'k' cannot go to the global cache"):
        cache.put("k", (line for line in ()), use_global=True)


def test_a_global_value_of_an_unknown_class_is_explained(cache):
    cache._global.cache_put("k", b"cno_such_module\nThing\n.", None)
    with pytest.raises(TypeError, match="cannot be rebuilt in this trigger"):
        cache.get("k", use_global=True)


def test_a_bounded_store_refuses_what_has_no_room_and_counts_what_goes(clock):
    store = ExpiringStore(clock, size_of=len, size_max=2000)
    store.put("a", b"x" * 1000, 1)
    with pytest.raises(CacheFullError, match="at most 2000"):
        store.put("b", b"x" * 1000, None)
    store.put("a", b"y" * 1700, 1)
    with pytest.raises(CacheFullError):
        store.put("a", b"z" * 1900, 1)
    assert store.get("a") == (True, b"y" * 1700)
    assert store.delete("a")
    store.put("b", b"x" * 1700, 1)
    clock.now += SWEEP_INTERVAL_S
    store.put("c", b"x" * 1700, 1)
    clock.now += 1
    assert store.get("c") == (False, None)
    store.put("d", b"x" * 1700, None)
    assert len(store) == 1


def test_the_global_cache_is_shared_among_triggers_of_equal_rights_alone(with_bench):
    """Its values are pickles: who reads one runs what its writer made it say."""

    async def body(bench):
        path = bench.plugin("""
        def process_scheduled_call(api, time, args):
            api.info(api.cache.get("k", "nothing", use_global=True))
            api.info(api.cache.delete("other", use_global=True))
            api.cache.put("k", args["value"], use_global=True)
            api.cache.put("other", 1, use_global=True)
        """)

        async def seen(name, **settings):
            bench.services.logs.clear()
            outcome = await bench.worker(
                path, name=name, arguments={"value": name}, **settings
            ).run(ScheduleRun(time_ns=0))
            assert outcome.ok, outcome
            return [text for _, text in bench.services.logs]

        assert await seen("narrow", permissions=("db:db:read",)) == ["nothing", "False"]
        assert await seen("free") == ["nothing", "False"]
        assert await seen("other", permissions=("db:db:write",)) == ["nothing", "False"]
        assert await seen("equal", permissions=("db:db:read",)) == ["narrow", "True"]
        assert await seen("free") == ["free", "True"]

    with_bench(body)
