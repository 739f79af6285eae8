"""Beyond the reference: plugins that take and give Arrow, on a real server."""

from collections.abc import Callable

import pytest

from tests.support.file_server import FileServer
from tests.support.probe import Probe
from tests.support.server import ServerProcess
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


STRICT = """
def process_batches(api, tables, args):
    table = tables["m"]
    for value in table["f"].to_pylist():
        if value < 0:
            raise ValueError(f"{value} is negative")
    types = " ".join(str(column.type) for column in table.schema)
    api.info(f"good {table.num_rows} {types}")
    api.write_table("copy", table.select(["f", "time"]))
    api.state.put("rows", api.state.get("rows", 0) + table.num_rows)
    api.info("in all", api.state.get("rows"))
"""


def test_bad_rows_of_arrow_batches_are_found_parked_and_replayed(
    make_server: Callable[..., ServerProcess],
) -> None:
    """What is replayed has the columns of the log's tables, dictionaries of tags included."""
    server = make_server("--plugin-retries", "1").start()
    server.plugin("strict.py", STRICT)
    server.cli("create", "database", "db")
    server.create_trigger("db", "t", "table:m", "strict.py", error_behavior="retry")
    server.write("db", "".join(f"m,h=a f={n}i,u={n}u {n}\n" for n in range(1, 40)), precision="ns")
    server.write("db", "m,h=b f=-1i,u=1u 100\n", precision="ns")
    server.write("db", "m,h=c f=7i,u=1u 101\n", precision="ns")

    def copied() -> object:
        answer = server.ask("db", "SELECT count(*) AS n, sum(f) AS total FROM copy")
        return answer.status == 200 and answer.json() == [{"n": 40, "total": 780 + 7}]

    wait_for(copied, "the good rows are processed")
    (letter,) = server.query("db", "SELECT * FROM system.processing_engine_dead_letters")
    assert (letter["num_rows"], letter["error"]) == (1, "ValueError: -1 is negative")

    server.plugin("strict.py", STRICT.replace("value < 0", "False"))
    replayed = server.cli("dead-letters", "replay", "-d", "db", "--trigger", "t", "--all")
    assert replayed.returncode == 0, replayed.stderr
    texts = [line["log_text"] for line in server.logs("db", "t")]
    kinds = {text.split(" ", 2)[2] for text in texts if text.startswith("good ")}
    assert len(kinds) == 1, kinds
    assert texts.count("in all 41") == 1


def test_arrow_batches_begin_in_the_past_and_obey_the_row_limit(probe: Probe) -> None:
    probe.write("\n".join(f"m f={n}i {n}" for n in range(25)))
    source = """
    def process_batches(api, tables, args):
        api.info("got", tables["m"].num_rows, tables["m"]["f"][0].as_py())
    """
    trigger = probe.trigger("table:m", source, batch_rows=10, start_from="beginning")
    assert probe.own_texts(trigger, runs=3) == ["got 10 0", "got 10 10", "got 5 20"]


def test_fetched_code_keeps_its_state_and_letters_when_it_is_updated(
    make_server: Callable[..., ServerProcess],
) -> None:
    with FileServer().running() as web:
        web.files["/strict.py"] = STRICT.encode()
        server = make_server("--plugin-retries", "1", "--plugin-repo", web.url).start()
        server.cli("create", "database", "db")
        server.create_trigger("db", "t", "table:m", "gh:strict.py", error_behavior="retry")
        server.write("db", "m f=1i 1\nm f=-1i 2\nm f=3i 3\n", precision="ns")

        def letters() -> object:
            return server.query("db", "SELECT * FROM system.processing_engine_dead_letters")

        wait_for(letters, "the bad row is parked")
        web.files["/strict.py"] = STRICT.replace("value < 0", "False").encode()
        assert server.cli("update", "trigger", "-d", "db", "t").returncode == 0
        server.kill()
    server.start()
    replayed = server.cli("dead-letters", "replay", "-d", "db", "--trigger", "t", "--all")
    assert replayed.returncode == 0, replayed.stderr
    assert letters() == []
    assert "in all 3" in [line["log_text"] for line in server.logs("db", "t")]
