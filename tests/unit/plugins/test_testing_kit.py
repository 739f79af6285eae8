"""The kit with which authors test their plugins."""

import datetime
import textwrap

import pytest

from engine.plugins.testing import FakeApi, LineBuilder, Plugin, QueryError, batches
from lp_core import LineProtocolError

TICK = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def plugin(tmp_path):
    def make(source, name="plugin.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return Plugin(path)

    return make


def test_batches_are_what_a_write_trigger_gets():
    found = batches('cpu,host=a f=1.5,i=2i 10\nmem s="x"\ncpu g=t 5', now_ns=7)
    assert found == [
        {
            "table_name": "cpu",
            "rows": [{"host": "a", "f": 1.5, "i": 2, "time": 10}, {"g": True, "time": 5}],
        },
        {"table_name": "mem", "rows": [{"s": "x", "time": 7}]},
    ]
    with pytest.raises(LineProtocolError):
        batches("cpu f=")


def test_a_write_plugin_is_called_and_its_doings_recorded(plugin):
    report = plugin("""
    def process_writes(api, batches, args):
        args["mine"] = True
        for batch in batches:
            api.write(LineBuilder("report").int64_field(batch["table_name"], len(batch["rows"])))
        api.write_sync_to_db("other", LineBuilder("now").int64_field("f", 1), no_sync=True)
        api.write_sync(LineBuilder("first").int64_field("f", 1), no_sync=True)
        api.warn("done", 1)
    """)
    api, args = FakeApi(), {"a": "1"}
    report.process_writes(api, batches("cpu f=1\nmem f=1\ncpu f=2"), args)
    assert api.lines == ["first f=1i", "report cpu=2i", "report mem=1i"]
    assert api.lines_of("other") == ["now f=1i"]
    assert api.logs == [("WARN", "done 1")]
    assert args == {"a": "1"}


def test_a_failed_call_drops_what_it_buffered_and_keeps_what_came_before(plugin):
    report = plugin("""
    def process_writes(api, batches, args):
        api.write(LineBuilder("m").int64_field("n", batches[0]["rows"][0]["n"]))
        if batches[0]["rows"][0]["n"] == 2:
            raise ValueError("no")
    """)
    api = FakeApi()
    report.process_writes(api, batches("m n=1i"))
    with pytest.raises(ValueError, match="no"):
        report.process_writes(api, batches("m n=2i"))
    report.process_writes(api, batches("m n=3i"))
    assert api.lines == ["m n=1i", "m n=3i"]


def test_queries_are_answered_from_rows_or_a_function(plugin):
    asks = plugin("""
    def process_scheduled_call(api, t, args):
        rows = api.query("SELECT 1", {"a": 1}, database="x")
        rows.append(rows[0])
        rows[0]["x"] = "changed"
        api.info(rows)
    """)
    prepared = {"SELECT 1": [{"x": 1}]}
    api = FakeApi(prepared)
    asks.process_scheduled_call(api, TICK)
    assert api.queries == [("SELECT 1", {"a": 1}, "x")]
    assert prepared == {"SELECT 1": [{"x": 1}]}
    answered = FakeApi(lambda sql, args, database: [{"x": (sql, args, database)}])
    assert answered.query("Q", None) == [{"x": ("Q", None, "test")}]
    with pytest.raises(QueryError, match="no answer to: SELECT 1"):
        asks.process_scheduled_call(FakeApi(), TICK)


def test_call_times_are_naive_utc_in_whole_seconds(plugin):
    tells = plugin("""
    def process_scheduled_call(api, t, args):
        api.info(t.isoformat())
    """)
    api = FakeApi()
    zone = datetime.timezone(datetime.timedelta(hours=2))
    tells.process_scheduled_call(api, datetime.datetime(2025, 1, 1, 12, 0, 0, 99, zone))
    assert api.logs == [("INFO", "2025-01-01T10:00:00")]


def test_a_request_plugins_answer_is_what_a_client_would_get(plugin):
    answers = plugin("""
    def process_request(api, query, headers, body, args):
        if "stream" in query:
            return (part for part in ("a", b"b"))
        return {"q": query, "h": headers, "b": body.decode()}, 201
    """)
    api = FakeApi()
    answer = answers.process_request(api, query={"a": "1"}, headers={"X-A": "v"}, body=b"text")
    assert answer.status == 201
    assert answer.body == b'{"q": {"a": "1"}, "h": {"x-a": "v"}, "b": "text"}'
    assert answers.process_request(api, query={"stream": ""}).body == b"ab"


def test_the_cache_lasts_from_call_to_call(plugin):
    counts = plugin("""
    import threading
    def process_writes(api, batches, args):
        lock = api.cache.get("lock") or threading.Lock()
        api.cache.put("lock", lock)
        api.cache.put("n", api.cache.get("n", 0, use_global=True) + 1, use_global=True)
        api.info(api.cache.get("n", use_global=True), api.cache.get("lock") is lock)
    """)
    api = FakeApi()
    for _ in range(2):
        counts.process_writes(api, [])
    assert [text for _, text in api.logs] == ["1 True", "2 True"]


def test_packages_and_line_builder_work_as_on_a_server(plugin):
    package = plugin("from .inner import process_writes\n", "pack/__init__.py")
    plugin(
        "def process_writes(a, b, c):\n    a.write(LineBuilder('x').bool_field('f', True))\n",
        "pack/inner.py",
    )
    package = Plugin(package._path.parent)
    api = FakeApi()
    package.process_writes(api, [])
    assert api.lines == [LineBuilder("x").bool_field("f", True).build()]


def test_a_missing_file_is_said_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        Plugin(tmp_path / "none.py")


def test_state_lasts_from_call_to_call_and_a_failed_call_changes_none(plugin):
    total = plugin("""
    def process_writes(api, batches, args):
        rows = sum(len(batch["rows"]) for batch in batches)
        api.state.put("total", api.state.get("total", 0) + rows)
        api.state.delete("old")
        if rows > 2:
            raise ValueError("too many")
    """)
    api = FakeApi()
    api.state.put("total", 10)
    api.state.put("old", True)
    total.process_writes(api, batches("cpu f=1\ncpu f=2"))
    assert api.state.items() == [("total", 12)]
    with pytest.raises(ValueError, match="too many"):
        total.process_writes(api, batches("cpu f=1\ncpu f=2\ncpu f=3"))
    assert api.state.get("total") == 12
    total.process_writes(api, batches("cpu f=1"))
    assert api.state.get("total") == 13
    with pytest.raises(TypeError):
        api.state.put("total", object())
