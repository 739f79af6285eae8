# Owns the look at size: many rows of the TSBS cpu table in one go, in bounded memory, then queries over
# them beside plain DuckDB on the same rows in one sorted Parquet file, and the price of duplicates.
"""Many rows in one go, and queries over all of them beside plain DuckDB.

    cd benchmarks && python -m load.scale DIRECTORY load [--million-rows 100]
                     python -m load.scale DIRECTORY again [--percent 10] [--live]
                     python -m load.scale DIRECTORY sort
                     python -m load.scale DIRECTORY ask [--rounds 7] [--query-memory-mb 1024]

`load` fills a server in DIRECTORY, which stays. `again` sends a share of its rows, from all over the time,
a second time with other values to a server with a copy of its files; with `--live` these stay in its
log, until it is asked and behind. `sort` writes the rows of the first
server into one sorted Parquet file. `ask` asks all servers, and plain DuckDB over the sorted file, in turns.
"""

import argparse
import json
import random
import shutil
import statistics
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow

from benchmarks.inputs import tsbs_hosts
from benchmarks.measuring import machine
from load.figures import print_table
from load.ingest import HOSTS, LINES_PER_BODY, TICK_NS, TICKS_PER_BODY, make_bodies
from load.memory import MemoryWatch, limited
from load.persist import BODIES_AT_ONCE, disk, queries, query, restart
from load.queries import Client, PlainDuckDB
from load.sender import send_bodies
from load.servers import Headrace
from lp_core import build_lines

# The `usage_idle` of a row that is sent again; of others it is below 101.
MARK = 1_000
ROWS_AT_ONCE = BODIES_AT_ONCE * LINES_PER_BODY
FIGURES = "figures.json"
SETTLED_SECONDS_MAX = 1_200
LOOK_SECONDS = 0.5
SORTED = "sorted.parquet"
# Nothing moves to files.
IN_LOG = ("--persist-log-size", "3GB")


class Limited(Headrace):
    """May not allocate more than so much."""

    flags = ()

    def __init__(self, directory, memory_bytes_max=None):
        super().__init__(directory)
        if memory_bytes_max is not None:
            self.before_start = limited(memory_bytes_max)

    def command(self):
        return [*super().command(), *self.flags]

    def count(self, condition):
        statement = f"SELECT count(*) AS n FROM cpu WHERE {condition}"
        return query(self, statement)[0][0]["n"]

    def files_in_doubt(self):
        """How many of its files may repeat rows of others."""
        statement = "SELECT count(*) AS n FROM system.parquet_files WHERE may_overlap"
        return query(self, statement)[0][0]["n"]


def send(server, million_rows, connections):
    """Send all rows; returns how many, seconds of sending, and the time of the last row."""
    end_ns = time.time_ns() // TICK_NS * TICK_NS
    count = round(million_rows * 1_000_000 / LINES_PER_BODY)
    seconds = 0.0
    for start in range(0, count, BODIES_AT_ONCE):
        size = min(BODIES_AT_ONCE, count - start)
        left = (count - start - size) * TICKS_PER_BODY * TICK_NS
        # One seed: the same hosts with the same tags throughout.
        bodies = make_bodies(size, seed=1, end_ns=end_ns - left, walk_seed=start)
        seconds += send_bodies(server.port, server.write_target, bodies, connections)[1]
    return count * LINES_PER_BODY, seconds, end_ns


def send_again(server, rows, share, end_ns, connections):
    """Send so many of the rows again, in order of time, with another `usage_idle`; as `send`."""
    rng = np.random.default_rng(7)
    hosts = [dict(tags) for tags in tsbs_hosts(random.Random(1), HOSTS)]
    names = {name: pyarrow.array([host[name] for host in hosts]) for name in hosts[0]}
    first_ns = end_ns - rows // HOSTS * TICK_NS
    seconds, repeated = 0.0, 0
    for start in range(0, rows, ROWS_AT_ONCE):
        size = min(ROWS_AT_ONCE, rows - start)
        chosen = start + np.sort(rng.choice(size, round(size * share), replace=False))
        bodies = []
        for own in np.array_split(chosen, max(1, len(chosen) // LINES_PER_BODY)):
            columns = {
                name: values.take(pyarrow.array(own % HOSTS)) for name, values in names.items()
            }
            columns["usage_idle"] = pyarrow.array(np.full(len(own), MARK))
            times = first_ns + own // HOSTS * TICK_NS
            columns["time"] = pyarrow.array(times, pyarrow.timestamp("ns"))
            rows_again = pyarrow.table(columns)
            bodies.append(build_lines(rows_again, measurement="cpu", tags=list(names)))
        seconds += send_bodies(server.port, server.write_target, bodies, connections)[1]
        repeated += len(chosen)
    return repeated, seconds


def filled(server, fill):
    """Let `fill` send rows, kill the server, and let it move what is left in the log to files.

    Returns figures; `fill` returns some, and how many rows there must be, and with a MARK.
    """
    server.start(again=server.directory.exists())
    try:
        with MemoryWatch(server.pid) as watch:
            figures, expected = fill(server)
            begin = time.perf_counter()
            server.settle(SETTLED_SECONDS_MAX)
        figures["settled after s"] = time.perf_counter() - begin
        cost = server.cost()
        kept = disk(server)
        figures |= {
            "server's CPU s": cost.cpu_s,
            "peak of loading, own MB": watch.own_bytes / 1e6,
            "peak with mapped files MB": watch.all_bytes / 1e6,
            "log MB": kept["log"] / 1e6,
            "Parquet MB": kept["parquet"] / 1e6,
            "Parquet files": kept["parquet files"],
        }
        server.kill()
        # What follows is about files alone, for plain DuckDB reads nothing else.
        server.flags = ("--persist-log-size", "1MB")
        figures["start after kill s"] = restart(server)
        begin, before = time.perf_counter(), server.cost().cpu_s
        server.settle(SETTLED_SECONDS_MAX)
        figures["rest in files after s"] = time.perf_counter() - begin
        deadline = begin + SETTLED_SECONDS_MAX
        while server.files_in_doubt() and time.perf_counter() < deadline:
            time.sleep(LOOK_SECONDS)
        figures["each row in one file after s"] = time.perf_counter() - begin
        figures["files that may repeat others"] = server.files_in_doubt()
        figures["CPU s of that"] = server.cost().cpu_s - before
        figures["peak since the kill MB"] = server.cost().memory_peak_bytes / 1e6
        figures["Parquet files in the end"] = disk(server)["parquet files"]
        found = (server.count("true"), server.count(f"usage_idle = {MARK}"))
        assert found == expected, f"{found} rows of {expected}"
        server.stop()
    finally:
        server.kill()
    return figures


def load(directory, million_rows, connections, memory_bytes_max):
    """Fill a new server; returns what is to be known of it."""
    known = {}

    def fill(server):
        rows, seconds, known["end_ns"] = send(server, million_rows, connections)
        return {"rows": rows, "rows/s while sending": rows / seconds}, (rows, 0)

    known["figures"] = filled(Limited(directory / "again-0", memory_bytes_max), fill)
    return known


def again(directory, first, percent, connections, memory_bytes_max):
    """Copy the first server's files and send some of its rows again; as `load`."""
    rows = first["figures"]["rows"]

    def fill(server):
        repeated, seconds = send_again(server, rows, percent / 100, first["end_ns"], connections)
        send_bodies(server.port, server.write_target, [b"end f=1"], 1)
        figures = {"rows": rows, "sent again": repeated, "rows/s while sending": repeated / seconds}
        return figures, (rows, repeated)

    place = directory / f"again-{percent:g}"
    shutil.copytree(directory / "again-0", place)
    server = Limited(place, memory_bytes_max)
    # Each frame in a file of the log of its own, for only those before the last go to files.
    server.flags = ("--wal-segment-size", "1MB")
    figures = filled(server, fill)
    return {"end_ns": first["end_ns"], "figures": figures}


def again_live(directory, first, percent, connections):
    """As `again`, but what is sent again stays in the log."""
    rows, end_ns = first["figures"]["rows"], first["end_ns"]
    place = directory / f"again-{percent:g}-live"
    shutil.copytree(directory / "again-0", place)
    server = Limited(place)
    server.flags = IN_LOG
    server.start(again=True)
    try:
        repeated, seconds = send_again(server, rows, percent / 100, end_ns, connections)
        found = (server.count("true"), server.count(f"usage_idle = {MARK}"))
        assert found == (rows, repeated), f"{found} rows of {rows}"
        server.stop()
    finally:
        server.kill()
    figures = {"rows": rows, "sent again": repeated, "rows/s while sending": repeated / seconds}
    return {"end_ns": end_ns, "figures": figures, "flags": IN_LOG}


def sort(files, target):
    """Write all rows below the directory `files` into one sorted Parquet file."""
    with duckdb.connect() as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute("SET memory_limit = '6GB'")
        connection.execute(f"SET temp_directory = '{target}.tmp'")
        connection.execute(
            f"COPY (SELECT * FROM read_parquet('{files}/**/*.parquet', union_by_name=true) "
            f"ORDER BY hostname, time) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )


def questions(end_ns):
    """Makers of statements; those of `load.persist`, and one that reads every value."""
    everything = ", ".join(
        f"sum(usage_{name})" for name in ("user", "system", "idle", "nice", "iowait", "irq")
    )
    return {**queries(end_ns), "all of it": lambda: f"SELECT {everything} FROM cpu"}


def ask(directory, loaded, rounds, only, query_memory_mb):
    """Ask everybody everything in turns; returns figures by name of who was asked."""
    servers = {f"{percent} % again": Limited(directory / f"again-{percent}") for percent in loaded}
    for server, one in zip(servers.values(), loaded.values(), strict=True):
        server.flags = (*one.get("flags", ()), "--query-memory-limit", f"{query_memory_mb}MB")
    ends = {f"{percent} % again": one["end_ns"] for percent, one in loaded.items()}
    askers = {}
    figures = {name: {} for name in servers}
    try:
        for name, server in servers.items():
            askers[name] = Client(server.start(again=True))
        if (directory / SORTED).exists():
            askers["plain DuckDB"] = PlainDuckDB(directory / SORTED)
            ends["plain DuckDB"] = loaded["0"]["end_ns"]
            figures["plain DuckDB"] = {"Parquet MB": (directory / SORTED).stat().st_size / 1e6}
        makers = {name: questions(end_ns) for name, end_ns in ends.items()}
        for question in makers[next(iter(makers))]:
            if only and question not in only:
                continue
            taken = {name: [] for name in askers}
            for _ in range(rounds + 1):
                for name, asker in askers.items():
                    taken[name].append(asker.seconds(makers[name][question](), None))
            for name, (first, *times) in taken.items():
                figures[name][f"{question} ms"] = statistics.median(times) * 1000
                figures[name][f"{question}, first ms"] = first * 1000
        for name, server in servers.items():
            figures[name]["peak of queries MB"] = server.cost().memory_peak_bytes / 1e6
            server.stop()
    finally:
        for server in servers.values():
            server.kill()
    return figures


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("step", choices=("load", "again", "sort", "ask"))
    parser.add_argument("--million-rows", type=float, default=100)
    parser.add_argument("--percent", type=float, default=10)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--live", action="store_true", help="leave what is sent again in the log")
    parser.add_argument("--query-memory-mb", type=int, default=1_024)
    parser.add_argument("--memory-max-mb", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=(), help="names of questions")
    options = parser.parse_args()
    print(machine())
    directory = options.directory.resolve()
    directory.mkdir(exist_ok=True)
    book = directory / FIGURES
    loaded = json.loads(book.read_text()) if book.exists() else {}
    memory_bytes_max = options.memory_max_mb and options.memory_max_mb * 1_000_000
    if options.step in ("load", "again"):
        settings = (options.connections, memory_bytes_max)
        if options.step == "load":
            loaded["0"] = load(directory, options.million_rows, *settings)
        elif options.live:
            name = f"{options.percent:g}-live"
            loaded[name] = again_live(directory, loaded["0"], options.percent, options.connections)
        else:
            name = f"{options.percent:g}"
            loaded[name] = again(directory, loaded["0"], options.percent, *settings)
        book.write_text(json.dumps(loaded))
        print_table({f"{percent} % again": one["figures"] for percent, one in loaded.items()})
    elif options.step == "sort":
        sort(directory / "again-0", directory / SORTED)
    else:
        print_table(ask(directory, loaded, options.rounds, options.only, options.query_memory_mb))


if __name__ == "__main__":
    main()
