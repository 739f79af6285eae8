"""Every rule that existing plugins rely on, on a real server; names follow its numbers.

The rules were read off published plugins: sections are loading and calling (1), write-trigger data
(2), queries (3), writes (4), the cache (5), schedules (6), requests (7), concurrency between
triggers (8), logging (9), installing (10, in test_environment.py).
"""

import json
import threading
import urllib.request

import pytest

from tests.support.probe import Probe
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

LOG_BATCHES = """
def process_writes(api, batches, args):
    api.info(repr(batches))
"""


# 1. Loading and calling.


def test_1_1_entry_points_are_called_with_positional_arguments_only(probe: Probe) -> None:
    only = (
        "def process_request(a, b, c, d, e, /):\n    return [type(x).__name__ for x in (b, c, d)]"
    )
    assert probe.value(only) == ["dict", "dict", "bytes"]
    source = "def process_writes(a, b, c, /):\n    a.info(type(b).__name__, c)"
    assert probe.after_write(source, "m f=1 1") == ["list None"]
    ticks = probe.trigger(
        "every:1s", "def process_scheduled_call(a, b, c, /):\n    a.info(type(b).__name__, c)"
    )
    assert probe.own_texts(ticks)[0] == "datetime None"


def test_1_1_a_function_without_args_fails_as_python_says(probe: Probe) -> None:
    answer = probe.ask("def process_request(api, query, headers, body):\n    return 'x'")
    assert answer.status == 500
    text = "process_request() takes 4 positional arguments but 5 were given"
    assert text in answer.json()["error"]


def test_1_2_args_are_a_fresh_mutable_dict_of_str_or_none(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        seen = None if args is None else dict(args)
        if args is not None:
            args["parsed"] = True
            args["number"] = {"nested": 1}
        return {"seen": seen, "type": type(args).__name__}
    """
    assert probe.value(source) == {"seen": None, "type": "NoneType"}
    path = probe.endpoint(source, arguments={"a": "1", "flag": "true"})
    for _ in range(2):
        assert probe.server.request("GET", path).json() == {
            "seen": {"a": "1", "flag": "true"},
            "type": "dict",
        }
    shown = probe.server.query(
        probe.database, "SELECT argument_key FROM system.processing_engine_trigger_arguments"
    )
    assert sorted(row["argument_key"] for row in shown) == ["a", "flag"]


def test_1_2_an_empty_object_of_arguments_is_an_empty_dict(probe: Probe) -> None:
    source = "def process_request(api, query, headers, body, args):\n    return [args]"
    assert probe.value(source, arguments={}) == [{}]


def test_1_3_line_builder_is_a_bare_name_everywhere(probe: Probe) -> None:
    probe.file(
        "def line() -> 'LineBuilder':\n    return LineBuilder('h').int64_field('f', 1)\n",
        "helper_of_1_3.py",
    )
    source = """
    import helper_of_1_3
    try:
        LineBuilder = LineBuilder
    except NameError:
        raise RuntimeError("LineBuilder is not a builtin")
    lines: list[LineBuilder] = []

    class Own(LineBuilder):
        pass

    def process_request(api, query, headers, body, args, more: list[LineBuilder] = []):
        return [helper_of_1_3.line().build(), Own("o").int64_field("f", 2).build()]
    """
    assert probe.value(source) == ["h f=1i", "o f=2i"]


def test_1_3_errors_can_be_named_without_an_import(probe: Probe) -> None:
    source = """
    from __main__ import InvalidLineError as FromMain

    def name_of(call):
        try:
            call()
        except (InvalidMeasurementError, InvalidKeyError, InvalidLineError, QueryError) as error:
            return type(error).__name__

    def process_request(api, query, headers, body, args):
        return [
            name_of(lambda: LineBuilder("a b")),
            name_of(lambda: LineBuilder("m").tag("", "v")),
            name_of(lambda: LineBuilder("m").build()),
            name_of(lambda: api.query("SELECT nonsense FROM nowhere")),
            FromMain is InvalidLineError,
            all(issubclass(e, InfluxDBError) for e in (InvalidMeasurementError, InvalidKeyError)),
        ]
    """
    assert probe.value(source) == [
        "InvalidMeasurementError",
        "InvalidKeyError",
        "InvalidLineError",
        "QueryError",
        True,
        True,
    ]


def test_1_4_module_code_may_use_globals_dataclasses_protocols_enums_and_locals(
    probe: Probe,
) -> None:
    source = """
    from __future__ import annotations
    from dataclasses import dataclass, field
    from enum import Enum
    from typing import ClassVar, Protocol, get_type_hints, runtime_checkable

    COUNT = 0

    @runtime_checkable
    class Sink(Protocol):
        def put(self, line: LineBuilder) -> None: ...

    class Level(str, Enum):
        HIGH = "high"

    @dataclass
    class Rule:
        level: Level = Level.HIGH
        lines: list[LineBuilder] = field(default_factory=list)
        limit: ClassVar[int] = 3

    def count():
        global COUNT
        COUNT += 1
        return COUNT

    def process_request(api, query, headers, body, args):
        count()
        assert "query" in locals()
        hints = get_type_hints(Rule)
        return [count(), Rule().level, hints["level"].__name__, isinstance(Rule(), Sink)]
    """
    assert probe.value(source) == [2, "high", "Level", False]


def test_1_5_one_file_may_hold_all_entry_points_and_have_any_name(probe: Probe) -> None:
    source = """
    def process_writes(api, batches, args):
        api.info("writes")

    def process_scheduled_call(api, call_time, args):
        api.info("schedule")

    def process_request(api, query, headers, body, args):
        return "request"
    """
    writes = probe.trigger("table:m", source, filename="compat/import.py")
    ticks = probe.trigger("every:1s", source, filename="compat/class.py")
    assert probe.ask(source).body == b"request"
    probe.write("m f=1 1")
    assert probe.own_texts(writes) == ["writes"]
    assert set(probe.own_texts(ticks)) == {"schedule"}


def test_1_6_module_state_does_not_survive_a_call_of_a_single_file(probe: Probe) -> None:
    source = """
    CALLS = []
    def process_request(api, query, headers, body, args):
        CALLS.append(args["who"])
        return CALLS
    """
    first = probe.endpoint(source, arguments={"who": "one"})
    second = probe.endpoint(source, arguments={"who": "two"})
    for _ in range(2):
        assert probe.server.request("GET", first).json() == ["one"]
        assert probe.server.request("GET", second).json() == ["two"]


def test_1_6_two_triggers_on_one_file_do_not_share_its_module(probe: Probe) -> None:
    filename = probe.file(
        """
        CALLS = []
        def process_request(api, query, headers, body, args):
            CALLS.append(args["who"])
            return CALLS
        """,
        "compat_shared_package/__init__.py",
    ).removesuffix("/__init__.py")
    for who in ("one", "two"):
        path = f"{probe.database}-{who}"
        created = probe.server.create_trigger(
            probe.database, who, f"request:{path}", filename, arguments={"who": who}
        )
        assert created.status == 200, created.body
    for calls in (1, 2):  # a package stays imported, one per trigger
        for who in ("one", "two"):
            answer = probe.server.request("GET", f"/api/v3/engine/{probe.database}-{who}")
            assert answer.json() == [who] * calls


def test_1_7_threads_pools_and_event_loops_work_inside_a_call(probe: Probe) -> None:
    source = """
    import asyncio, threading
    from concurrent.futures import ThreadPoolExecutor

    async def gathered(api):
        await asyncio.gather(*(asyncio.to_thread(api.query, "SELECT 1 AS x") for _ in range(3)))
        return "loop"

    def process_request(api, query, headers, body, args):
        found = []
        thread = threading.Thread(target=lambda: found.append(api.query("SELECT 2 AS x")))
        thread.start(); thread.join()
        with ThreadPoolExecutor(4) as pool:
            found += pool.map(lambda n: api.query("SELECT CAST($n AS BIGINT) AS x", {"n": n}), range(3))
        api.write(LineBuilder("from_main").int64_field("f", 1))
        return [found, asyncio.run(gathered(api)), threading.current_thread() is threading.main_thread()]
    """
    rows = [[{"x": 2}], [{"x": 0}], [{"x": 1}], [{"x": 2}]]
    assert probe.value(source) == [rows, "loop", True]


def test_1_8_files_are_relative_to_the_plugin_directory_and_a_missing_one_is_refused(
    probe: Probe,
) -> None:
    source = "def process_request(api, query, headers, body, args):\n    return 'deep'"
    probe.trigger("request:deep-1-8", source, filename="compat/a/b/deep.py")
    assert probe.server.request("GET", "/api/v3/engine/deep-1-8").body == b"deep"
    missing = probe.server.create_trigger(probe.database, "x", "request:x-1-8", "nowhere.py")
    assert missing.status == 400
    assert "Plugin not found" in missing.json()["error"]
    assert "nowhere.py" in missing.json()["error"]


def test_1_9_environment_variables_that_plugins_find_their_files_by(probe: Probe) -> None:
    source = """
    import os, pathlib, time
    def process_request(api, query, headers, body, args):
        directory = pathlib.Path(os.environ["INFLUXDB3_PLUGIN_DIR"])
        (directory / "settings_1_9.toml").write_text("x = 1")
        names = ("INFLUXDB3_PLUGIN_DIR", "PLUGIN_DIR", "SOME_TOKEN", "TZ")
        return [*(os.environ.get(name) for name in names), time.tzname[0]]
    """
    directory = probe.server.plugin_dir
    assert probe.value(source) == [str(directory), "/operators/choice", "t0ken", "UTC", "UTC"]
    assert (directory / "settings_1_9.toml").read_text() == "x = 1"


# 2. Write-trigger data.


def test_2_1_batches_are_a_list_of_dicts_with_exactly_two_keys(probe: Probe) -> None:
    source = """
    def process_writes(api, batches, args):
        api.info([type(batches) is list, *((type(b) is dict, list(b), type(b["table_name"]) is str)
                 for b in batches)])
    """
    texts = probe.after_write(source, "a f=1 1\nb f=1 1")
    shape = "(True, ['table_name', 'rows'], True)"
    assert texts == [f"[True, {shape}, {shape}]"]


def test_2_2_rows_take_everything_that_plugins_do_with_dicts(probe: Probe) -> None:
    source = """
    import json
    def process_writes(api, batches, args):
        rows = batches[0]["rows"]
        assert type(rows) is list and all(type(row) is dict for row in rows)
        assert len(rows) == 3 and rows and list(rows[0].items())[0] == ("host", "a")
        assert [row["host"] for row in rows] == [row["host"] for row in rows]
        row = rows[0] | {"more": None}
        assert row.pop("more", 1) is None
        row["host"] = "changed"
        rows.extend(dict(row) for row in rows[:1])
        for row in rows:
            for value in row.values():
                assert type(value) in (int, float, str, bool), type(value)
        assert isinstance(rows[0]["up"], bool)
        rows.sort(key=lambda row: -row["time"])
        api.info(json.dumps(rows[0]), str(rows[0]))
    """
    lines = "m,host=a up=t,n=1i 1\nm,host=b up=f,n=2i 2\nm,host=c up=f,n=3i 3"
    row = {"host": "c", "up": False, "n": 3, "time": 3}
    assert probe.after_write(source, lines) == [f"{json.dumps(row)} {row}"]


def test_2_3_rows_keep_write_order_within_a_table(probe: Probe) -> None:
    source = """
    def process_writes(api, batches, args):
        api.info([row["n"] for row in batches[0]["rows"]])
    """
    # Ten minutes and more apart, backwards: where the reference loses the order.
    lines = "\n".join(f"m n={n}i {10**18 - n * 10**12}" for n in range(50))
    assert probe.after_write(source, lines) == [str(list(range(50)))]


def test_2_4_a_column_that_the_row_did_not_carry_is_absent(probe: Probe) -> None:
    texts = probe.after_write(LOG_BATCHES, "m,a=1 x=1 1\nm y=2 2")
    rows = [{"a": "1", "x": 1.0, "time": 1}, {"y": 2.0, "time": 2}]
    assert texts == [repr([{"table_name": "m", "rows": rows}])]


def test_2_5_values_are_plain_python_and_time_is_int_nanoseconds(probe: Probe) -> None:
    source = """
    import time
    def process_writes(api, batches, args):
        first, second = batches[0]["rows"]
        assert abs(second.pop("time") - time.time_ns()) < 60e9
        api.info(repr(first), repr(second), [type(v).__name__ for v in first.values()])
    """
    lines = 'm,t=tag i=-1i,u=18446744073709551615u,f=3,b=true,s="text" 1700000000\nm f=1'
    first = {"t": "tag", "i": -1, "u": 2**64 - 1, "f": 3.0, "b": True, "s": "text"}
    first["time"] = 1_700_000_000_000_000_000
    types = ["str", "int", "int", "float", "bool", "str", "int"]
    texts = probe.after_write(source, lines, precision="s")
    assert texts == [f"{first!r} {{'f': 1.0}} {types}"]


def test_2_5_keys_come_as_tags_then_fields_then_time(probe: Probe) -> None:
    source = "def process_writes(api, batches, args):\n    api.info(list(batches[0]['rows'][0]))"
    texts = probe.after_write(source, "m,host=A,region=west usage=1i,system=23.2 100")
    assert texts == ["['host', 'region', 'usage', 'system', 'time']"]


def test_2_6_rows_belong_to_the_call(probe: Probe) -> None:
    source = """
    def process_writes(api, batches, args):
        api.info(repr(batches))
        for row in batches[0]["rows"]:
            row.clear()
        batches.clear()
        if api.cache.get("tries", 0) < 1:
            api.cache.put("tries", 1)
            raise ValueError("once more")
    """
    spoiler = probe.trigger("table:m", source, error_behavior="retry")
    witness = probe.trigger("table:m", LOG_BATCHES)
    probe.write("m f=1 1")
    expected = repr([{"table_name": "m", "rows": [{"f": 1.0, "time": 1}]}])
    texts = probe.own_texts(spoiler, runs=2)
    assert [text for text in texts if text.startswith("[")] == [expected, expected]
    assert probe.own_texts(witness) == [expected]
    assert probe.server.query(probe.database, "SELECT f FROM m") == [{"f": 1.0}]


def test_2_7_all_tables_of_one_request_come_in_one_call_in_order_of_appearance(
    probe: Probe,
) -> None:
    source = """
    def process_writes(api, batches, args):
        api.info([(batch["table_name"], len(batch["rows"])) for batch in batches])
    """
    texts = probe.after_write(source, "z f=1 1\na f=1 1\nz f=1 2\nk f=1 1")
    assert texts == ["[('z', 2), ('a', 1), ('k', 1)]"]


def test_2_7_own_output_is_delivered_with_allow_self_and_does_not_run_away(probe: Probe) -> None:
    source = """
    def process_writes(api, batches, args):
        for row in batches[0]["rows"]:
            api.write(LineBuilder("m").int64_field("n", row["n"] + 1))
    """
    probe.trigger("table:m", source, allow_self=True)
    probe.write("m n=0i 1")
    sql = "SELECT max(n) AS n FROM m"
    wait_for(
        lambda: probe.server.query(probe.database, sql) == [{"n": 8}], "the hop limit is reached"
    )


def test_2_8_a_query_from_a_write_trigger_sees_the_rows_that_triggered_it(probe: Probe) -> None:
    source = """
    def process_writes(api, batches, args):
        tables = [row["table_name"] for row in api.query("SHOW TABLES")]
        columns = api.query(
            "SELECT column_name FROM information_schema.columns WHERE table_name = $m", {"m": "m"})
        api.info("m" in tables, [c["column_name"] for c in columns], api.query("SELECT * FROM m"))
    """
    texts = probe.after_write(source, "m,t=a f=1 5")
    assert texts == ["True ['f', 't', 'time'] [{'f': 1.0, 't': 'a', 'time': 5}]"]


# 3. Queries.


def test_3_1_query_takes_its_arguments_by_position_and_by_name(probe: Probe) -> None:
    other = Probe(probe.server, f"{probe.database}-other")
    other.write("o f=7i 1")
    probe.write("m f=1i 1")
    source = """
    def process_request(api, query, headers, body, args):
        return [
            api.query("SELECT f FROM m"),
            api.query("SELECT f FROM m WHERE f = $x", {"x": 1}),
            api.query(query="SELECT f FROM m", args=None),
            api.query("SELECT f FROM o", {}, args["other"]),
            api.query("SELECT f FROM o", database=args["other"]),
        ]
    """
    one, seven = [{"f": 1}], [{"f": 7}]
    value = probe.value(source, arguments={"other": other.database})
    assert value == [one, one, one, seven, seven]


def test_3_2_results_are_lists_of_dicts_in_select_order_with_nulls_present(probe: Probe) -> None:
    probe.write("m,t=a x=1 1\nm y=2i 2")
    source = """
    def process_request(api, query, headers, body, args):
        rows = api.query("SELECT y, x, t, time FROM m ORDER BY time")
        none = api.query("SELECT * FROM m WHERE x > 5")
        assert type(rows) is list and all(type(row) is dict for row in rows)
        return {"rows": rows, "keys": list(rows[0].keys()), "none": none}
    """
    assert probe.value(source) == {
        "rows": [
            {"y": None, "x": 1.0, "t": "a", "time": 1},
            {"y": 2, "x": None, "t": None, "time": 2},
        ],
        "keys": ["y", "x", "t", "time"],
        "none": [],
    }


def test_3_3_timestamps_are_int_nanoseconds_and_sums_ints(probe: Probe) -> None:
    probe.write("m,t=a i=1i,f=2,u=3u 600000000000\nm,t=a i=2i,f=3,u=4u 1200000000000")
    source = """
    def process_request(api, query, headers, body, args):
        sql = '''SELECT MIN(time) AS low, sum(i) AS si, sum(u) AS su, avg(i) AS a, sum(f) AS sf,
                 count(*) AS n, max(time) AS high FROM m'''
        (row,) = api.query(sql)
        bins = api.query('''SELECT date_bin(INTERVAL '600 seconds', time, '1970-01-01T00:00:00Z')
                         AS _time, count(*) AS n FROM m GROUP BY _time ORDER BY _time''')
        (now,) = api.query("SELECT now() AS t")
        return [row, [type(v).__name__ for v in row.values()], bins, type(now["t"]).__name__]
    """
    row, types, bins, now = probe.value(source)
    expected = {"low": 600 * 10**9, "si": 3, "su": 7, "a": 1.5, "sf": 5.0, "n": 2}
    assert row == {**expected, "high": 1200 * 10**9}
    assert types == ["int", "int", "int", "float", "float", "int", "int"]
    assert bins == [{"_time": 600 * 10**9, "n": 1}, {"_time": 1200 * 10**9, "n": 1}]
    assert now == "int"


def test_3_4_a_bad_query_raises_and_an_unknown_table_says_not_found(probe: Probe) -> None:
    source = """
    def text_of(api, sql):
        try:
            api.query(sql)
        except QueryError as error:
            return str(error)

    def process_request(api, query, headers, body, args):
        return [text_of(api, "SELECT * FROM first_run"), text_of(api, "SELEKT 1")]
    """
    unknown, wrong = probe.value(source)
    assert "not found" in unknown
    assert "first_run" in unknown
    assert wrong


def test_3_5_parameters_of_every_scalar_type_are_bound(probe: Probe) -> None:
    probe.write("m,t=a f=1.5,i=3i,b=t 1735689600000000000")
    source = """
    import enum
    class Tag(str, enum.Enum):
        A = "a"

    def process_request(api, query, headers, body, args):
        def count(condition, **params):
            return api.query(f"SELECT count(*) AS n FROM m WHERE {condition}", params)[0]["n"]
        return [
            count("time >= $start", start="2025-01-01T00:00:00Z"),
            count("time = arrow_cast($ns, 'Timestamp(Nanosecond, None)')", ns="1735689600000000000"),
            count("i = arrow_cast($n, 'Int64')", n="3"),
            count("f > $x", x="1"),
            count("f > $x", x=1),
            count("f = $x", x=1.5),
            count("b = $x", x=True),
            count("t = $x", x=Tag.A),
            count("t IN ($a, $b)", a="a", b="z"),
            count("t = $x", x=None),
        ]
    """
    assert probe.value(source) == [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]


def test_3_5_a_parameter_that_is_no_scalar_is_refused_in_the_plugin(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        try:
            api.query("SELECT $x AS x", {"x": [1]})
        except TypeError as error:
            return str(error)
    """
    assert b"query parameter 'x'" in probe.ask(source).body


SQL_LINES = "\n".join(
    [
        *(f'm,t=a,u=x f={n}.0,i={n}i,s="v{n}",b=t {n * 60 * 10**9}' for n in range(10)),
        "_a.b,T=1 Case=1 60000000000",
    ]
)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SHOW TABLES", "tables"),
        (
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'm' "
            "AND data_type IN ('Float64', 'Int64') ORDER BY 1",
            [
                {"column_name": "f", "data_type": "Float64"},
                {"column_name": "i", "data_type": "Int64"},
            ],
        ),
        (
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'm' "
            "AND data_type = 'Dictionary(Int32, Utf8)' ORDER BY column_name",
            [{"column_name": "t"}, {"column_name": "u"}],
        ),
        (
            "SELECT data_type FROM information_schema.columns WHERE column_name IN ('s', 'b') "
            "ORDER BY 1",
            [{"data_type": "Boolean"}, {"data_type": "Utf8"}],
        ),
        (
            "SELECT count(*) AS n FROM information_schema.columns WHERE table_name = 'm' "
            "AND column_name = 'time'",
            [{"n": 1}],
        ),
        ('SELECT count(*) AS n FROM "m"', [{"n": 10}]),
        ("SELECT count(*) AS n FROM 'm'", [{"n": 10}]),
        ('SELECT "Case" FROM "_a.b"', [{"Case": 1.0}]),
        ("SELECT \"Case\" FROM '_a.b' WHERE \"T\" = '1'", [{"Case": 1.0}]),
        (
            "SELECT date_bin(INTERVAL '5 minutes', time) AS _time, \"t\", sum(i) AS s FROM m "
            'GROUP BY _time, "t" ORDER BY _time',
            [{"_time": 0, "t": "a", "s": 10}, {"_time": 300 * 10**9, "t": "a", "s": 35}],
        ),
        (
            "select DATE_BIN(interval '1 weeks', time, '1970-01-01') as w, count(*) as n from m "
            "group by w",
            [{"w": 0, "n": 10}],
        ),
        ("SELECT count(*) AS n FROM m WHERE time > now() - INTERVAL '24 hours'", [{"n": 0}]),
        ("SELECT count(*) AS n FROM m WHERE time < now() - interval '30 seconds'", [{"n": 10}]),
        *(
            (f"SELECT count(*) AS n FROM m WHERE time >= '{text}'", [{"n": 5}])
            for text in (
                "1970-01-01T00:05:00Z",
                "1970-01-01T00:05:00.000000Z",
                "1970-01-01T00:05:00+00:00",
                "1970-01-01 00:05:00",
                "1970-01-01T00:05:00",
            )
        ),
        (
            "SELECT t, count(DISTINCT i) AS c, min(i) AS low, max(i) AS high, avg(i) AS mean, "
            "median(f) AS med, approx_median(f) AS am FROM m GROUP BY t",
            [{"t": "a", "c": 10, "low": 0, "high": 9, "mean": 4.5, "med": 4.5, "am": 4.5}],
        ),
        (
            "SELECT round(stddev(f), 3) AS s, round(var(f), 3) AS v FROM m",
            [{"s": 3.028, "v": 9.167}],
        ),
        (
            "SELECT first_value(i ORDER BY time) AS a, last_value(i ORDER BY time) AS b FROM m",
            [{"a": 0, "b": 9}],
        ),
        ("SELECT i FROM m WHERE time = to_timestamp_nanos(60000000000)", [{"i": 1}]),
        ("SELECT arrow_cast(f, 'Int64') AS x FROM m WHERE i IN (3, 77)", [{"x": 3}]),
        ("SELECT DISTINCT t FROM m", [{"t": "a"}]),
        ("SELECT i FROM m ORDER BY time DESC LIMIT 2", [{"i": 9}, {"i": 8}]),
        (
            "SELECT * FROM m ORDER BY time LIMIT 1",
            [{"t": "a", "u": "x", "f": 0.0, "i": 0, "s": "v0", "b": True, "time": 0}],
        ),
        ("SELECT count(*) AS n FROM system.processing_engine_triggers", [{"n": 1}]),
        (
            "SELECT event_time, trigger_name, log_level, log_text FROM "
            "system.processing_engine_logs LIMIT 0",
            [],
        ),
    ],
)
def test_3_sql_that_plugins_use(probe: Probe, sql: str, rows: object) -> None:
    probe.write(SQL_LINES)
    source = """
    def process_request(api, query, headers, body, args):
        return api.query(body.decode())
    """
    found = probe.value(source, method="POST", body=sql.encode())
    if rows == "tables":
        named = {row["table_name"]: row["table_type"] for row in found}  # type: ignore[attr-defined]
        base = sorted(name for name, kind in named.items() if kind == "BASE TABLE")
        assert base == ["_a.b", "m"]
    else:
        assert found == rows


# 4. Writes.


def test_4_1_anything_with_build_is_written_also_several_lines_at_once(probe: Probe) -> None:
    source = """
    class Lines:
        def __init__(self, *lines):
            self.lines = lines
        def build(self):
            return "\\n".join(line.build() for line in self.lines)

    def process_request(api, query, headers, body, args):
        lines = [LineBuilder("m").int64_field("n", n).time_ns(n) for n in range(3)]
        assert api.write(Lines(*lines)) is None
        api.write(LineBuilder("m").int64_field("n", 3).time_ns(3))
        return {"before": [r["table_name"] for r in api.query("SHOW TABLES")].count("m")}
    """
    assert probe.value(source) == {"before": 0}
    rows = probe.server.query(probe.database, "SELECT n FROM m ORDER BY n")
    assert [row["n"] for row in rows] == [0, 1, 2, 3]


def test_4_1_build_is_called_at_once_and_its_error_surfaces_in_the_plugin(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        line = LineBuilder("kept").int64_field("n", 1)
        api.write(line)
        line.int64_field("n", 2)
        try:
            api.write(LineBuilder("empty"))
        except InvalidLineError as error:
            text = str(error)
        try:
            api.write("m f=1")
        except AttributeError:
            text += " AttributeError"
        return [text]
    """
    assert probe.value(source) == ["At least one field is required: empty AttributeError"]
    assert probe.server.query(probe.database, "SELECT n FROM kept") == [{"n": 1}]


def test_4_2_write_sync_stores_at_once_and_raises_on_refusal(probe: Probe) -> None:
    source = """
    class Raw:
        def __init__(self, text):
            self.text = text
        def build(self):
            return self.text

    def process_request(api, query, headers, body, args):
        api.write_sync(LineBuilder("m").int64_field("n", 1).time_ns(1), no_sync=False)
        api.write_sync(LineBuilder("m").int64_field("n", 2).time_ns(2), True)
        api.write_sync_to_db(args["db"], Raw("m n=3i 3\\nm n=4i 4"), no_sync=False)
        seen = api.query("SELECT count(*) AS n FROM m")
        texts = []
        for call in (
            lambda: api.write_sync(Raw("not line protocol"), no_sync=False),
            lambda: api.write_sync(Raw("m n=text 1"), no_sync=True),
            lambda: api.write_sync_to_db("bad name!", Raw("m n=1i"), False),
        ):
            try:
                call()
            except Exception as error:
                texts.append(str(error))
        return [seen, texts]
    """
    seen, texts = probe.value(source, arguments={"db": probe.database})
    assert seen == [{"n": 4}]
    prefix = f"error writing line protocol to {probe.database}: Cannot write: "
    assert [text.startswith(prefix) for text in texts] == [True, True, False]
    assert texts[2].startswith(
        "error writing line protocol to bad name!: invalid database name: invalid character"
    )


@pytest.mark.parametrize("no_sync", [True, False])
def test_4_2_write_sync_from_a_write_trigger_does_not_wait_for_itself(
    probe: Probe, no_sync: bool
) -> None:
    source = f"""
    def process_writes(api, batches, args):
        for _ in range(100):
            api.write_sync(LineBuilder("out").int64_field("n", 1), no_sync={no_sync})
        api.info("done")
    """
    assert probe.after_write(source, "m f=1 1", spec="table:m") == ["done"]


def test_4_3_a_database_that_does_not_exist_is_created(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        api.write_to_db(args["new"] + "-buffered", LineBuilder("m").int64_field("n", 1))
        api.write_sync_to_db(args["new"] + "-now", LineBuilder("m").int64_field("n", 2), False)
        return "done"
    """
    assert probe.ask(source, arguments={"new": probe.database}).status == 200
    for suffix, number in (("buffered", 1), ("now", 2)):
        rows = probe.server.query(f"{probe.database}-{suffix}", "SELECT n FROM m")
        assert rows == [{"n": number}]


def test_4_4_lines_without_time_get_the_servers(probe: Probe) -> None:
    source = """
    import time
    def process_request(api, query, headers, body, args):
        before = time.time_ns()
        api.write_sync(LineBuilder("now").int64_field("n", 1), no_sync=False)
        (row,) = api.query("SELECT time FROM now")
        return [before - 10**9 <= row["time"] <= time.time_ns() + 10**9]
    """
    assert probe.value(source) == [True]


def test_4_5_line_builder_surface(probe: Probe) -> None:
    source = r"""
    def process_request(api, query, headers, body, args):
        import numpy
        line = (
            LineBuilder("m").tag("t", 5).tag("sp", "a b,c=d\\e").int64_field("i", -1)
            .uint64_field("u", 2).float64_field("f", 3.0).float64_field("g", 1.25)
            .string_field("s", 'quote " back \\').bool_field("b", True).time_ns(7)
        )
        seen = [list(line.tags), list(line.fields)]
        n = LineBuilder("n").float64_field("x", numpy.float64(1.5)).int64_field("y", numpy.int64(2))
        api.write(line)
        return [seen, line.build(), line.build() == line.build(), n.build()]
    """
    text = (
        r"m,t=5,sp=a\ b\,c\=d\e i=-1i,u=2u,f=3.0,g=1.25,"
        r's="quote \" back \\",b=t 7'
    )
    seen = [["t", "sp"], ["i", "u", "f", "g", "s", "b"]]
    assert probe.value(source) == [seen, text, True, "n x=1.5,y=2i"]
    assert probe.server.query(probe.database, "SELECT sp, s FROM m") == [
        {"sp": "a b,c=d\\e", "s": 'quote " back \\'}
    ]


# 5. Cache.


def test_5_1_get_put_and_delete_in_every_spelling(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        cache = api.cache
        cache.put("a", 1); cache.put("b", 2, 60); cache.put("c", 3, ttl=60.5); cache.put("d", 4, None)
        cache.put("now", 5, ttl=0)
        cache.put("g", 6, ttl=60, use_global=True)
        return [
            cache.get("a"), cache.get("b"), cache.get("c"), cache.get("d"), cache.get("now", "gone"),
            cache.get("x"), cache.get("x", 9), cache.get("x", default=8), cache.get("g"),
            cache.get("g", use_global=True), cache.get("x", 7, True),
            cache.delete("a"), cache.delete("a"), cache.delete("g", use_global=True),
            cache.get("a", "gone"),
        ]
    """
    expected = [1, 2, 3, 4, "gone", None, 9, 8, None, 6, 7, True, False, True, "gone"]
    assert probe.value(source) == expected


def test_5_2_values_are_live_objects_kept_by_reference(probe: Probe) -> None:
    source = """
    import collections, threading, random
    def process_request(api, query, headers, body, args):
        state = api.cache.get("state")
        if state is None:
            state = {"lock": threading.Lock(), "deque": collections.deque(maxlen=3),
                     "random": random.Random(1), "lambda": lambda: 42}
            api.cache.put("state", state)
        with state["lock"]:
            state["deque"].append(len(state["deque"]))
        return [list(state["deque"]), state["lambda"](), api.cache.get("state") is state]
    """
    path = probe.endpoint(source)
    answers = [probe.server.request("GET", path).json() for _ in range(3)]
    assert answers == [[[0], 42, True], [[0, 1], 42, True], [[0, 1, 2], 42, True]]


def test_5_2_the_cache_is_the_triggers_own_unless_global(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        mine = api.cache.get("k", "nothing")
        shared = api.cache.get("k-2-5", "nothing", use_global=True)
        api.cache.put("k", args["who"])
        api.cache.put("k-2-5", args["who"], use_global=True)
        return [mine, shared]
    """
    first = probe.endpoint(source, arguments={"who": "one"})
    second = probe.endpoint(source, arguments={"who": "two"})
    paths = (first, second, first)
    answers = [probe.server.request("GET", path).json() for path in paths]
    assert answers == [["nothing", "nothing"], ["nothing", "one"], ["one", "two"]]


def test_5_3_expired_entries_read_as_the_default(probe: Probe) -> None:
    source = """
    import time
    def process_request(api, query, headers, body, args):
        api.cache.put("k", 1, ttl=0.05)
        deadline = time.monotonic() + 10
        while api.cache.get("k", "gone") != "gone":
            assert time.monotonic() < deadline
        return [api.cache.get("k", "gone"), api.cache.delete("k")]
    """
    assert probe.value(source) == ["gone", False]


# 6. Schedules.


def test_6_1_call_time_is_naive_utc_in_whole_seconds(probe: Probe) -> None:
    source = """
    from datetime import timezone
    def process_scheduled_call(api, call_time, args):
        readings = {call_time.replace(tzinfo=timezone.utc).timestamp(),
                    call_time.astimezone(timezone.utc).timestamp(), call_time.timestamp()}
        api.info(call_time.tzinfo, call_time.microsecond, len(readings))
    """
    assert set(probe.own_texts(probe.trigger("every:1s", source))) == {"None 0 1"}


def test_6_2_calls_of_every_are_aligned_to_the_epoch_and_increase(probe: Probe) -> None:
    source = """
    def process_scheduled_call(api, call_time, args):
        api.info(int(call_time.timestamp()))
    """
    name = probe.trigger("every:2s", source)
    times = [int(text) for text in probe.own_texts(name, runs=2) if text.isdecimal()]
    assert all(time % 2 == 0 for time in times)
    assert times == sorted(set(times))


def test_6_3_cron_has_a_seconds_field(probe: Probe) -> None:
    source = "def process_scheduled_call(api, t, args):\n    api.info(t.second % 2)"
    assert set(probe.own_texts(probe.trigger("cron:*/2 * * * * *", source))) == {"0"}


# 7. Requests.


def test_7_1_query_headers_and_body(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        assert type(query) is dict and type(headers) is dict and type(body) is bytes
        return {"query": query, "x": headers.get("x-some-name"), "names": sorted(headers),
                "body": body.decode("latin-1")}
    """
    headers = {"X-Some-Name": "v", "Authorization": "Bearer secret"}
    value = probe.value(source, headers=headers, query="?a=1&a=2&plus=a+b&pc=%C3%A9&empty")
    assert value["query"] == {"a": "2", "plus": "a b", "pc": "é", "empty": ""}  # type: ignore[index]
    assert value["x"] == "v"  # type: ignore[index]
    assert "authorization" not in value["names"]  # type: ignore[index]
    assert value["body"] == ""  # type: ignore[index]
    posted = probe.value(source, method="POST", body=bytes(range(256)))
    assert posted["body"] == bytes(range(256)).decode("latin-1")  # type: ignore[index]


def test_7_2_get_and_post_on_any_path_and_404_elsewhere(probe: Probe) -> None:
    source = "def process_request(api, query, headers, body, args):\n    return 'here'"
    probe.trigger("request:some/deep/path-7.2", source)
    for method in ("GET", "POST"):
        answer = probe.server.request(method, "/api/v3/engine/some/deep/path-7.2")
        assert (answer.status, answer.body) == (200, b"here")
    for path in ("some/deep", "some/deep/path-7.2/", "Some/deep/path-7.2"):
        answer = probe.server.request("GET", f"/api/v3/engine/{path}")
        assert answer.status == 404
        assert answer.json()["error"] == "not found"
    assert probe.server.request("PUT", "/api/v3/engine/some/deep/path-7.2").status == 404


def test_7_2_an_exception_is_a_500_with_json_and_the_trigger_lives_on(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        if "bad" in query:
            raise ValueError("no good")
        return "fine"
    """
    path = probe.endpoint(source)
    answer = probe.server.request("GET", path + "?bad=1")
    assert answer.status == 500
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"] == "Python function call failed: ValueError: no good"
    assert probe.server.request("GET", path).body == b"fine"
    lines = probe.server.logs(probe.database, f"{probe.database}-1")
    (error,) = [line["log_text"] for line in lines if line["log_level"] == "ERROR"]
    assert error.startswith("error executing request plugin: ValueError: no good\nTraceback")
    assert "line 4, in process_request" in error


@pytest.mark.parametrize(
    ("returned", "status", "content_type", "body"),
    [
        (
            '{"a": [True, None, {"b": 1}]}',
            200,
            "application/json",
            b'{"a": [true, null, {"b": 1}]}',
        ),
        ("[1, 2]", 200, "application/json", b"[1, 2]"),
        ('"<p>text</p>"', 200, "text/html", b"<p>text</p>"),
        ('("text", 201)', 201, "text/html", b"text"),
        ('({"a": 1}, 404)', 404, "application/json", b'{"a": 1}'),
        ('("x", {"X-Own": "v"})', 200, "text/html", b"x"),
        ('("x", 202, {"Content-Type": "text/csv"})', 202, "text/csv", b"x"),
        ('("x", {"A": "1"}, {"X-Own": "v"})', 200, "text/html", b"x"),
        ('(b"raw", 200)', 200, "application/octet-stream", b"raw"),
        ("(5, 200)", 200, "text/plain", b"5"),
        ('b"raw"', 200, "application/octet-stream", b"raw"),
        ('bytearray(b"raw")', 200, "application/octet-stream", b"raw"),
        ("None", 204, None, b""),
        ('(part for part in ("a", b"b", "é"))', 200, "text/html", "abé".encode()),
        ('iter(["x"])', 200, "text/html", b"x"),
    ],
)
def test_7_3_answer_shapes(
    probe: Probe, returned: str, status: int, content_type: str | None, body: bytes
) -> None:
    answer = probe.ask(f"def process_request(api, query, headers, body, args):\n return {returned}")
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers.get("content-type") == content_type
    if "X-Own" in returned:
        assert answer.headers["x-own"] == "v"


@pytest.mark.parametrize("returned", ["5", "True", "object()", '{"a": object()}', '("x", 200, 5)'])
def test_7_3_what_is_no_answer_is_a_500(probe: Probe, returned: str) -> None:
    answer = probe.ask(f"def process_request(api, query, headers, body, args):\n return {returned}")
    assert answer.status == 500
    assert "TypeError" in answer.json()["error"]


def test_7_3_real_flask_responses(probe: Probe) -> None:
    pytest.importorskip("flask")
    source = """
    import flask
    app = flask.Flask("plugin")
    def process_request(api, query, headers, body, args):
        kind = query["kind"]
        with app.app_context():
            if kind == "json":
                return flask.jsonify(a=1)
            if kind == "cookie":
                response = flask.make_response("made", 201, {"X-Own": "v"})
                response.set_cookie("k", "v")
                return response
            if kind == "tuple":
                return flask.Response(b"bytes", mimetype="image/png"), 203
            if kind == "redirect":
                return flask.redirect("/elsewhere")
            return flask.Response((f"{n}," for n in range(3)), mimetype="text/csv")
    """
    path = probe.endpoint(source)

    def answer(kind: str) -> tuple[int, str, bytes]:
        found = probe.server.request("GET", f"{path}?kind={kind}")
        return found.status, found.headers["content-type"], found.body.strip()

    assert answer("json") == (200, "application/json", b'{"a":1}')
    cookie = probe.server.request("GET", f"{path}?kind=cookie")
    assert (cookie.status, cookie.headers["x-own"]) == (201, "v")
    assert cookie.headers["set-cookie"].startswith("k=v")
    assert answer("tuple") == (203, "image/png", b"bytes")
    redirect = probe.server.request("GET", f"{path}?kind=redirect")
    assert (redirect.status, redirect.headers["location"]) == (302, "/elsewhere")
    assert answer("generator") == (200, "text/csv; charset=utf-8", b"0,1,2,")


def test_7_3_objects_that_say_they_are_flask_responses(probe: Probe) -> None:
    source = """
    class FlaskLike:
        status_code = 418
        headers = {"X-Own": "v", "Content-Type": "text/plain"}
        def __flask_response__(self):
            return True
        def get_data(self):
            return "teapot"

    def process_request(api, query, headers, body, args):
        return FlaskLike()
    """
    answer = probe.ask(source)
    assert (answer.status, answer.headers["x-own"], answer.body) == (418, "v", b"teapot")


def test_7_4_what_a_request_wrote_is_stored_before_its_answer(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        api.write(LineBuilder("m").int64_field("n", int(query["n"])).time_ns(int(query["n"])))
        return "stored"
    """
    path = probe.endpoint(source)
    for number in range(1, 20):
        assert probe.server.request("GET", f"{path}?n={number}").status == 200
        rows = probe.server.query(probe.database, "SELECT count(*) AS n FROM m")
        assert rows == [{"n": number}]


# 8. Concurrency between triggers.


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_8_a_running_plugin_calls_this_server(probe: Probe, host: str) -> None:
    inner = probe.endpoint(
        "def process_request(api, query, headers, body, args):\n    return {'got': body.decode()}"
    )
    calls = f"""
    import urllib.request, urllib.parse, json

    def call(path, body=None):
        headers = {{"Authorization": "Bearer token"}}
        request = urllib.request.Request("http://{host}:{probe.server.port}" + path, body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def everything(api):
        db = "{probe.database}"
        got = json.loads(call("{inner}", b"hello"))["got"]
        call("/api/v3/write_lp?db=" + db, b"v3 f=1i")
        call("/api/v2/write?bucket=" + db, b"v2 f=2i")
        question = urllib.parse.urlencode({{"db": db, "q": "SELECT DISTINCT f FROM v3"}})
        return [got, json.loads(call("/api/v3/query_sql?" + question)), api.query("SELECT DISTINCT f FROM v2")]
    """
    expected = ["hello", [{"f": 1}], [{"f": 2}]]
    outer = f"{calls}\n    def process_request(api, query, headers, body, args):\n        return everything(api)"
    assert probe.value(outer) == expected
    writes = (
        f"{calls}\n    def process_writes(api, batches, args):\n        api.info(everything(api))"
    )
    assert probe.after_write(writes, "m f=1 1", spec="table:m") == [str(expected)]
    ticks = (
        f"{calls}\n    def process_scheduled_call(api, t, args):\n        api.info(everything(api))"
    )
    assert probe.own_texts(probe.trigger("every:1s", ticks))[0] == str(expected)


def test_8_calls_of_one_trigger_do_not_overlap_unless_it_is_asynchronous(probe: Probe) -> None:
    source = """
    import threading, urllib.request
    def process_request(api, query, headers, body, args):
        inside = api.cache.get("inside") or api.cache.put("inside", [0, 0]) or api.cache.get("inside")
        inside[0] += 1
        inside[1] = max(inside)
        api.query("SELECT count(*) FROM range(100000)")
        inside[0] -= 1
        return inside
    """
    path = probe.endpoint(source)

    def load() -> int:
        threads = [
            threading.Thread(target=probe.server.request, args=("GET", path)) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        greatest: int = probe.server.request("GET", path).json()[1]
        return greatest

    assert load() == 1


def test_8_calls_of_an_asynchronous_trigger_overlap(probe: Probe) -> None:
    source = """
    import threading
    def process_request(api, query, headers, body, args):
        meeting = api.cache.get("meeting")
        if "prepare" in query:
            api.cache.put("meeting", threading.Barrier(2))
            return "prepared"
        meeting.wait(10)  # passes only when two calls are inside at once
        return "met"
    """
    path = f"{probe.database}-async"
    probe.trigger(f"request:{path}", source, run_async=True)
    url = f"{probe.server.url}/api/v3/engine/{path}"
    assert urllib.request.urlopen(f"{url}?prepare=1", timeout=30).read() == b"prepared"
    answers: list[bytes] = []

    def call() -> None:
        answers.append(probe.server.request("GET", f"/api/v3/engine/{path}").body)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"met", b"met"]


# 9. Logging.


def test_9_values_are_joined_by_one_space_under_the_triggers_name(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        print("printed", "\\ud800")
        api.info("a", 1, None, {"k": [1.5]})
        api.warn("two\\nlines", "日本 🎉")
        api.error()
        api.info("x" * 50000)
        try:
            api.info("x", sep="-")
        except TypeError:
            return "kwargs are refused"
    """
    assert probe.ask(source).body == b"kwargs are refused"
    lines = probe.server.logs(probe.database, f"{probe.database}-1")
    own = [
        (line["log_level"], line["log_text"])
        for line in lines
        if not line["log_text"].startswith(("starting", "finished"))
    ]
    assert own == [
        ("INFO", "a 1 None {'k': [1.5]}"),
        ("WARN", "two\nlines 日本 🎉"),
        ("ERROR", ""),
        ("INFO", "x" * 50000),
    ]


def test_9_lines_can_be_read_while_the_plugin_still_runs(probe: Probe) -> None:
    source = """
    import time
    def process_request(api, query, headers, body, args):
        api.info("early")
        sql = "SELECT log_text FROM system.processing_engine_logs WHERE log_text = 'early'"
        deadline = time.monotonic() + 10
        while not api.query(sql):
            assert time.monotonic() < deadline
        return "seen"
    """
    assert probe.ask(source).body == b"seen"


def test_9_an_exception_in_str_of_a_logged_value_reaches_the_plugin(probe: Probe) -> None:
    source = """
    class Bad:
        def __str__(self):
            raise KeyError("bad")

    def process_request(api, query, headers, body, args):
        try:
            api.info(Bad())
        except KeyError:
            return "raised"
    """
    assert probe.ask(source).body == b"raised"
