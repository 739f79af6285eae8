"""A full disk: writes are refused clearly, all else works, nothing acknowledged is lost, and the
server goes on by itself."""

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Answer, ServerProcess
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MIB = 1024 * 1024
DISK_BYTES = 40 * MIB
ROWS = 400
FLAGS = ("--wal-segment-size", "1MB", "--persist-log-size", "2MB", "--checkpoint-log-size", "2MB")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


class Filler:
    """A file that takes the room of others."""

    def __init__(self, place: Path) -> None:
        self.path = place / "filler"

    def fill(self, size: int) -> None:
        written = 0
        with contextlib.suppress(OSError), self.path.open("ab", buffering=0) as file:
            while written < size:
                written += file.write(bytes(min(65_536, size - written)))

    def empty(self) -> None:
        self.path.unlink()


class Load:
    """Four clients that write rows of their own until they are refused."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.written = [0, 0, 0, 0]
        self.refusals: list[Answer] = []

    def batch(self, client: int) -> Answer:
        first = self.written[client]
        lines = "\n".join(
            f'm,c={client} f={number}i,s="{number:060d}" {number + 1}'
            for number in range(first, first + ROWS)
        )
        return self.server.write("db", lines)

    def until_refused(self) -> None:
        def work(client: int) -> None:
            while (answer := self.batch(client)).status == 204:
                self.written[client] += ROWS
            self.refusals.append(answer)

        clients = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(120)
            assert not client.is_alive()

    def check(self) -> None:
        """Exactly what was acknowledged is there, once."""
        found = self.server.query(
            "db", "SELECT c, count(*) AS n, max(f) AS last FROM m GROUP BY c ORDER BY c"
        )
        assert found == [
            {"c": str(client), "n": rows, "last": rows - 1}
            for client, rows in enumerate(self.written)
        ]


def test_a_full_disk_costs_nothing_and_needs_no_restart(small_disk: Path, tmp_path: Path) -> None:
    filler = Filler(small_disk)
    server = ServerProcess(tmp_path, *FLAGS, "--disk-reserve", "8MB")
    server.data_dir = small_disk / "data"
    server.start()
    try:
        server.write("scrap", "m f=1 1")
        load = Load(server)
        filler.fill(DISK_BYTES - 14 * MIB)
        # The reserve.
        load.until_refused()
        for refusal in load.refusals:
            assert refusal.status == 507
            assert refusal.json()["code"] == "disk_full"
            assert "--disk-reserve" in refusal.json()["hint"]
            assert int(refusal.headers["retry-after"]) > 0
        # Rows that move to files make room; here they do not.
        filler.fill(5 * MIB)
        wait_for(lambda: not server.is_up(), "the server is not healthy")
        load.check()
        removed = server.request("DELETE", "/api/v3/configure/database", parameters={"db": "scrap"})
        assert removed.status == 200
        shown = server.request(
            "GET", "/api/v3/configure/database", parameters={"format": "json"}
        ).body
        assert b"scrap" not in shown
        filler.empty()
        wait_for(server.is_up, "rows are taken again", timeout_s=60)
        assert load.batch(0).status == 204
        load.written[0] += ROWS
        load.check()
        assert server.stop() == 0

        # The last byte, under load.
        server.flags[-1] = "0"
        server.start()
        filler.fill(DISK_BYTES)
        load.refusals.clear()
        load.until_refused()
        for refusal in load.refusals:
            assert refusal.status == 507, refusal.body
            assert json.loads(refusal.body)["code"] == "disk_full"
        load.check()
        assert server.process is not None
        process = server.process.pid
        filler.empty()
        wait_for(lambda: load.batch(1).status == 204, "rows are taken again", timeout_s=60)
        load.written[1] += ROWS
        load.check()
        assert server.is_up()
        assert server.process.pid == process
        server.kill()
        server.start()
        load.check()
    finally:
        server.kill()
