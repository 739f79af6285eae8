# Owns the look at what persisting costs and gives: rows of the TSBS cpu table loaded in one go, once with
# everything left in the log and once with Parquet files and checkpoints.
"""What Parquet files and checkpoints cost, and what they give.

    cd benchmarks && python -m load.persist [--million-rows 5] [--connections 4]

Both servers are Headrace; the first keeps all rows in its log, as without persisting.
"""

import argparse
import http.client
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.inputs import tsbs_hosts
from benchmarks.measuring import machine
from load.figures import print_table
from load.ingest import HOSTS, LINES_PER_BODY, TICK_NS, TICKS_PER_BODY, make_bodies
from load.sender import send_bodies
from load.servers import Headrace

BODIES_AT_ONCE = 50
QUERY_ROUNDS = 15
HOUR_NS = 3_600_000_000_000


class LogOnly(Headrace):
    """Never moves a row out of the log."""

    name = "log only"

    def command(self):
        return [
            *super().command(),
            "--persist-log-size",
            "1000GB",
            "--checkpoint-log-size",
            "1000GB",
        ]


class Persisting(Headrace):
    name = "with files"


def load(server, million_rows, connections):
    """Send all rows; returns rows, seconds, and the time of the last row."""
    end_ns = time.time_ns() // TICK_NS * TICK_NS
    count = round(million_rows * 1_000_000 / LINES_PER_BODY)
    seconds = 0.0
    for start in range(0, count, BODIES_AT_ONCE):
        size = min(BODIES_AT_ONCE, count - start)
        left = (count - start - size) * TICKS_PER_BODY * TICK_NS
        bodies = make_bodies(size, seed=start, end_ns=end_ns - left)
        seconds += send_bodies(server.port, server.write_target, bodies, connections)[1]
    return count * LINES_PER_BODY, seconds, end_ns


def query(server, sql):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        body = json.dumps({"db": "load", "q": sql, "format": "json"})
        begin = time.perf_counter()
        connection.request("POST", "/api/v3/query_sql", body)
        answer = connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - begin
    finally:
        connection.close()
    if answer.status != 200:
        raise SystemExit(f"{sql}: {content.decode()}")
    return json.loads(content), seconds


def queries(end_ns):
    rng = random.Random(5)
    names = [dict(tags)["hostname"] for tags in tsbs_hosts(random.Random(1), HOSTS)]

    def literal(time_ns):
        seconds, rest = divmod(time_ns, 1_000_000_000)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"'{text}.{rest:09d}Z'"

    def between(start_ns, length_ns):
        return f"time >= {literal(start_ns)} AND time < {literal(start_ns + length_ns)}"

    def some_hour():
        return between(end_ns - rng.randrange(1, 10) * HOUR_NS, HOUR_NS)

    return {
        "SELECT 1": lambda: "SELECT 1",
        "single-groupby-1-1-1": lambda: (
            "SELECT date_bin(INTERVAL '1 minute', time) AS minute, max(usage_user) FROM cpu "
            f"WHERE hostname = '{rng.choice(names)}' AND {some_hour()} GROUP BY 1 ORDER BY 1"
        ),
        "double-groupby-1": lambda: (
            "SELECT date_bin(INTERVAL '1 hour', time) AS hour, hostname, avg(usage_user) FROM cpu "
            f"WHERE {between(end_ns - 12 * HOUR_NS, 12 * HOUR_NS)} GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        "high-cpu-1": lambda: (
            f"SELECT * FROM cpu WHERE usage_user > 90 AND hostname = '{rng.choice(names)}' "
            f"AND {between(end_ns - 12 * HOUR_NS, 12 * HOUR_NS)}"
        ),
        "lastpoint": lambda: (
            "SELECT hostname, max(time), last_value(usage_user ORDER BY time) FROM cpu "
            "GROUP BY hostname"
        ),
        "count and sum of all": lambda: "SELECT count(*), sum(usage_user) FROM cpu",
    }


def latencies(server, end_ns):
    return {
        name: statistics.median(query(server, make())[1] for _ in range(QUERY_ROUNDS))
        for name, make in queries(end_ns).items()
    }


def disk(server):
    """Bytes of all files, of the log, and of Parquet files."""
    sizes = [(path, path.stat().st_size) for path in server.directory.rglob("*") if path.is_file()]
    return {
        "all": sum(size for _, size in sizes),
        "log": sum(size for path, size in sizes if path.suffix == ".wal"),
        "parquet": sum(size for path, size in sizes if path.suffix == ".parquet"),
        "parquet files": sum(path.suffix == ".parquet" for path, _ in sizes),
    }


def restart(server):
    begin = time.perf_counter()
    server.start(again=True)
    return time.perf_counter() - begin


def run(kind, directory, million_rows, connections):
    server = kind(directory).start()
    try:
        rows, load_s, end_ns = load(server, million_rows, connections)
        begin = time.perf_counter()
        server.settle()
        settle_s = time.perf_counter() - begin
        result = {"rows": rows, "rows/s": rows / load_s, "settled after s": settle_s}
        result["peak MB"] = server.cost().memory_peak_bytes / 1e6
        result |= {
            f"bytes/row, {name}": size / rows
            for name, size in disk(server).items()
            if "files" not in name
        }
        result["parquet files"] = disk(server)["parquet files"]
        server.kill()
        result["start after kill s"] = restart(server)
        before = query(server, "SELECT count(*) AS n, sum(usage_user) AS s FROM cpu")[0]
        server.stop()
        result["start after stop s"] = restart(server)
        assert query(server, "SELECT count(*) AS n, sum(usage_user) AS s FROM cpu")[0] == before
        assert before[0]["n"] == rows, before
        result |= {
            f"{name} ms": seconds * 1000 for name, seconds in latencies(server, end_ns).items()
        }
        result["peak of queries MB"] = server.cost().memory_peak_bytes / 1e6
        server.stop()
        return result
    finally:
        server.kill()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--million-rows", type=float, default=5)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument(
        "--only-files", action="store_true", help="leave out the server without files"
    )
    arguments = parser.parse_args()
    print(machine())
    results = {}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for kind in [Persisting] if arguments.only_files else [LogOnly, Persisting]:
            results[kind.name] = run(
                kind,
                Path(directory) / kind.name.replace(" ", "-"),
                arguments.million_rows,
                arguments.connections,
            )
    print_table(results)


if __name__ == "__main__":
    main()
