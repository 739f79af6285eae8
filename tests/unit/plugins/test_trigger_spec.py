# Trigger specifications: every accepted spelling, every refusal, and the times of ticks.

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TriggerSpecError
from engine.plugins.trigger_spec import (
    ACCEPTED_BEFORE,
    EVERY_NS_MAX,
    EVERY_NS_MIN,
    AllTables,
    Cron,
    Every,
    Request,
    Table,
    TriggerSpec,
    format_duration,
    next_time,
    parse,
)

SECOND = 1_000_000_000
NOW = int(datetime(2026, 1, 15, 10, 30, 20, tzinfo=UTC).timestamp()) * SECOND + 5


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("text", "spec", "canonical"),
    [
        ("all_tables", AllTables(), "all_tables"),
        (" all-tables ", AllTables(), "all_tables"),
        ("table:cpu", Table("cpu"), "table:cpu"),
        ("table: a b:c ", Table("a b:c"), "table:a b:c"),
        ("cron:*/5  * * * *", Cron("*/5 * * * *"), "cron:*/5 * * * *"),
        ("schedule:0 0 8 * * Mon-Fri", Cron("0 0 8 * * Mon-Fri"), "cron:0 0 8 * * Mon-Fri"),
        ("cron:0 0 0 1 1 ? 2030", Cron("0 0 0 1 1 ? 2030"), "cron:0 0 0 1 1 ? 2030"),
        ("cron:@Hourly", Cron("@hourly"), "cron:@hourly"),
        ("every:10s", Every(10 * SECOND), "every:10s"),
        ("every:1h 30m", Every(5400 * SECOND), "every:1h 30m"),
        ("every:90min", Every(5400 * SECOND), "every:1h 30m"),
        ("every:1hour30minutes", Every(5400 * SECOND), "every:1h 30m"),
        ("every:1d", Every(86_400 * SECOND), "every:1day"),
        ("every:2 weeks", Every(14 * 86_400 * SECOND), "every:14days"),
        ("every:1M", Every(2_630_016 * SECOND), "every:1month"),
        ("every:1500us", Every(1_500_000), "every:1ms 500us"),
        ("every:1y", Every(EVERY_NS_MAX), "every:1year"),
        ("request:my-plugin", Request("my-plugin"), "request:my-plugin"),
        ("request:/a/b", Request("a/b"), "request:a/b"),
    ],
)
def test_every_spelling_is_understood_and_has_one_canonical_text(text, spec, canonical):
    assert parse(text, now_ns=NOW) == spec
    assert spec.canonical() == canonical
    assert parse(canonical, now_ns=NOW) == spec


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("", "unknown form"),
        ("All_Tables", "unknown form"),
        ("weekly:1", "unknown form"),
        ("table:", "table name is empty"),
        ("request: ", "request path is empty"),
        ("request:/", "request path is empty"),
        ("request:a?b=1", "contains a space"),
        ("request:a/../b", "segment"),
        ("every:", "couldn't parse to duration"),
        ("every:ten", "couldn't parse to duration"),
        ("every:1.5h", "couldn't parse to duration"),
        ("every:10", "couldn't parse to duration"),
        ("every:-1s", "couldn't parse to duration"),
        ("every:0s", "under 1 ms"),
        ("every:999us", "under 1 ms"),
        ("every:366d", "over 1 year"),
        ("every:99999999999999999999y", "over 1 year"),
        ("cron:", "0 fields"),
        ("cron:* * * *", "4 fields"),
        ("cron:* * * * * * * *", "8 fields"),
        ("cron:61 * * * *", "out of range"),
        ("cron:a b c d e", "not acceptable"),
        ("cron:H * * * *", "H and R"),
        ("cron:R(0-3) * * * *", "H and R"),
        ("cron:0 5,r * * *", "H and R"),
        ("cron:@reboot", "unknown cron shorthand"),
        ("cron:@every 5m", "unknown cron shorthand"),
        ("cron:0 0 31 2 *", "never triggers"),
        ("cron:" + ",".join(["1"] * 5_000) + " * * * *", "too long"),
        ("cron:0 0 0 1 1 ? 2020", "never triggers"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_write(text, context):
    with pytest.raises(TriggerSpecError) as caught:
        parse(text, now_ns=NOW)
    assert caught.value.message.startswith(f"failed to parse trigger from {text}")
    assert context in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("year", [2000, 2020, 2026, 2060])
def test_what_was_accepted_before_is_never_refused_also_far_from_1970(year):
    """The server reads it again at each start; a refusal there would keep it from starting."""
    expression = f"0 0 0 1 1 ? {year}"
    assert parse(f"cron:{expression}", now_ns=ACCEPTED_BEFORE) == Cron(expression)
    expected = at(year, 1, 1) if year > 2026 else None
    assert next_time(Cron(expression), NOW) == expected


@pytest.mark.parametrize(
    ("expression", "tick"),
    [
        ("* * * * *", at(2026, 1, 15, 10, 31)),
        ("* * * * * *", at(2026, 1, 15, 10, 30, 21)),
        ("30 * * * * *", at(2026, 1, 15, 10, 30, 30)),
        ("0 8 * * Mon", at(2026, 1, 19, 8)),
        ("0 8 * * Monday", at(2026, 1, 19, 8)),
        ("0 8 * * 7", at(2026, 1, 18, 8)),
        ("0 8 * * 0", at(2026, 1, 18, 8)),
        ("0 0 0 1 February *", at(2026, 2, 1)),
        ("0 0 13 * 5", at(2026, 1, 16)),  # plain crontab: the 13th or a Friday
        ("0 0 0 13 * 5", at(2026, 2, 13)),  # with seconds: the 13th that is a Friday
        ("@daily", at(2026, 1, 16)),
        ("0 0 0 L * ?", at(2026, 1, 31)),
        ("0 0 29 2 *", at(2028, 2, 29)),
    ],
)
def test_cron_ticks_are_in_utc_with_seconds_first(expression, tick):
    assert next_time(parse(f"cron:{expression}", now_ns=NOW), NOW) == tick


def test_a_tick_is_strictly_later_than_the_instant():
    tick = at(2026, 1, 15, 10, 31)
    assert next_time(Cron("* * * * *"), tick) == tick + 60 * SECOND
    assert next_time(Cron("* * * * *"), tick - 1) == tick
    assert next_time(Every(60 * SECOND), tick) == tick + 60 * SECOND
    assert next_time(Every(60 * SECOND), tick - 1) == tick


@given(st.integers(EVERY_NS_MIN, EVERY_NS_MAX), st.integers(0, 2**62))
def test_every_is_aligned_to_the_epoch_and_its_text_reads_back(duration_ns, after_ns):
    tick = next_time(Every(duration_ns), after_ns)
    assert tick % duration_ns == 0
    assert after_ns < tick <= after_ns + duration_ns
    assert parse(f"every:{format_duration(duration_ns)}") == Every(duration_ns)


def test_only_schedules_have_a_next_time():
    for text in ("all_tables", "table:t", "request:p"):
        assert next_time(parse(text), NOW) is None


@pytest.mark.parametrize("text", ["all_tables", "table:t", "cron:@daily", "every:1s", "request:p"])
def test_specifications_survive_encoding(text):
    spec = parse(text)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=TriggerSpec) == spec


def test_each_form_names_the_kind_of_plugin_it_calls():
    kinds = [parse(text).kind for text in ("all_tables", "table:t", "every:1s", "request:p")]
    assert kinds == ["wal", "wal", "schedule", "request"]
