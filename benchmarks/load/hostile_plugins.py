# Owns the measurement of what hostile plugins do to others: writers of single lines, and a plugin
# that behaves.
"""How long one-line writes take while a plugin misbehaves.

    cd benchmarks && python -m load.hostile_plugins [--seconds 2] [--rounds 3] [--connections 4]

For each kind of misbehaviour a server of its own: quiet and disturbed turns alternate, so that both see
the same machine. Disturbed means that the plugin's table is written to every 50 ms, which runs the
plugin again and again; it may run for 1 s and take 300 MB. A second plugin counts the rows of the same
table: what it has counted at the end must be all of them. In a third kind of turn the same is written
every 50 ms into a table of no plugin: what that costs, connections that come and go, is no plugin's doing.

Beside other work, and to see what the server itself makes of it, run all at real-time priority (chrt -r 1):
plugins do not get it.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

from benchmarks.measuring import machine
from load.one_line_writes import START_NS, write_request
from load.sender import percentile, send_bodies, send_in_turns
from load.servers import Headrace

POKE_INTERVAL_S = 0.05
CATCH_UP_S = 60
RATIO_WANTED = 2.0

HOSTILE = {
    "endless loop": "while True: pass",
    "endless loop in C": "sum(iter(int, 1))",
    "memory": "x = []\n    while True: x.append(bytearray(10_000_000))",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "os._exit": "import os; os._exit(1)",
    "fork bomb": "import os\n    while True: os.fork()",
    "closes descriptors": "import os; os.closerange(0, 4096)",
    "prints gigabytes": "while True: print('x' * 100_000)",
    "changes directory": "import os; os.chdir('/'); os.umask(0)",
    "signal handlers": (
        "import signal\n"
        "    for n in set(signal.valid_signals()) - {9, 19}:\n"
        "        signal.signal(n, signal.SIG_IGN)\n"
        "    while True: pass"
    ),
    "threads": (
        "import threading\n"
        "    def spin():\n        while True: pass\n"
        "    for _ in range(50): threading.Thread(target=spin).start()\n"
        "    spin()"
    ),
    "logs without pause": "while True: api.info('x' * 1000)",
}
COUNTER = """
def process_writes(api, batches, args):
    n = sum(len(batch["rows"]) for batch in batches)
    api.write(LineBuilder("counted").int64_field("n", n))
"""


class Guarded(Headrace):
    """Headrace with plugins of ours."""

    def command(self):
        return [
            *super().command(),
            *("--plugin-dir", str(self.directory / "plugins"), "--wal-flush-interval", "50ms"),
            *("--plugin-timeout", "1s", "--plugin-memory-max", "300MB", "--log-level", "info"),
        ]

    def install(self, name, source):
        path = self.directory / "plugins" / f"{name}.py"
        path.write_text(source)
        content = {
            "db": "load",
            "trigger_name": name,
            "plugin_filename": path.name,
            "trigger_specification": "table:poked",
            "disabled": False,
            "trigger_settings": {"run_async": False, "error_behavior": "log"},
        }
        self.post("/api/v3/configure/processing_engine_trigger", content)

    def post(self, target, content):
        status, answer = self.request("POST", target, json.dumps(content))
        assert status == 200, answer

    def counted(self):
        target = f"/api/v3/query_sql?db=load&q={quote('SELECT sum(n) AS n FROM counted')}"
        status, answer = self.request("GET", target)
        return json.loads(answer)[0]["n"] if status == 200 else None


class Poking:
    """Writes to a table, of the plugin or of none, while it is entered."""

    def __init__(self, server, table):
        self._server = server
        self._table = table
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._poke)
        self.rows = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _poke(self):
        while not self._end.wait(POKE_INTERVAL_S):
            line = f"{self._table} f={self.rows}i {time.time_ns()}\n".encode()
            send_bodies(self._server.port, self._server.write_target, [line], 1)
            self.rows += 1


def p99(server, options, first_ns):
    make = write_request(server.write_target, first_ns)
    return percentile(
        send_in_turns(server.port, make, options.connections, options.seconds, 204), 0.99
    )


def measure(kind, options, directory):
    """The p99 of quiet, poked and disturbed turns, best of each, and whether the other plugin was served."""
    server = Guarded(directory)
    server.start()
    try:
        server.post("/api/v3/configure/database", {"db": "load"})
        server.install("counter", COUNTER)
        server.install("hostile", f"def process_writes(api, batches, args):\n    {HOSTILE[kind]}\n")
        quiet, poked, disturbed, rows = [], [], [], 0
        for turn in range(options.rounds):
            first_ns = START_NS + 3 * turn * 10**12
            quiet.append(p99(server, options, first_ns))
            with Poking(server, "ignored"):
                poked.append(p99(server, options, first_ns + 10**12))
            with Poking(server, "poked") as poking:
                disturbed.append(p99(server, options, first_ns + 2 * 10**12))
            rows += poking.rows
            server.settle()
        deadline = time.monotonic() + CATCH_UP_S
        while (counted := server.counted()) != rows and time.monotonic() < deadline:
            time.sleep(0.1)
        log_bytes = Path(f"{directory}.log").stat().st_size
        return min(quiet), min(poked), min(disturbed), counted == rows, log_bytes
    finally:
        server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--kinds", default=",".join(HOSTILE))
    options = parser.parse_args()
    print(machine())
    failed = False
    with tempfile.TemporaryDirectory(dir=".") as directory:
        for number, kind in enumerate(options.kinds.split(",")):
            home = Path(directory).resolve() / f"server{number}"
            quiet, poked, disturbed, is_served, log_bytes = measure(kind, options, home)
            is_met = disturbed <= RATIO_WANTED * quiet and is_served
            failed |= not is_met
            print(
                f"{'met   ' if is_met else 'MISSED'} {kind:20s} p99 quiet {quiet * 1e3:7.3f} ms   "
                f"poked {poked * 1e3:7.3f} ms {poked / quiet:5.2f} x   "
                f"disturbed {disturbed * 1e3:7.3f} ms {disturbed / quiet:5.2f} x   other plugin "
                f"{'served' if is_served else 'NOT SERVED'}   server log {log_bytes / 1e6:.1f} MB",
                flush=True,
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
