# Owns the look at many small files: a year of windows of ten minutes, each in a file of its own, asked
# for a year, a day and an hour; then the same after merging, and what a server makes of such rows by itself.
"""A year of 10-minute windows, before and after files are merged.

    cd benchmarks && python -m load.year DIRECTORY fill [--days 364] [--series 10]
                     python -m load.year DIRECTORY ask      # once before merging
                     python -m load.year DIRECTORY merge
                     python -m load.year DIRECTORY ask      # and once after it

Every series has a row a minute. `fill` writes with a server that does not merge, `merge` waits for one
that does, and `ask` tells how many files have rows of the time that is asked for.
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import numpy as np
import pyarrow

from benchmarks.inputs import CPU_FIELDS, tsbs_hosts
from benchmarks.measuring import machine
from load.figures import print_table
from load.memory import MemoryWatch
from load.persist import disk, query, restart
from load.queries import HOUR_NS, Client, between
from load.sender import send_bodies
from load.servers import Headrace
from lp_core import build_lines

MINUTE_NS = 60_000_000_000
DAY_NS = 24 * HOUR_NS
WINDOWS_PER_DAY = 144
# The first moment of a week.
END_NS = 1_767_830_400_000_000_000
FIGURES = "year.json"
START_SECONDS_MAX = 300
MERGE_SECONDS_MAX = 3_600
LOG_LEFT_BYTES = 20_000_000


class Keeping(Headrace):
    """Moves all rows to files, but for the last few megabytes of the log."""

    module = "engine"
    start_seconds_max = START_SECONDS_MAX
    log_size = "1MB"

    def command(self):
        python, flag, _, *rest = super().command()
        sizes = ("--wal-segment-size", "4MB", "--persist-log-size", self.log_size)
        return [python, flag, self.module, *rest, *sizes]


class Unmerged(Keeping):
    module = "load.unmerged"


def days(number_of_days, series):
    """A body for each day, the earliest first: a row a minute of each series."""
    hosts = [dict(tags) for tags in tsbs_hosts(random.Random(1), series)]
    rows_per_day = DAY_NS // MINUTE_NS
    tags = {
        name: pyarrow.array([host[name] for host in hosts] * rows_per_day).dictionary_encode()
        for name in hosts[0]
    }
    rng = np.random.default_rng(1)
    for day in range(number_of_days):
        first_ns = END_NS - (number_of_days - day) * DAY_NS
        times = np.repeat(first_ns + np.arange(rows_per_day) * MINUTE_NS, series)
        fields = {name: rng.integers(0, 100, len(times)) for name in CPU_FIELDS}
        columns = {**tags, **fields, "time": pyarrow.array(times, pyarrow.timestamp("ns"))}
        yield build_lines(pyarrow.table(columns), measurement="cpu", tags=list(tags))


def checkpoint_bytes(server):
    newest = max(server.directory.rglob("checkpoints/*"), key=lambda path: path.name)
    return newest.stat().st_size


def files(server, condition="true"):
    statement = f"SELECT count(*) AS n FROM system.parquet_files WHERE {condition}"
    return query(server, statement)[0][0]["n"]


def fill(directory, number_of_days, series):
    server = Unmerged(directory / "year")
    server.log_size = "64MB"
    server.start()
    rows = number_of_days * series * DAY_NS // MINUTE_NS
    try:
        with MemoryWatch(server.pid) as watch:
            for body in days(number_of_days, series):
                send_bodies(server.port, server.write_target, [body], 1)
            server.settle()
        cost = server.cost()
        server.kill()
        server.log_size = "1MB"
        restart(server)
        wait_until(server, lambda: disk(server)["log"] < LOG_LEFT_BYTES)
        server.stop()
        figures = {"rows": rows, "CPU s": cost.cpu_s, "peak, own MB": watch.own_bytes / 1e6}
    finally:
        server.kill()
    return figures


def wait_until(server, is_done):
    deadline = time.monotonic() + MERGE_SECONDS_MAX
    while not is_done():
        assert time.monotonic() < deadline, "it takes too long"
        server.settle()


def merge(directory):
    """Let a server merge what there is; returns figures."""
    server = Keeping(directory / "year")
    figures = {"start s": restart(server), "files before": files(server)}
    try:
        begin, counts = time.perf_counter(), []
        with MemoryWatch(server.pid) as watch:
            wait_until(
                server, lambda: counts.append(files(server)) or counts[-2:] == counts[-1:] * 2
            )
        figures |= {
            "merged after s": time.perf_counter() - begin,
            "CPU s": server.cost().cpu_s,
            "peak, own MB": watch.own_bytes / 1e6,
            "files": files(server),
        }
        server.stop()
    finally:
        server.kill()
    return figures


def questions():
    """By name: what is asked, and the times that it is about."""
    year = (END_NS - 364 * DAY_NS, END_NS)
    rng = random.Random(3)
    hour_ns = END_NS - rng.randrange(100, 200) * DAY_NS - 5 * HOUR_NS
    day_ns = hour_ns - hour_ns % DAY_NS
    host = "host_3"
    by_hour = "SELECT date_bin(INTERVAL '1 hour', time) AS bin, avg(usage_user) FROM cpu WHERE"
    by_day = "SELECT date_bin(INTERVAL '1 day', time) AS bin, avg(usage_user) FROM cpu WHERE"
    by_minute = "SELECT date_bin(INTERVAL '1 minute', time) AS bin, avg(usage_user) FROM cpu WHERE"
    spans = {
        "a year, all series": (by_day, "", year),
        "a year, one series": (by_day, f" AND hostname = '{host}'", year),
        "a day, all series": (by_hour, "", (day_ns, day_ns + DAY_NS)),
        "an hour, one series": (
            by_minute,
            f" AND hostname = '{host}'",
            (hour_ns, hour_ns + HOUR_NS),
        ),
    }
    return {
        name: (f"{text} {between(*span)}{more} GROUP BY 1 ORDER BY 1", span)
        for name, (text, more, span) in spans.items()
    }


def ask(directory, rounds):
    server = Unmerged(directory / "year")
    figures = {"start s": restart(server)}
    try:
        figures["files"] = files(server)
        figures["checkpoint MB"] = checkpoint_bytes(server) / 1e6
        figures["Parquet MB"] = disk(server)["parquet"] / 1e6
        client = Client(server)
        for name, (text, (low, high)) in questions().items():
            first, *times = (client.seconds(text, None) for _ in range(rounds + 1))
            figures[f"{name}: files"] = files(server, f"max_time >= {low} AND min_time < {high}")
            figures[f"{name}, ms"] = statistics.median(times) * 1000
            figures[f"{name}, first ms"] = first * 1000
        figures["peak MB"] = server.cost().memory_peak_bytes / 1e6
        server.stop()
    finally:
        server.kill()
    return figures


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("step", choices=("fill", "ask", "merge"))
    parser.add_argument("--days", type=int, default=364, help="52 weeks have 52,416 windows")
    parser.add_argument("--series", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    directory = options.directory.resolve()
    directory.mkdir(exist_ok=True)
    book = directory / FIGURES
    known = json.loads(book.read_text()) if book.exists() else {}
    if options.step == "fill":
        known["filled"] = fill(directory, options.days, options.series)
    elif options.step == "merge":
        known["merged"] = merge(directory)
    else:
        known[f"asked {'after' if 'merged' in known else 'before'}"] = ask(
            directory, options.rounds
        )
    book.write_text(json.dumps(known))
    print_table(known)


if __name__ == "__main__":
    main()
