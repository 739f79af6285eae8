"""A backup of a running server makes a server that goes on; one that is broken off harms no other."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.cli import main
from engine.cli.client import Client
from tests.support.server import ROOT, Answer, ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = pytest.mark.e2e

SECOND_NS = 1_000_000_000
FLAGS = (
    *("--wal-segment-size", "64KB", "--persist-log-size", "64KB"),
    *("--checkpoint-log-size", "64KB", "--persist-window", "1m"),
)
SUMS = """
def process_writes(api, batches, args):
    for batch in batches:
        total = sum(row["f"] for row in batch["rows"])
        line = LineBuilder("sums").tag("batch", api.batch_id)
        api.write(line.int64_field("total", total).int64_field("rows", len(batch["rows"])))
"""
QUESTION = "SELECT count(*) AS n, sum(f) AS s FROM m"


def fill(server: ServerProcess, first: int, count: int) -> None:
    for start in range(first, first + count, 500):
        lines = "".join(
            f"m,t=t{number % 7} f={number}i {number * SECOND_NS}\n"
            for number in range(start, start + 500)
        )
        assert server.write("db", lines, precision="ns").status == 204


def sums(server: ServerProcess) -> dict[str, int]:
    rows = server.query("db", "SELECT sum(total) AS s, sum(rows) AS n FROM sums")
    return rows[0]


def files_of(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*.parquet"))


def expected(rows: int) -> dict[str, int]:
    return {"n": rows, "s": rows * (rows - 1) // 2}


def test_a_server_of_a_backup_goes_on(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = make_server(*FLAGS).start()
    assert server.cli("create", "database", "db").returncode == 0
    stored = server.cli("create", "secret", "key", stdin="very secret")
    assert stored.returncode == 0, stored.stderr
    filename = server.plugin("sums.py", SUMS)
    assert server.create_trigger("db", "sums", "table:m", filename).status == 200
    rows = 10_000
    fill(server, 0, rows)
    parquet = server.data_dir / "node0" / "parquet"
    wait_for(lambda: files_of(parquet), "files", timeout_s=60)
    directory = tmp_path / "backup"
    made = server.cli("backup", str(directory))
    assert made.returncode == 0, made.stderr
    fill(server, rows, 2_000)
    rows += 2_000
    at = server.query("db", QUESTION)
    assert at == [expected(rows)]
    again = server.cli("backup", str(directory))
    assert again.returncode == 0, again.stderr
    total, new = _bytes(again.stderr)
    assert new < total
    assert main.main(["backup", str(directory), "--verify"]) == 0
    fill(server, rows, 500)
    server.kill()

    target = tmp_path / "restored"
    restore = ["restore", str(directory), "--data-dir", str(target / "data")]
    restore += ["--plugin-dir", str(target / "plugins")]
    assert main.main(restore) == 0
    restored = ServerProcess(target, *FLAGS).start()
    try:
        assert restored.query("db", QUESTION) == at
        wait_for_value(lambda: sums(restored), expected(rows), "its triggers went on", timeout_s=60)
        fill(restored, rows, 1_000)
        rows += 1_000
        wait_for_value(lambda: sums(restored), expected(rows), "and go on", timeout_s=60)
        assert "key" in restored.cli("show", "secrets").stdout
        other = restored.cli("backup", str(directory))
        assert other.returncode == 1
        assert "another server" in other.stderr
        assert restored.cli("backup", str(tmp_path / "own"), "-q").returncode == 0
    finally:
        restored.kill()
    before = sorted(target.rglob("*"))
    assert main.main(restore) == 1, "it is not empty"
    assert sorted(target.rglob("*")) == before


def _bytes(text: str) -> tuple[int, int]:
    """Bytes of a backup, and those that were new."""
    return int(text.split(" files, ")[1].split()[0]), int(text.split("; ")[1].split()[0])


class PowerCut(BaseException):
    pass


def test_broken_off_anywhere_it_leaves_the_one_before(
    shared_server: ServerProcess, monkeypatch, tmp_path: Path
) -> None:
    server = shared_server
    monkeypatch.setenv("HEADRACE_HOST_URL", server.url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    directory = tmp_path / "backup"
    command = ["backup", str(directory), "-q"]
    shutil.rmtree(server.plugin_dir / "many", ignore_errors=True)
    for number in range(3):
        server.plugin(f"p{number}.py", f"# {number}")
    fill(server, 0, 500)
    stream = Client.stream
    count = 0

    def cut_after(files: int):
        def cut(self, path, **settings):
            nonlocal count
            for piece in stream(self, path, **settings):
                if count == files:
                    yield piece[: len(piece) // 2]
                    raise PowerCut
                yield piece
            count += 1

        return cut

    position = None
    # Nothing, the log, plugins, everything.
    for files in (0, 1, 3, 100):
        count = 0
        monkeypatch.setattr(Client, "stream", cut_after(files))
        try:
            assert main.main(command) == 0
        except PowerCut:
            pass
        else:
            assert files == 100
            break
        manifest = directory / "manifest.json"
        if position is not None:
            assert json.loads(manifest.read_text())["about"]["position"] == position
            assert main.main([*command, "--verify"]) == 0
        else:
            assert not manifest.exists()
        monkeypatch.setattr(Client, "stream", stream)
        assert main.main(command) == 0
        assert main.main([*command, "--verify"]) == 0
        position = json.loads(manifest.read_text())["about"]["position"]
        for number in range(3):
            server.plugin(f"p{number}.py", f"# {number} {files}")
        fill(server, 500 * (files + 1), 500)
    else:
        raise AssertionError("it was never whole")
    assert main.main([*command, "--verify"]) == 0


@pytest.mark.crash
def test_a_killed_backup_leaves_the_one_before(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    server = shared_server
    directory = tmp_path / "backup"
    fill(server, 0, 500)
    assert server.cli("backup", str(directory), "-q").returncode == 0
    before = (directory / "manifest.json").read_bytes()
    for number in range(200):
        server.plugin(f"many/q{number}.py", f"# {number}")
    running = subprocess.Popen(
        [sys.executable, "-m", "engine", "backup", str(directory), "-q", "--host", server.url],
        cwd=ROOT,
        env={**server.environment, "XDG_CONFIG_HOME": str(tmp_path)},
    )
    known = len(list((directory / "objects").iterdir()))
    wait_for(
        lambda: len(list((directory / "objects").iterdir())) > known + 5,
        "it has copied some",
        timeout_s=60,
        interval_s=0.001,
    )
    running.kill()
    if running.wait() != 0:
        assert (directory / "manifest.json").read_bytes() == before
    assert server.cli("backup", str(directory), "--verify").returncode == 0
    again = server.cli("backup", str(directory))
    assert again.returncode == 0, again.stderr
    assert server.cli("backup", str(directory), "--verify").returncode == 0


def test_damage_is_found(shared_server: ServerProcess, tmp_path: Path) -> None:
    server = shared_server
    directory = tmp_path / "backup"
    fill(server, 0, 500)
    assert server.cli("backup", str(directory), "-q").returncode == 0
    manifest = directory / "manifest.json"
    content = json.loads(manifest.read_text())
    entry = next(one for one in content["files"] if one["kind"] == "wal")
    path = directory / entry["stored"]
    good = path.read_bytes()
    path.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
    found = server.cli("backup", str(directory), "--verify")
    assert found.returncode == 1
    assert "its hash does not fit" in found.stderr
    refused = server.cli("restore", str(directory), "--data-dir", str(tmp_path / "x"))
    assert refused.returncode == 1
    assert "not what was written" in refused.stderr
    assert not (tmp_path / "x" / "node0").exists()
    path.unlink()
    assert "No such file" in server.cli("backup", str(directory), "--verify").stderr
    # A file that is gone comes again.
    assert server.cli("backup", str(directory), "-q").returncode == 0
    assert server.cli("backup", str(directory), "--verify").returncode == 0
    text = manifest.read_text()
    manifest.write_text(text.replace('"path": "', '"path": "../', 1))
    assert "damaged" in server.cli("backup", str(directory), "--verify").stderr


def test_the_good_rest_of_a_damaged_server_is_backed_up(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = make_server(*FLAGS).start()
    first, second = tmp_path / "first", tmp_path / "second"
    fill(server, 0, 20_000)
    wait_for(lambda: files_of(server.data_dir), "files")
    assert server.stop() == 0
    server.start()
    assert server.cli("backup", str(first), "-q").returncode == 0
    path = files_of(server.data_dir)[0]
    path.write_bytes(path.read_bytes()[:-1])
    made = server.cli("backup", str(second), "-q")
    assert made.returncode == 1
    assert f"without 1 damaged files of the server: {path.parent.parent.name}/m/" in made.stderr
    assert json.loads((second / "manifest.json").read_text())["about"]["missing"]
    # What was copied when it was whole still is.
    again = server.cli("backup", str(first), "-q")
    assert again.returncode == 0, again.stderr
    assert len(files_of(first)) == len(files_of(second)) + 1
    for directory in (first, second):
        assert server.cli("backup", str(directory), "--verify").returncode == 0
    assert server.stop() == 0


def test_nothing_but_its_files_is_given(shared_server: ServerProcess) -> None:
    server = shared_server
    fill(server, 0, 500)

    def begin() -> Answer:
        kind = {"Content-Type": "application/json"}
        return server.request("POST", "/api/v3/backup", b"{}", headers=kind)

    begun = begin().json()
    name = begun["backup_id"]

    def read(**parameters: str):
        return server.request("GET", "/api/v3/backup/file", parameters=parameters)

    for kind, path in (
        ("wal", "../lock"),
        ("plugins", "../../etc/passwd"),
        ("wal", "/etc/passwd"),
        ("..", "x"),
    ):
        assert read(id=name, kind=kind, path=path).status == 404
    file = next(file for file in begun["files"] if file["kind"] == "wal")
    assert len(read(id=name, kind="wal", path=file["path"]).body) == file["size_bytes"]
    assert read(id="other", kind="wal", path=file["path"]).status == 404
    assert read(id=name, kind="wal").status == 400
    # A killed one may be under way as well.
    answers = [begin() for _ in range(4)]
    assert answers[0].status in (200, 409)
    assert answers[-1].status == 409
    assert "the limit is 4" in answers[-1].json()["error"]
    for other in (begun, *(one.json() for one in answers if one.status == 200)):
        parameters = {"id": other["backup_id"]}
        assert server.request("DELETE", "/api/v3/backup", parameters=parameters).status == 204
    assert read(id=name, kind="wal", path=file["path"]).json()["code"] == "backup_not_found"
