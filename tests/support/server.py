# Owns the real server in tests: a process of its own on a free port of the loopback address, in a
# directory of its own, spoken to over HTTP and the command line as users do.
"""A real server for end-to-end tests."""

import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]


# Below those that the kernel gives to clients. Servers share ports without complaint, so between the
# look at one and its use another test run could take it, and be taken for the server: who takes one
# locks a file that stands for it until the process ends.
_PORTS = range(10_000, 30_000)
_PORT_LOCKS = Path(tempfile.gettempdir()) / f"headrace-test-ports-{os.getuid()}"
_locks: list[IO[bytes]] = []


def free_port() -> int:
    """A port that nobody uses at this moment, nor another test that runs beside this one."""
    _PORT_LOCKS.mkdir(exist_ok=True)
    for _ in range(len(_PORTS)):
        port = random.choice(_PORTS)
        lock = (_PORT_LOCKS / str(port)).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        return port
    raise AssertionError("no port is free")


class Answer:
    """An HTTP answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class ServerProcess:
    """One server; may be killed and started again on the same directory."""

    def __init__(
        self, directory: Path, *flags: str, environment: dict[str, str] | None = None
    ) -> None:
        self.data_dir = directory / "data"
        self.plugin_dir = directory / "plugins"
        self.plugin_dir.mkdir(parents=True, exist_ok=True)
        self.log_file = directory / "server.log"
        self.flags = list(flags)
        inherited = {key: value for key, value in os.environ.items() if key != "XDG_CONFIG_HOME"}
        self.environment = {**inherited, **(environment or {})}
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_text(self) -> str:
        """What the server has logged so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def start(self, *, wait: bool = True) -> "ServerProcess":
        """Start the process and wait until it answers."""
        command = [
            *(
                sys.executable,
                "-m",
                "engine",
                "serve",
                "--node-id",
                "node0",
                "--object-store",
                "file",
            ),
            *("--data-dir", str(self.data_dir), "--plugin-dir", str(self.plugin_dir)),
            *(
                "--http-bind",
                f"127.0.0.1:{self.port}",
                "--wal-flush-interval",
                "100ms",
                *self.flags,
            ),
        ]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
        if wait:
            wait_for(self._has_started, "the server answers /health", timeout_s=90)
        return self

    def _has_started(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended:\n{self.log_text}"
        return self.is_up()

    def is_up(self) -> bool:
        """Whether it answers now."""
        try:
            return self.request("GET", "/health").status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a power cut would, with SIGKILL; one that has ended stays ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def stop(self, signum: int = signal.SIGTERM, *, timeout_s: float = 60) -> int:
        """Ask it to end; return its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not stop:\n{self.log_text}") from None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        parameters: dict[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Answer:
        """One HTTP request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            target = f"{path}?{urlencode(parameters)}" if parameters else path
            connection.request(method, target, body, headers or {})
            with connection.getresponse() as response:
                names = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def write(self, database: str, lines: str | bytes, **parameters: str) -> Answer:
        """Write line protocol."""
        body = lines.encode() if isinstance(lines, str) else lines
        return self.request(
            "POST", "/api/v3/write_lp", body, parameters={"db": database, **parameters}
        )

    def ask(self, database: str, sql: str, params: dict[str, Any] | None = None) -> Answer:
        """Run SQL."""
        body = json.dumps({"db": database, "q": sql, "params": params or {}}).encode()
        return self.request("POST", "/api/v3/query_sql", body)

    def query(self, database: str, sql: str, params: dict[str, Any] | None = None) -> Any:
        """Rows that SQL answers with."""
        answer = self.ask(database, sql, params)
        assert answer.status == 200, answer.body
        return answer.json()

    def create_trigger(
        self,
        database: str,
        name: str,
        spec: str,
        filename: str,
        *,
        arguments: dict[str, str] | None = None,
        **settings: Any,
    ) -> Answer:
        """Create a trigger over HTTP."""
        content = {
            "db": database,
            "trigger_name": name,
            "plugin_filename": filename,
            "trigger_specification": spec,
            "trigger_settings": {"run_async": False, "error_behavior": "log", **settings},
            "trigger_arguments": arguments,
            "disabled": False,
        }
        return self.request(
            "POST",
            "/api/v3/configure/processing_engine_trigger",
            json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )

    def plugin(self, filename: str, source: str) -> str:
        """Put a plugin file into the plugin directory; return its name there."""
        path = self.plugin_dir / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return filename

    def logs(self, database: str, trigger: str) -> list[dict[str, Any]]:
        """Lines that a trigger has logged."""
        rows: list[dict[str, Any]] = self.query(
            database,
            "SELECT log_level, log_text FROM system.processing_engine_logs "
            "WHERE trigger_name = $name ORDER BY event_time",
            {"name": trigger},
        )
        return rows

    def cli(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the `headrace` command against this server."""
        return subprocess.run(
            [sys.executable, "-m", "engine", *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                # Whoever runs the tests may have profiles.
                "XDG_CONFIG_HOME": str(self.data_dir.parent),
                **self.environment,
                "HEADRACE_HOST_URL": self.url,
            },
            cwd=ROOT,
        )
