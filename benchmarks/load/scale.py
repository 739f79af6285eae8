# Owns the look at size: many rows of the TSBS cpu table in one go, in bounded memory, then queries over
# them beside plain DuckDB on the same rows in one sorted Parquet file, and the price of duplicates.
"""Many rows in one go, and queries over all of them beside plain DuckDB.

    cd benchmarks && python -m load.scale [--million-rows 100] [--again 0,0.1,10] [--against-duckdb]

`--again` are shares, in percent, of rows that are sent a second time with other values, each in a
server of its own: what deduplication costs where there is nothing to do, little, and a lot.
"""

import argparse
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.measuring import machine
from load.ingest import LINES_PER_BODY, TICK_NS, TICKS_PER_BODY, make_bodies
from load.persist import BODIES_AT_ONCE, Persisting, disk, queries, query, restart
from load.sender import send_bodies

ROUNDS = 7


class Emptied(Persisting):
    """At its second start it moves the rest of the log to files too: plain DuckDB reads nothing else."""

    flags = ()

    def command(self):
        return [*super().command(), *self.flags]


def again(body, share, rng):
    """Some lines of `body` with other values, to be sent later; None when there are none."""
    lines = body.splitlines(keepends=True)
    chosen = rng.sample(lines, round(len(lines) * share))
    return b"".join(line.replace(b"usage_idle=", b"usage_idle=1") for line in chosen) or None


def load(server, million_rows, share, connections):
    """Send all rows; returns rows, rows sent again, seconds of sending, and the time of the last row."""
    rng = random.Random(7)
    end_ns = time.time_ns() // TICK_NS * TICK_NS
    count = round(million_rows * 1_000_000 / LINES_PER_BODY)
    seconds, repeated, late = 0.0, 0, []
    for start in range(0, count, BODIES_AT_ONCE):
        size = min(BODIES_AT_ONCE, count - start)
        left = (count - start - size) * TICKS_PER_BODY * TICK_NS
        # One seed: the same hosts with the same tags throughout.
        bodies = make_bodies(size, seed=1, end_ns=end_ns - left)
        seconds += send_bodies(server.port, server.write_target, [*bodies, *late], connections)[1]
        late = [part for body in bodies if share and (part := again(body, share, rng))]
        repeated += sum(part.count(b"\n") for part in late)
    if late:
        seconds += send_bodies(server.port, server.write_target, late, connections)[1]
    return count * LINES_PER_BODY, repeated, seconds, end_ns


def run(directory, million_rows, share, connections):
    """Load, settle, restart, ask; returns figures by name, and the directory of the Parquet files."""
    server = Emptied(directory).start()
    try:
        rows, repeated, seconds, end_ns = load(server, million_rows, share, connections)
        begin = time.perf_counter()
        server.settle()
        figures = {
            "rows": rows,
            "sent again": repeated,
            "rows/s": (rows + repeated) / seconds,
            "settled after s": time.perf_counter() - begin,
            "peak of loading MB": server.cost().memory_peak_bytes / 1e6,
        }
        kept = disk(server)
        figures |= {
            "log MB": kept["log"] / 1e6,
            "Parquet bytes/row": kept["parquet"] / rows,
            "Parquet files": kept["parquet files"],
        }
        found = query(server, "SELECT count(*) AS n FROM cpu")[0][0]["n"]
        assert found == rows, f"{found} rows of {rows}"
        server.kill()
        server.flags = ("--persist-log-size", "1MB")
        figures["start after kill s"] = restart(server)
        server.settle()
        for name, make in questions(end_ns).items():
            times = [query(server, make())[1] for _ in range(ROUNDS)]
            figures[f"{name} ms"] = statistics.median(times) * 1000
        figures["peak of queries MB"] = server.cost().memory_peak_bytes / 1e6
        server.stop()
    finally:
        server.kill()
    return figures, end_ns


def questions(end_ns):
    """Makers of statements; those of `load.persist`, and one that reads every value."""
    everything = ", ".join(
        f"sum(usage_{name})" for name in ("user", "system", "idle", "nice", "iowait", "irq")
    )
    return {**queries(end_ns), "all of it": lambda: f"SELECT {everything} FROM cpu"}


def plain_duckdb(directory, end_ns):
    """The same rows in one sorted Parquet file, asked by DuckDB in this process."""
    target = directory / "sorted.parquet"
    connection = duckdb.connect()
    connection.execute("SET timezone = 'UTC'")
    connection.execute(
        f"COPY (SELECT * FROM read_parquet('{directory}/**/*.parquet', union_by_name=true) "
        f"ORDER BY hostname, time) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    )
    connection.execute(f"CREATE VIEW cpu AS SELECT * FROM read_parquet('{target}')")
    connection.execute(
        "CREATE MACRO date_bin(width, moment) AS time_bucket(width, moment::TIMESTAMP)"
    )
    figures = {}
    for name, make in questions(end_ns).items():
        times = []
        for _ in range(ROUNDS):
            statement = make().replace(
                "last_value(usage_user ORDER BY time)", "arg_max(usage_user, time)"
            )
            begin = time.perf_counter()
            connection.sql(statement.replace("Z'", "'")).to_arrow_table()
            times.append(time.perf_counter() - begin)
        figures[f"{name} ms"] = statistics.median(times) * 1000
    figures["Parquet MB"] = target.stat().st_size / 1e6
    figures["peak of queries MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return figures


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--million-rows", type=float, default=100)
    parser.add_argument("--again", default="0", help="percent, with commas between")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--against-duckdb", action="store_true")
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    print(machine())
    results = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        for percent in options.again.split(","):
            place = Path(scratch).resolve() / f"again-{percent}"
            share = float(percent) / 100
            figures, end_ns = run(place, options.million_rows, share, options.connections)
            results[f"{percent} % again"] = figures
            if options.against_duckdb and not share:
                results["plain DuckDB"] = plain_duckdb(place, end_ns)
    names = list(results)
    print(f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for key in dict.fromkeys(key for figures in results.values() for key in figures):
        cells = [f"{results[name][key]:,.2f}" if key in results[name] else "-" for name in names]
        print(f"| {key} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
