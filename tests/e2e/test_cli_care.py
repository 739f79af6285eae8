"""The care that commands take: questions before what destroys, guesses at names, terminals."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT, ServerProcess

pytestmark = pytest.mark.e2e

PLUGIN = "def process_writes(influxdb3_local, table_batches, args=None):\n    pass\n"


def databases(server: ServerProcess) -> list[str]:
    rows = json.loads(server.cli("show", "databases", "--format", "json").stdout)
    return [row["iox::database"] for row in rows]


def on_terminal(server: ServerProcess, *words: str, typed: str = "", columns: int = 80) -> str:
    """What a command shows on a terminal where `typed` is typed once it asks."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={
            **server.environment,
            "XDG_CONFIG_HOME": str(server.data_dir.parent),
            "HEADRACE_HOST_URL": server.url,
            "COLUMNS": str(columns),
            "TERM": "xterm",
        },
    )
    os.close(theirs)
    seen = b""
    try:
        # The end of a terminal without a process is an error of the device.
        while True:
            ready, _, _ = select.select([ours], [], [], 60)
            assert ready, seen
            try:
                block = os.read(ours, 65_536)
            except OSError:
                break
            if not block:
                break
            seen += block
            if typed and b"[yes/no]" in seen:
                os.write(ours, typed.encode())
                typed = ""
    finally:
        os.close(ours)
        process.wait(60)
    return seen.decode().replace("\r\n", "\n")


def test_a_script_says_yes_to_what_the_reference_asks_about(shared_server: ServerProcess) -> None:
    server = shared_server
    for name in ("yes_a", "yes_b"):
        server.cli("create", "database", name)
    refused = server.cli("delete", "database", "yes_a", stdin="no\n")
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert server.cli("delete", "database", "yes_a").returncode == 1
    assert {"yes_a", "yes_b"} <= {*databases(server)}
    assert server.cli("delete", "database", "yes_a", stdin="yes\n").returncode == 0
    assert server.cli("delete", "database", "yes_b", "-y").returncode == 0
    assert not {"yes_a", "yes_b"} & {*databases(server)}


def test_a_dry_run_destroys_nothing_and_says_what_would_go(shared_server: ServerProcess) -> None:
    server = shared_server
    server.plugin("p.py", PLUGIN)
    server.write("dry", "cpu f=1\nmem f=1")
    server.create_trigger("dry", "watch", "all_tables", "p.py")
    server.cli("create", "secret", "password", stdin="1234")
    for words, text in (
        (
            ("database", "dry"),
            'delete database "dry" with all its rows: tables cpu, mem; triggers watch',
        ),
        (("trigger", "watch", "-d", "dry", "--force"), 'delete trigger "watch"'),
        (("secret", "password"), 'delete secret "password"'),
        (("token", "--token-name", "t"), 'delete token "t"'),
    ):
        result = server.cli("delete", *words, "--dry-run", "--yes")
        assert result.returncode == 0, result.stderr
        assert text in result.stdout
        assert "nothing was done" in result.stdout
    dropped = server.cli(
        *("dead-letters", "drop", "--trigger", "watch", "-d", "dry", "--all", "--dry-run")
    )
    assert 'drop all dead letters of trigger "watch"' in dropped.stdout
    assert "dry" in databases(server)
    assert "watch" in server.cli("show", "triggers").stdout
    assert "password" in server.cli("show", "secrets").stdout
    wrong = server.cli("create", "token", "--admin", "--dry-run")
    assert wrong.returncode == 1
    assert "--regenerate" in wrong.stderr


def test_on_a_terminal_every_deletion_asks(shared_server: ServerProcess) -> None:
    server = shared_server
    server.plugin("p.py", PLUGIN)
    server.write("asked", "cpu f=1")
    server.create_trigger("asked", "watch", "all_tables", "p.py")
    words = ("delete", "trigger", "watch", "-d", "asked", "--force")
    unsure = on_terminal(server, *words, typed="n\n")
    assert 'Delete trigger "watch" with its state and dead letters? [yes/no]' in unsure
    assert "nothing was changed" in unsure
    assert "watch" in server.cli("show", "triggers", "-d", "asked").stdout
    assert "deleted successfully" in on_terminal(server, *words, typed="yes\n")
    assert "watch" not in server.cli("show", "triggers", "-d", "asked").stdout
    # A script goes on, as with the reference.
    server.create_trigger("asked", "watch", "all_tables", "p.py")
    assert server.cli(*words).returncode == 0


def test_tables_fit_the_terminal_and_files_get_all(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    server = shared_server
    server.write("fit", f'm text="{"long " * 40}",number=1 1')
    words = ("query", "-d", "fit", "SELECT number, text FROM m")
    shown = on_terminal(server, *words, columns=50)
    plain = re.sub(r"\033\[[0-9;]*m", "", shown)
    assert plain != shown
    assert {len(line) for line in plain.splitlines()} == {50}
    assert "…" in plain
    refused = on_terminal(server, *words, "--format", "parquet")
    assert "parquet is not for a terminal" in refused
    # Colour of the word that says whose error it is.
    assert "\033[31;1mheadrace:\033[0m" in refused
    piped = server.cli(*words)
    assert "\033" not in piped.stdout
    assert "long " * 39 in piped.stdout
    target = tmp_path / "answer"
    for form in ("pretty", "json", "csv"):
        stored = server.cli(*words, "--format", form, "--output", str(target))
        assert (stored.returncode, stored.stdout) == (0, "")
        assert "long " * 39 in target.read_text()
    stored = server.cli("show", "databases", "--format", "parquet", "--output", str(target))
    assert target.read_bytes()[:4] == b"PAR1"


def test_the_nearest_name_is_suggested(shared_server: ServerProcess) -> None:
    server = shared_server
    server.plugin("p.py", PLUGIN)
    server.write("factory", "cpu f=1")
    server.create_trigger("factory", "watch", "all_tables", "p.py")
    for words, guess in (
        (("query", "-d", "factroy", "SELECT 1"), "factory"),
        (("delete", "database", "factori", "--yes"), "factory"),
        (("enable", "trigger", "wacth", "-d", "factory"), "watch"),
        (("delete", "trigger", "watcher", "-d", "factory"), "watch"),
    ):
        result = server.cli(*words)
        assert result.returncode == 1
        assert f"did you mean '{guess}'?" in result.stderr
    far = server.cli("query", "-d", "zzz", "SELECT 1")
    assert far.returncode == 1
    assert "did you mean" not in far.stderr


def test_a_guess_shows_nothing_that_the_token_may_not_see(server: ServerProcess) -> None:
    for name in ("public", "hidden"):
        server.cli("create", "database", name)
    admin = json.loads(server.cli("create", "token", "--admin", "--format", "json").stdout)["token"]
    server.environment["HEADRACE_AUTH_TOKEN"] = admin
    made = server.cli(
        *("create", "token", "--name", "t", "--database", "public:read", "--format", "json")
    )
    server.environment["HEADRACE_AUTH_TOKEN"] = json.loads(made.stdout)["token"]
    for wrong in ("hiden", "publc"):
        result = server.cli("query", "-d", wrong, "SELECT 1")
        assert result.returncode == 1
        assert "'hidden'" not in result.stderr


def test_a_profile_leads_to_its_server(shared_server: ServerProcess, tmp_path: Path) -> None:
    server = shared_server
    server.write("profiled", "cpu f=1")
    path = tmp_path / "headrace" / "config.toml"
    path.parent.mkdir()
    path.write_text(f'[profiles.here]\nhost = "{server.url}"\ndatabase = "profiled"\n')
    environment = {
        key: value
        for key, value in server.environment.items()
        if not key.startswith(("HEADRACE_", "INFLUXDB3_"))
    }
    result = subprocess.run(
        [sys.executable, "-m", "engine", *("query", "--profile", "here", "SELECT f FROM cpu")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**environment, "XDG_CONFIG_HOME": str(tmp_path)},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "| 1.0 |" in result.stdout


def test_system_tables_and_retention_are_shown(shared_server: ServerProcess) -> None:
    server = shared_server
    server.cli("create", "database", "kept_a", "--retention-period", "30d")
    server.cli("create", "database", "--database", "kept_b")
    server.write("kept_a", "cpu,host=x,region=y f=1")
    server.cli("update", "table", "cpu", "-d", "kept_a", "-r", "12h")
    server.cli("update", "database", "-d", "kept_b", "-r", "90m")
    kept = json.loads(server.cli("show", "retention", "--format", "json").stdout)
    assert [row for row in kept if row["database_name"].startswith("kept")] == [
        {"database_name": "kept_a", "retention_period": "30d"},
        {"database_name": "kept_a", "table_name": "cpu", "retention_period": "12h"},
        {"database_name": "kept_b", "retention_period": "90m"},
    ]
    one = server.cli("show", "retention", "--database", "kept_b", "--format", "csv")
    assert one.stdout.splitlines()[1:] == ["kept_b,,90m"]
    server.cli("update", "database", "-d", "kept_b", "-r", "none")
    assert "infinite" in server.cli("show", "retention", "--database", "kept_b").stdout
    tables = server.cli("show", "system", "-d", "_internal", "table-list")
    assert {"databases", "tables", "tokens"} <= set(re.findall(r"\w+", tables.stdout))
    listed = server.cli(
        *("show", "s", "table", "tables", "-d", "_internal"),
        *(
            "-s",
            "database_name, table_name, series_key_columns, column_count, deleted",
            "--format",
            "jsonl",
        ),
    )
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [row for row in rows if row["database_name"] == "kept_a"] == [
        {
            "database_name": "kept_a",
            "table_name": "cpu",
            "series_key_columns": "host, region",
            "column_count": 4,
            "deleted": False,
        }
    ]
    wrong = server.cli("show", "system", "-d", "kept_a", "table", "querys")
    assert wrong.returncode == 1
    assert "did you mean 'queries'?" in wrong.stderr
    summary = server.cli("show", "system", "-d", "kept_a", "summary")
    assert "queries summary:" in summary.stdout
    # They show what is in all databases, so no database but the internal one has them.
    assert "databases" not in server.cli("show", "system", "-d", "kept_a", "table-list").stdout


def test_writes_are_compressed_and_cut_as_told(shared_server: ServerProcess) -> None:
    server = shared_server
    lines = "".join(f"m f={number}i {number}\n" for number in range(1, 1001))

    def requests() -> int:
        metrics = server.request("GET", "/metrics").body.decode()
        pattern = r'headrace_http_requests_total\{method="POST",status="204"\} (\d+)'
        return sum(map(int, re.findall(pattern, metrics)))

    before = requests()
    result = server.cli(
        *("write", "-d", "packed", "-p", "ns", "--gzip", "--max-request-size", "1KB"), stdin=lines
    )
    assert result.returncode == 0, result.stderr
    assert server.query("packed", "SELECT count(*) AS n, sum(f) AS s FROM m") == [
        {"n": 1000, "s": 500_500}
    ]
    assert requests() - before > 10
