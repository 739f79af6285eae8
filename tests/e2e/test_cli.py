"""The command line against a real server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT, ServerProcess

pytestmark = pytest.mark.e2e


def test_databases_are_created_shown_and_deleted(server: ServerProcess) -> None:
    created = server.cli("create", "database", "mydb")
    assert (created.returncode, created.stdout) == (0, 'Database "mydb" created successfully\n')
    again = server.cli("create", "database", "mydb")
    assert again.returncode == 1
    assert "already exists" in again.stderr
    assert "there is a database 'mydb'" in again.stderr
    assert again.stdout == ""
    shown = server.cli("show", "databases")
    assert "| mydb" in shown.stdout
    assert json.loads(server.cli("show", "databases", "--format", "json").stdout) == [
        {"iox::database": "mydb", "retention_period": "infinite"}
    ]
    unsure = server.cli("delete", "database", "mydb")
    assert unsure.returncode == 1
    assert server.cli("delete", "database", "mydb", "--yes").returncode == 0
    assert server.cli("show", "databases", "--format", "json").stdout.strip() == "[]"


def test_write_from_argument_file_and_standard_input(server: ServerProcess, tmp_path: Path) -> None:
    assert server.cli("write", "-d", "db", "m f=1i 1", "--precision", "ns").returncode == 0
    path = tmp_path / "data.lp"
    path.write_text("".join(f"m f={number}i {number}\n" for number in range(2, 1000)))
    assert server.cli("write", "-d", "db", "--file", str(path), "-p", "ns").returncode == 0
    assert server.cli("write", "-d", "db", "-p", "ns", stdin="m f=1000i 1000\n").returncode == 0
    assert server.query("db", "SELECT count(*) AS n, sum(f) AS s FROM m") == [
        {"n": 1000, "s": 500500}
    ]


def test_an_empty_input_is_an_error(server: ServerProcess, tmp_path: Path) -> None:
    empty = tmp_path / "empty.lp"
    empty.touch()
    for arguments, stdin in ((["", "--quiet"], None), (["--file", str(empty)], None), ([], "")):
        result = server.cli("write", "-d", "db", *arguments, stdin=stdin)
        assert result.returncode == 1
        assert "no lines given" in result.stderr


def test_several_files_and_standard_input_are_written(
    server: ServerProcess, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.lp", tmp_path / "b.lp"
    first.write_text("several f=1i 1\nseveral f=oops\n")
    second.write_text("several f=2i 2")
    files = ("-f", str(first), "-f", "-", "-f", str(second))
    result = server.cli("write", "-d", "db", "-p", "ns", *files, stdin="several f=3i 3")
    assert result.returncode == 1
    assert f"line 2 of {first}: " in result.stderr
    result = server.cli("write", "-d", "db", "-p", "ns", "-", stdin="several f=4i 4")
    assert result.returncode == 0
    for source in (("-",), ("-f", "-")):
        asked = server.cli("query", "-d", "db", *source, stdin="SELECT count(f) AS n FROM several")
        assert "4" in asked.stdout
    assert server.query("db", "SELECT f FROM several ORDER BY f") == [{"f": n} for n in range(1, 5)]
    result = server.cli("write", "-d", "db", "-f", str(second), "-f", str(tmp_path / "c.lp"))
    assert result.returncode == 1
    assert "c.lp: No such file" in result.stderr
    assert "Errno" not in result.stderr


def test_a_server_without_tls_is_told_from_a_broken_one(server: ServerProcess) -> None:
    result = server.cli("show", "databases", "--host", f"https://127.0.0.1:{server.port}")
    assert result.returncode == 1
    assert "write http://" in result.stderr
    server.write("db", "weather f=1i 1")
    result = server.cli("query", "-d", "db", "SELECT * FROM wether")
    assert "did you mean 'weather'?" in result.stderr


def test_wrong_settings_of_a_server_are_wrong_usage(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    for flags in (("--query-concurrency", "0"), ("--http-bind", "x"), ("--config", "/nowhere")):
        result = server.cli("serve", *flags)
        assert result.returncode == 2
        assert flags[0] in result.stderr


def test_show_config_names_the_source_of_each_value(tmp_path: Path) -> None:
    path = tmp_path / "headrace.toml"
    path.write_text("query-concurrency = 3\n")
    server = ServerProcess(tmp_path)
    server.environment |= {"HEADRACE_NODE_ID": "named", "HEADRACE_ADMIN_TOKEN": "apiv3_hidden"}
    flags = ("--config", str(path), "--query-timeout", "5s")
    shown = json.loads(server.cli("show", "config", "--format", "json", *flags).stdout)
    assert shown["query-concurrency"] == {"value": "3", "source": f"{path}: query-concurrency"}
    assert shown["query-timeout"] == {"value": "5s", "source": "--query-timeout"}
    assert shown["node-id"] == {"value": "named", "source": "HEADRACE_NODE_ID"}
    assert shown["max-http-request-size"] == {"value": "10MB", "source": "default"}
    assert shown["admin-token"] == {"value": "***", "source": "HEADRACE_ADMIN_TOKEN"}
    pretty = server.cli("show", "config", *flags)
    assert pretty.returncode == 0
    assert "apiv3_hidden" not in pretty.stdout
    assert "query-timeout" in pretty.stdout


def test_refused_lines_are_printed_with_their_numbers(server: ServerProcess) -> None:
    result = server.cli("write", "-d", "db", "m f=1i 1\nm f=oops\n")
    assert result.returncode == 1
    assert "line 2" in result.stderr
    assert "m f=oops" in result.stderr
    assert "Traceback" not in result.stderr


def test_refused_lines_of_a_large_file_have_the_numbers_of_the_file(
    server: ServerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "data.lp"
    bad = {10, 250_000, 399_999}
    with path.open("w") as file:
        for number in range(1, 400_001):
            value = "oops" if number in bad else f"{number}i"
            file.write(f"m,host=a f={value} {number}\n")
    result = server.cli("write", "-d", "db", "-p", "ns", "--file", str(path))
    assert result.returncode == 1
    for number in bad:
        assert f"line {number}: " in result.stderr
        assert f"m,host=a f=oops {number}\n" in result.stderr
    rows = server.query("db", "SELECT count(*) AS n FROM m")
    assert rows == [{"n": 400_000 - len(bad)}]


@pytest.mark.parametrize("url", ["bogus", "http://127.0.0.1:99999", "http://[::1", "ftp://x"])
def test_a_wrong_url_is_one_clear_line(tmp_path: Path, url: str) -> None:
    result = ServerProcess(tmp_path).cli("show", "databases", "--host", url)
    assert result.returncode == 1
    assert f"'{url}' is not a URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_query_formats_output_and_parameters(server: ServerProcess, tmp_path: Path) -> None:
    server.cli("write", "-d", "db", "m,t=a f=1i 1\nm,t=b f=2i 2", "--precision", "ns")
    pretty = server.cli("query", "-d", "db", "SELECT t, f FROM m ORDER BY f")
    assert pretty.stdout.splitlines()[0].startswith("+-")
    assert "| a | 1 |" in pretty.stdout
    one = server.cli(
        *(
            "query",
            "-d",
            "db",
            "--format",
            "jsonl",
            "SELECT f FROM m WHERE t = $t",
            "--param",
            "t=b",
        )
    )
    assert one.stdout == '{"f":2}\n'
    target = tmp_path / "out.parquet"
    stored = server.cli(
        *("query", "-d", "db", "--format", "parquet", "-o", str(target), "SELECT * FROM m")
    )
    assert stored.returncode == 0
    assert target.read_bytes()[:4] == b"PAR1"
    influxql = server.cli(
        *("query", "-d", "db", "-l", "influxql", "--format", "csv", "SELECT count(f) FROM m")
    )
    assert influxql.stdout.splitlines()[1] == "m,1970-01-01T00:00:00,2"
    wrong = server.cli("query", "-d", "db", "SELECT nothing FROM m")
    assert wrong.returncode == 1
    assert "nothing" in wrong.stderr


def test_a_reader_that_has_seen_enough_is_no_error(server: ServerProcess) -> None:
    server.cli("write", "-d", "db", stdin="".join(f"m f={n}i {n}\n" for n in range(50_000)))
    command = (
        f"{sys.executable} -m engine query -d db 'SELECT * FROM m' --host {server.url} | head -1"
    )
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.stdout.startswith("+-")
    assert done.stderr == ""


def test_no_server_is_one_clear_line(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    result = server.cli("show", "databases")
    assert result.returncode == 1
    assert "no server answers" in result.stderr
    assert "headrace serve" in result.stderr


def test_wrong_usage_ends_with_status_2(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    assert server.cli("frobnicate").returncode == 2
    assert server.cli("create", "trigger", "--database", "db", "name").returncode == 2
    helped = server.cli("create", "trigger", "help")
    assert helped.returncode == 0
    assert "--trigger-arguments" in helped.stdout


def test_wal_dump_prints_frames(server: ServerProcess) -> None:
    server.cli("create", "database", "db")
    server.cli("write", "-d", "db", "m,t=a f=1i 1", "--precision", "ns")
    (segment,) = (server.data_dir / "node0" / "wal").glob("*.wal")
    result = server.cli("wal", "dump", "--rows", str(segment))
    assert result.returncode == 0, result.stderr
    assert "catalog" in result.stdout
    assert "table=m rows=1" in result.stdout
    assert '{"t": "a", "f": 1, "time": 1}' in result.stdout
    broken = segment.parent / "broken"
    broken.write_bytes(b"x" * 100)
    assert server.cli("wal", "dump", str(broken)).returncode == 1
