# Owns the servers under load: how each is started in a directory of its own on free ports of the
# loopback address, where it takes writes, what its answer promises, and what it cost.
"""Headrace and its peers as processes."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 60
# Over this span a server that uses less than this share of one core has done its deferred work.
QUIET_SECONDS = 2.0
QUIET_SHARE = 0.05
SETTLE_SECONDS_MAX = 120

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What a server has used up to now."""

    cpu_s: float
    memory_peak_bytes: int


class Server:
    """One server; subclasses say how it is run and spoken to."""

    name = ""
    # What is done before a write is answered.
    promise = ""
    # How to get it.
    package = ""
    # Called in its process before it becomes the server.
    before_start = None
    start_seconds_max = START_SECONDS_MAX

    def __init__(self, directory):
        self.directory = Path(directory)
        self.port = free_port()
        self._process = None

    @classmethod
    def is_available(cls):
        return shutil.which(cls.package) is not None

    def start(self, *, again=False):
        """Start it in a new directory, or `again` in the one there is."""
        self.directory.mkdir(parents=True, exist_ok=again)
        log = (self.directory.parent / f"{self.directory.name}.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self.before_start,
            )
        deadline = time.monotonic() + self.start_seconds_max
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                sys.exit(f"{self.name} did not start, see {log.name}")
            time.sleep(0.05)
        self.prepare()
        return self

    def _answers(self):
        try:
            return self.request("GET", self.health_target)[0] in (200, 204)
        except OSError:
            return False

    def prepare(self):
        """Make it ready for writes."""

    def request(self, method, target, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @property
    def pid(self):
        return self._process.pid

    def stop(self):
        """End it in order, so that what it keeps is all on disk."""
        self._process.terminate()
        self._process.wait(STOP_SECONDS_MAX)

    def kill(self):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def cost(self):
        """CPU time and peak memory of the process and all that descend from it, ended ones included."""
        cpu_ticks, memory = 0, 0
        for pid in descendants(self._process.pid):
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
                status = Path(f"/proc/{pid}/status").read_text()
            except FileNotFoundError:
                continue
            # User, system, and the same of children that ended; the name before them may hold spaces.
            cpu_ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
            # One that has ended, and waits to be noticed, has no memory any more.
            _, found, rest = status.partition("VmHWM:")
            memory += int(rest.split()[0]) * 1024 if found else 0
        return Cost(cpu_ticks / _TICKS_PER_S, memory)

    def settle(self, seconds_max=SETTLE_SECONDS_MAX):
        """Wait until it has done what it deferred, as far as that can be seen from outside."""
        deadline = time.monotonic() + seconds_max
        before = self.cost().cpu_s
        while time.monotonic() < deadline:
            time.sleep(QUIET_SECONDS)
            now = self.cost().cpu_s
            if now - before < QUIET_SECONDS * QUIET_SHARE:
                return
            before = now

    def disk_bytes(self):
        """Blocks that its files occupy."""
        return sum(
            path.stat().st_blocks * 512 for path in self.directory.rglob("*") if path.is_file()
        )


class Headrace(Server):
    name = "headrace"
    promise = "fdatasync of the log before each answer"
    health_target = "/health"
    write_target = "/api/v3/write_lp?db=load&precision=ns"

    @classmethod
    def is_available(cls):
        return True

    def command(self):
        return [
            *(sys.executable, "-m", "engine", "serve", "--data-dir", str(self.directory)),
            *("--http-bind", f"127.0.0.1:{self.port}", "--log-level", "error"),
        ]

    def values_stored(self, table, fields):
        """How many field values it has, asked after the load: nothing was dropped on the way."""
        query = quote(f'SELECT count(*) AS n FROM "{table}"')
        status, content = self.request("GET", f"/api/v3/query_sql?db=load&q={query}&format=json")
        assert status == 200, content
        return json.loads(content)[0]["n"] * fields


class InfluxDB(Server):
    name = "influxdb 1.6"
    package = "influxd"
    promise = "fsync of the log before each answer (wal-fsync-delay = 0s, its default)"
    health_target = "/ping"
    write_target = "/write?db=load&precision=ns"

    def command(self):
        path = self.directory / "influxdb.conf"
        # Its defaults, but for places, ports, and what would cost it time: logging of each request
        # and a database about itself.
        path.write_text(
            f"""
            reporting-disabled = true
            bind-address = "127.0.0.1:{free_port()}"
            [meta]
            dir = "{self.directory}/meta"
            [data]
            dir = "{self.directory}/data"
            wal-dir = "{self.directory}/wal"
            query-log-enabled = false
            [monitor]
            store-enabled = false
            [http]
            bind-address = "127.0.0.1:{self.port}"
            log-enabled = false
            [logging]
            level = "error"
            """
        )
        return ["influxd", "-config", str(path)]

    def prepare(self):
        status, content = self.request("POST", f"/query?q={quote('CREATE DATABASE load')}")
        assert status == 200, content

    def values_stored(self, table, fields):
        del fields
        query = quote(f'SELECT count(*) FROM "{table}"')
        status, content = self.request("GET", f"/query?db=load&q={query}")
        assert status == 200, content
        # Time, then the count of each field.
        return sum(json.loads(content)["results"][0]["series"][0]["values"][0][1:])


class VictoriaMetrics(Server):
    name = "victoria-metrics 1.79"
    package = "victoria-metrics"
    promise = "no sync: what came in the last seconds is lost with the power"
    health_target = "/health"
    write_target = "/write?db=load&precision=ns"

    def command(self):
        return [
            *("victoria-metrics", f"-storageDataPath={self.directory}/data"),
            *(f"-httpListenAddr=127.0.0.1:{self.port}", "-loggerLevel=ERROR"),
        ]

    def values_stored(self, table, fields):
        del table, fields
        status, content = self.request("GET", "/metrics")
        assert status == 200, content
        for line in content.decode().splitlines():
            if line.startswith('vm_rows_inserted_total{type="influx"}'):
                return int(float(line.rpartition(" ")[2]))
        return 0


SERVERS = (Headrace, InfluxDB, VictoriaMetrics)
INSTALL = "apt-get install influxdb victoria-metrics"


def chosen(names):
    """The servers of these names (with commas between) that are installed; says what they promise."""
    kinds = []
    for kind in SERVERS:
        if kind.name not in names.split(","):
            continue
        if kind.is_available():
            print(f"{kind.name:22s} {kind.promise}")
            kinds.append(kind)
        else:
            print(f"{kind.name:22s} left out, it is not installed: {INSTALL}")
    if not kinds:
        sys.exit(
            f"none of {names} can be run; there are {', '.join(kind.name for kind in SERVERS)}"
        )
    return kinds


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def descendants(pid):
    """The process and all below it."""
    found = [pid]
    for parent in found:
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
            found += [
                int(child) for task in tasks for child in (task / "children").read_text().split()
            ]
        except FileNotFoundError:
            continue
    return found
