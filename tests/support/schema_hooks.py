# Owns what schemathesis cannot know: names that exist on the server under test, and statements that
# mean something there. Loaded by schemathesis itself, not by tests.
"""Hooks of schemathesis."""

import zlib
from typing import Any

import schemathesis

# What stands for a generated text of this name; `{}` is that text. None leaves it as it is.
_MEANT: dict[str, tuple[str | None, ...]] = {
    "db": ("db", "db", "db", None),
    "bucket": ("db", "db", "db", None),
    "q": (
        "SELECT * FROM cpu",
        "SELECT {} FROM cpu",
        "SELECT host, usage FROM cpu WHERE host = '{}' ORDER BY time DESC LIMIT 3",
        'SELECT * FROM "{}"',
        "SELECT mean(usage) FROM cpu WHERE time > now() - 1h GROUP BY time(1m), host fill({})",
        "SELECT count(*) AS n, date_bin(INTERVAL '{}', time) AS t FROM cpu GROUP BY t",
        'SHOW TAG VALUES FROM cpu WITH KEY = "{}"',
        "SHOW FIELD KEYS",
        "SHOW TABLES",
        "SELECT * FROM system.{}",
        'CREATE DATABASE "{}"',
        None,
    ),
    "trigger_name": ("t", "t2", None),
    "plugin_name": ("p.py", None),
    "plugin_filename": ("p.py", "p.py", None),
    "filename": ("p.py", "p.py", None),
    "trigger_specification": (
        *("all_tables", "table:cpu", "request:r", "every:1h", "cron:0 0 0 1 1 *", "every:{}", None),
    ),
    "table_name": ("cpu", None),
    "input_lp": ("cpu,host=b usage=1 1", "cpu,host={} usage=2", None),
    "schedule": ("* * * * * *", None),
    "secret_name": ("s", None),
}
_LINES = ("cpu,host={} usage=1.5", "{}", 'cpu usage=1.5,n=2i,s="{}" 1700000000000000000\n{}', None)


def _meant(choices: tuple[str | None, ...], text: str) -> str:
    # The same text always stands for the same: what fails can be repeated.
    chosen = choices[zlib.crc32(text.encode("utf-8", "replace")) % len(choices)]
    return text if chosen is None else chosen.replace("{}", text)


def _give_meaning(place: Any) -> None:
    if isinstance(place, dict):
        for name, value in place.items():
            if isinstance(value, str) and name in _MEANT:
                place[name] = _meant(_MEANT[name], value)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Let a request be about something that exists."""
    # With it the body is the file itself, whatever its form.
    if case.path == "/api/v3/plugins/files" and isinstance(case.query, dict):
        case.query.pop("path", None)
    _give_meaning(case.query)
    _give_meaning(case.body)
    if isinstance(case.body, str):
        case.body = _meant(_LINES, case.body)
