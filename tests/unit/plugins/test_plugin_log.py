from engine.plugins.plugin_log import (
    CHARACTERS_PER_TRIGGER_MAX,
    LINES_PER_TRIGGER_MAX,
    LogEntry,
    PluginLog,
)
from engine.redaction import LOG_CHARACTERS_MAX


def entry(number, text, trigger="t"):
    return LogEntry(number, "db", trigger, "INFO", text)


def test_the_newest_lines_of_each_trigger_are_kept():
    log = PluginLog()
    log.add(entry(0, "of the other", trigger="other"))
    for number in range(LINES_PER_TRIGGER_MAX + 5):
        log.add(entry(number, "x"))
    kept = log.entries("db")
    assert len(kept) == LINES_PER_TRIGGER_MAX + 1
    assert kept[0].text == "of the other"
    assert [kept[1].time_ns, kept[-1].time_ns] == [5, LINES_PER_TRIGGER_MAX + 4]


def test_long_lines_push_out_old_ones_before_they_fill_the_memory():
    log = PluginLog()
    for number in range(1000):
        log.add(entry(number, "x" * LOG_CHARACTERS_MAX))
    kept = log.entries("db")
    assert len(kept) == CHARACTERS_PER_TRIGGER_MAX // LOG_CHARACTERS_MAX
    assert kept[-1].time_ns == 999


def test_a_line_that_is_too_long_is_cut_and_says_so():
    log = PluginLog()
    log.add(entry(0, "x" * 1_000_000))
    (kept,) = log.entries("db")
    assert len(kept.text) == LOG_CHARACTERS_MAX
    assert kept.text.endswith("… [cut, 1000000 characters]")


def test_the_servers_log_gets_a_copy_of_what_can_be_read(caplog):
    log = PluginLog()
    with caplog.at_level("INFO", "engine.plugins.plugin_log"):
        for number in range(2_000):
            log.add(LogEntry(number, "db", "noisy", "INFO", "x" * 1_000))
        log.add(LogEntry(0, "db", "quiet", "WARN", "seen"))
    texts = [record.getMessage() for record in caplog.records]
    assert 1_000 < len(texts) < 1_900
    assert "processing engine: seen" in texts
    assert len(log.entries("db")) == 2_001
