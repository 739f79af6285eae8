# Owns the look at starts after a crash: gigabytes of log, nothing in files, a server killed and started again.
"""How long a start takes for each GB of log, and what memory it takes.

    cd benchmarks && python -m load.recovery DIRECTORY fill [--million-rows 25]
                     python -m load.recovery DIRECTORY start [--rounds 3]

`fill` leaves everything in the log and kills the server. `start` starts it again and kills it, with the log
in the memory of the kernel, and not; the last progress that the server told is shown, too. For comparison
the files are read by this program.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from benchmarks.measuring import machine
from load.figures import print_table
from load.persist import LogOnly, query
from load.scale import send
from load.servers import free_port

READ_BYTES = 1 << 20
START_SECONDS_MAX = 600


class Crashed(LogOnly):
    """Keeps all rows in its log, and tells how far it is when it starts."""

    start_seconds_max = START_SECONDS_MAX

    def command(self):
        return [*super().command(), "--live-rows-max", "2000GB", "--log-level", "info"]


def log_files(directory):
    return sorted((directory / "crashed").rglob("*.wal"))


def forget_pages(paths):
    """Let the kernel drop what it has of these files in memory."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_seconds(paths):
    begin = time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.read(READ_BYTES):
                pass
    return time.perf_counter() - begin


def started(directory, rows):
    """Seconds of one start, and what it cost."""
    server = Crashed(directory / "crashed")
    server.port = free_port()
    begin = time.perf_counter()
    try:
        server.start(again=True)
        seconds = time.perf_counter() - begin
        cost = server.cost()
        found = query(server, "SELECT count(*) AS n FROM cpu")[0][0]["n"]
        assert found == rows, f"{found} rows of {rows}"
        return seconds, cost
    finally:
        server.kill()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("step", choices=("fill", "start"))
    parser.add_argument("--million-rows", type=float, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    directory = options.directory.resolve()
    directory.mkdir(exist_ok=True)
    known = directory / "rows.json"
    if options.step == "fill":
        server = Crashed(directory / "crashed").start()
        try:
            # In order, so that a count of live rows folds nothing.
            rows, seconds, _ = send(server, options.million_rows, 1)
        finally:
            server.kill()
        known.write_text(json.dumps(rows))
        size = sum(path.stat().st_size for path in log_files(directory))
        print(f"{rows:,} rows in {seconds:.0f} s, {size / 1e9:.2f} GB of log")
        return
    rows = json.loads(known.read_text())
    paths = log_files(directory)
    gigabytes = sum(path.stat().st_size for path in paths) / 1e9
    results = {}
    for name, prepare in (("in memory", read_seconds), ("not in memory", forget_pages)):
        taken, costs, reads = [], [], []
        for _ in range(options.rounds):
            prepare(paths)
            reads.append(read_seconds(paths))
            prepare(paths)
            seconds, cost = started(directory, rows)
            taken.append(seconds)
            costs.append(cost)
        results[f"log {name}"] = {
            "start, s": statistics.median(taken),
            "start, s/GB": statistics.median(taken) / gigabytes,
            "reading the files, s/GB": statistics.median(reads) / gigabytes,
            "CPU, s": max(cost.cpu_s for cost in costs),
            "peak with the mapped log, MB": max(cost.memory_peak_bytes for cost in costs) / 1e6,
        }
    print_table(results)
    told = [
        line for line in (directory / "crashed.log").read_text().splitlines() if "reading" in line
    ]
    print("\n".join(told[-1:]))


if __name__ == "__main__":
    main()
