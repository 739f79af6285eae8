"""What is exported and imported again is the same, in every format; an import goes on where it was."""

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from engine.cli import main
from engine.cli.client import Client, ServerError
from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

LINES = (
    'cpu,host=a\\ b,r="x\\,\\ y f=1.5,i=-9223372036854775808i,u=18446744073709551615u,b=t,'
    's="q\\"\\\\\n,é 日本" 1\n'
    'cpu,host=b f=1e300,s="" 1700000000000000001\n'
    "cpu f=5e-324,i=9223372036854775807i,b=f -5\n"
    "cpu,host=c f=-0.0 1600000000000000000\n"
    "cpu,host=d f=1.7976931348623157e308 1600000000000000000\n"
    'cpu,host=d s="second" 1600000000000000001\n'
)
QUESTION = "SELECT * FROM cpu ORDER BY time, host"
COLUMNS = "SHOW COLUMNS FROM cpu"


@pytest.fixture
def direct(shared_server: ServerProcess, monkeypatch, tmp_path: Path) -> None:
    """Commands of this process go to the server."""
    monkeypatch.setenv("HEADRACE_HOST_URL", shared_server.url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.mark.parametrize(
    "name", ["x.lp", "x.lp.gz", "x.csv", "x.csv.zst", "x.jsonl", "x.jsonl.gz", "x.parquet"]
)
def test_the_way_there_and_back(
    shared_server: ServerProcess, direct: None, tmp_path: Path, name: str
) -> None:
    server = shared_server
    assert server.write("first", LINES, precision="ns").status == 204
    path = str(tmp_path / name)
    assert main.main(["export", "-d", "first", "--table", "cpu", "-o", path]) == 0
    assert [file.name for file in tmp_path.iterdir()] == [name]
    database = name.replace(".", "_")
    assert main.main(["import", "-d", database, path, "--batch-bytes", "100"]) == 0
    for question in (QUESTION, COLUMNS):
        expected = server.ask("first", question).json()
        found = server.ask(database, question).json()
        for rows in (expected, found):
            for row in rows:
                row.pop("table_schema", None)
        assert found == expected
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_file_for_each_table_and_a_database_to_standard_output(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    server = shared_server
    assert server.write("two", "a f=1 1\n../b,t=x f=2i 2", precision="ns").status == 204
    made = server.cli(
        *("export", "-d", "two", "--format", "csv", "--compress", "gzip"),
        *("--directory", str(tmp_path / "out")),
    )
    assert made.returncode == 0, made.stderr
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["%2E%2E%2Fb.csv.gz", "a.csv.gz"]
    files = [str(tmp_path / "out" / name) for name in names]
    read = server.cli("import", "-d", "two_again", *files)
    assert read.returncode == 0, read.stderr
    shown = server.cli("export", "-d", "two_again")
    assert shown.stdout.splitlines() == [
        "# precision: ns",
        "../b,t=x f=2i 2",
        "a f=1.0 1",
    ]
    refused = server.cli("export", "-d", "two", "--format", "csv")
    assert refused.returncode == 1
    assert "--directory" in refused.stderr
    nothing = server.cli("export", "-d", "two", "--table", "none", "-o", str(tmp_path / "x.lp"))
    assert "table 'none' not found" in nothing.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("form", ["lp", "csv", "jsonl", "parquet"])
def test_an_import_goes_on_where_it_was(
    shared_server: ServerProcess, direct: None, monkeypatch, tmp_path: Path, form: str
) -> None:
    server = shared_server
    rows = 200
    lines = "".join(f'm,t=t{row % 7} f={row}i,s="a\nb" {row}\n' for row in range(rows))
    assert server.write("source", lines, precision="ns").status == 204
    path = tmp_path / f"m.{form}"
    assert main.main(["export", "-d", "source", "-o", str(path)]) == 0
    database = f"again_{form}"
    command = ["import", "-d", database, str(path), "--batch-bytes", "1KB", "-q"]
    sent: list[int] = []
    request = Client.request

    def count(self, method, target, **settings):
        if target == "/api/v3/write_lp":
            if len(sent) == 3:
                raise ServerError("the cable was pulled")
            sent.append(len(settings["body"]))
        return request(self, method, target, **settings)

    monkeypatch.setattr(Client, "request", count)
    assert main.main(command) == 1
    state = tmp_path / f"m.{form}.import-state"
    known = json.loads(state.read_text())["files"][str(path)]
    assert known["place"] > 0
    assert not known["done"]
    before = sum(sent)
    # Another import, or a changed file, is not continued.
    assert main.main([*command, "--tags", "t"]) == 1
    monkeypatch.setattr(
        Client,
        "request",
        lambda self, *a, **k: sent.append(len(k["body"])) or request(self, *a, **k),
    )
    assert main.main(command) == 0
    assert sum(sent) < 2 * before + 200 * 40, "it began anew"
    expected = [{"n": rows, "s": rows * (rows - 1) // 2}]
    assert server.query(database, "SELECT count(*) AS n, sum(f) AS s FROM m") == expected
    assert not state.exists()


def test_refused_lines_are_kept_with_their_places(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    server = shared_server
    path = tmp_path / "bad.lp"
    good = b"".join(b"m f=%d %d\n" % (row, row) for row in range(100))
    path.write_bytes(good + b"bad\n" + b'm f="x\ny" 3\n\xff f=1 4\n' + b'm f="open 5\nm f=5 500\n')
    read = server.cli("import", "-d", "bad", str(path), "-p", "ns", "--batch-bytes", "500")
    assert read.returncode == 1
    assert "4 rows were refused" in read.stderr
    for line in (101, 102, 104, 105):
        assert f"bad.lp:{line}: " in read.stderr
    rejects = (tmp_path / "bad.lp.rejects").read_bytes()
    for text in (b"bad\n", b'm f="x\ny" 3\n', b"\xff f=1 4\n", b'm f="open 5\n'):
        assert b"\n" + text in rejects
    assert server.query("bad", "SELECT count(*) AS n FROM m") == [{"n": 101}]


def test_an_export_that_fails_midway_is_cut_off_and_said(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = make_server("--wal-segment-size", "32KB", "--persist-log-size", "32KB").start()
    # More than one slice. Of the last one, in a file of its own, a value cannot be read.
    lines = "".join(f"m f={row}i {row}\n" for row in range(150_000))
    last_ns = 3_600 * 10**9
    lines += f'm f=1i,s="{"x" * 99}" {last_ns}\nfiller s="{"-" * 40_000}" 1'
    assert server.write("db", lines, precision="ns").status == 204
    files = "SELECT path FROM system.parquet_files WHERE table_name = 'm' AND min_time = "
    found = row_of(server, f"{files}{last_ns}")
    damage_column(server.data_dir / "node0" / "parquet" / found["path"], "s")
    export = {"db": "db", "table": "m"}
    with pytest.raises(http.client.IncompleteRead) as caught:
        server.request("GET", "/api/v3/export", parameters=export, headers={"X-Request-Id": "mine"})
    assert caught.value.partial.startswith(b"# precision")
    (told,) = [line for line in server.log_text.splitlines() if "answer broken off" in line]
    for text in (" ERROR ", "request_id=mine", "path=/api/v3/export", found["path"]):
        assert text in told
    # Now it is known, and told by a status; the command leaves no file.
    assert server.request("GET", "/api/v3/export", parameters=export).status == 503
    whole = tmp_path / "m.lp"
    assert server.cli("export", "-d", "db", "--table", "m", "-o", str(whole)).returncode == 1
    assert not whole.exists()


def row_of(server: ServerProcess, sql: str) -> dict[str, Any]:
    """The only row of an answer, once it is there; rows go to files meanwhile."""

    def rows() -> list[dict[str, Any]]:
        # The log goes on to its next file with a write.
        assert server.write("db", "tick f=1").status == 204
        return server.query("db", sql)

    wait_for(lambda: bool(rows()), "a file", timeout_s=60)
    (row,) = rows()
    return row


def damage_column(path: Path, name: str) -> None:
    """Write zeros over the values of a column."""
    group = pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
    (column,) = [
        one
        for one in (group.column(index) for index in range(group.num_columns))
        if one.path_in_schema == name
    ]
    start = column.dictionary_page_offset or column.data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(content)


def test_whose_token_does_not_read_does_not_export(shared_server: ServerProcess) -> None:
    answer = shared_server.request("GET", "/api/v3/export", parameters={"db": "nowhere"})
    assert answer.status == 404
    for parameters, text in (({}, "'db'"), ({"db": "x", "format": "xml"}, "xml")):
        answer = shared_server.request("GET", "/api/v3/export", parameters=parameters)
        assert answer.status == 400
        assert text in answer.json()["error"]
