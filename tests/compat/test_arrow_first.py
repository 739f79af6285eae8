"""Beyond the reference: plugins that take and give Arrow, on a real server."""

import pytest

from tests.support.probe import Probe
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e


def test_process_batches_gets_tables_and_writes_tables(probe: Probe) -> None:
    source = """
    import pyarrow.compute as pc
    def process_writes(api, batches, args):
        raise AssertionError("process_batches takes its place")

    def process_batches(api, tables, args):
        for name, table in tables.items():
            sums = table.group_by("host").aggregate([("f", "sum")])
            api.write_table("sums_" + name, sums, tags=["host"], time=None)
            api.info(name, table.num_rows, table.column_names, args)
    """
    trigger = probe.trigger("all_tables", source, arguments={"a": "1"})
    probe.write("m,host=a f=1 1\nm,host=b f=2 2\nm,host=a f=3 3\nn,host=c f=4 4")
    assert probe.own_texts(trigger) == [
        "m 3 ['host', 'f', 'time'] {'a': '1'}",
        "n 1 ['host', 'f', 'time'] {'a': '1'}",
    ]
    rows = probe.server.query(probe.database, "SELECT host, f_sum FROM sums_m ORDER BY host")
    assert rows == [{"host": "a", "f_sum": 4.0}, {"host": "b", "f_sum": 2.0}]


def test_a_plugin_with_process_batches_alone_is_accepted_and_tried(probe: Probe) -> None:
    filename = probe.file(
        """
        def process_batches(api, tables, args):
            api.info({name: str(table.schema.field("t").type)[:10] for name, table in tables.items()})
        """
    )
    result = probe.server.cli(
        "test", "wal_plugin", "-d", probe.database, "--lp", "m,t=a f=1", filename
    )
    assert result.returncode == 0, result.stderr
    assert "{'m': 'dictionary'}" in result.stdout


def test_rows_of_several_frames_come_as_one_table(probe: Probe) -> None:
    source = """
    def process_batches(api, tables, args):
        api.write(LineBuilder("seen").int64_field("n", tables["m"].num_rows))
    """
    probe.trigger("table:m", source)
    for number in range(20):
        probe.write(f"m,t=a f{number % 3}=1i {number}")

    def seen() -> object:
        answer = probe.server.ask(probe.database, "SELECT sum(n) AS n FROM seen")
        return answer.status == 200 and answer.json() == [{"n": 20}]

    wait_for(seen, "all rows are seen once")


def test_queries_answer_as_arrow(probe: Probe) -> None:
    probe.write("m,t=a f=1 1\nm,t=b f=2 2")
    source = """
    def process_request(api, query, headers, body, args):
        table = api.query("SELECT t, f, time FROM m ORDER BY time", as_="arrow")
        api.write_table("copy", table, tags=["t"])
        try:
            api.query("SELECT 1", as_="excel")
        except ValueError as error:
            return [table.column_names, table["f"].to_pylist(), str(error)]
    """
    names, values, error = probe.value(source)
    assert (names, values) == (["t", "f", "time"], [1.0, 2.0])
    assert "as_ must be" in error
    rows = probe.server.query(probe.database, "SELECT t, f, time FROM copy ORDER BY time")
    assert [(row["t"], row["f"]) for row in rows] == [("a", 1.0), ("b", 2.0)]
