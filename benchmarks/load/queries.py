# Owns the comparison of what short queries take over HTTP: same rows in each server, and in one sorted
# Parquet file that DuckDB reads without any server.
"""TSBS queries over HTTP, one client, over Headrace, InfluxDB and a file that plain DuckDB reads.

    cd benchmarks && python -m load.queries [--million-rows 4] [--rounds 40]

The rows are those of load.ingest. Servers and DuckDB take turns, question by question; each names another
host and hour each time. Of each, the median and the 90th percentile count; the first answer is told apart.
"""

import argparse
import http.client
import os
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow

from benchmarks.inputs import CPU_FIELDS, tsbs_hosts
from benchmarks.measuring import machine
from load.figures import print_table
from load.ingest import HOSTS, LINES_PER_BODY, TICK_NS, TICKS_PER_BODY, make_bodies
from load.sender import percentile, send_bodies
from load.servers import SERVERS, Headrace, InfluxDB, chosen
from lp_core import parse

BODIES_AT_ONCE = 50
HOUR_NS = 3_600_000_000_000
# Slower queries are asked fewer times.
SLOW_S = 0.25
SLOW_ROUNDS_MAX = 5
NAMES = [dict(tags)["hostname"] for tags in tsbs_hosts(random.Random(1), HOSTS)]
MEANS = ", ".join(f"avg({name})" for name in CPU_FIELDS)
INFLUX_MEANS = ", ".join(f"mean({name})" for name in CPU_FIELDS)

# Milliseconds, or the share of the peer's time that they may take.
TARGETS_MS = {"single-groupby-1-1-1": 3, "lastpoint": 10}
TARGET_SHARES = {"double-groupby-all": 1 / 20}


def literal(time_ns):
    seconds, rest = divmod(time_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"'{text}.{rest:09d}Z'"


def between(start_ns, end_ns):
    return f"time >= {literal(start_ns)} AND time < {literal(end_ns)}"


def questions(rng, start_ns, end_ns):
    """One question of each kind: SQL, and InfluxQL for InfluxDB (None where it is the same)."""
    host = rng.choice(NAMES)
    hour_ns = rng.randrange(start_ns, max(start_ns + 1, end_ns - HOUR_NS))
    hour, most = between(hour_ns, hour_ns + HOUR_NS), between(end_ns - 12 * HOUR_NS, end_ns)
    return {
        "select-1": ("SELECT 1", None),
        "single-groupby-1-1-1": (
            "SELECT date_bin(INTERVAL '1 minute', time) AS minute, max(usage_user) FROM cpu "
            f"WHERE hostname = '{host}' AND {hour} GROUP BY 1 ORDER BY 1",
            f"SELECT max(usage_user) FROM cpu WHERE hostname = '{host}' AND {hour} GROUP BY time(1m)",
        ),
        "lastpoint": (
            "SELECT DISTINCT ON (hostname) * FROM cpu ORDER BY hostname, time DESC",
            "SELECT * FROM cpu GROUP BY hostname ORDER BY time DESC LIMIT 1",
        ),
        "lastpoint-by-rank": (
            "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY hostname ORDER BY time DESC) AS "
            "rn FROM cpu) WHERE rn = 1",
            None,
        ),
        "last-of-one-field": (
            "SELECT hostname, max(time) AS time, last_value(usage_user ORDER BY time) AS usage_user "
            "FROM cpu GROUP BY hostname",
            "SELECT last(usage_user) FROM cpu GROUP BY hostname",
        ),
        "high-cpu-1": (
            f"SELECT * FROM cpu WHERE usage_user > 90 AND hostname = '{host}' AND {most}",
            f"SELECT * FROM cpu WHERE usage_user > 90 AND hostname = '{host}' AND {most}",
        ),
        "double-groupby-1": (
            "SELECT date_bin(INTERVAL '1 hour', time) AS hour, hostname, avg(usage_user) FROM cpu "
            f"WHERE {most} GROUP BY 1, 2 ORDER BY 1, 2",
            f"SELECT mean(usage_user) FROM cpu WHERE {most} GROUP BY time(1h), hostname",
        ),
        "double-groupby-all": (
            f"SELECT date_bin(INTERVAL '1 hour', time) AS hour, hostname, {MEANS} FROM cpu "
            f"WHERE {most} GROUP BY 1, 2 ORDER BY 1, 2",
            f"SELECT {INFLUX_MEANS} FROM cpu WHERE {most} GROUP BY time(1h), hostname",
        ),
    }


class ForgetfulHeadrace(Headrace):
    """Keeps nothing of files from one query to the next, so each is like the first of its kind."""

    name = "headrace, nothing kept"

    def command(self):
        return [*super().command(), "--query-cache-max", "0"]


class Client:
    """One connection that stays open, as dashboards have it."""

    def __init__(self, server):
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)

    def seconds(self, sql, influxql):
        """How long an answer takes, or None where the server does not know the question."""
        if isinstance(self._server, Headrace):
            target = f"/api/v3/query_sql?db=load&format=json&q={quote(sql)}"
        elif influxql is None:
            return None
        else:
            target = f"/query?db=load&epoch=ms&q={quote(influxql)}"
        try:
            seconds, answer, content = self._asked(target)
        except (http.client.RemoteDisconnected, BrokenPipeError):
            # The server closed it meanwhile, since others took long.
            self._connection.close()
            seconds, answer, content = self._asked(target)
        if answer.status != 200 or b'"error"' in content[:200]:
            raise SystemExit(f"{sql or influxql}: {content[:500]}")
        return seconds

    def _asked(self, target):
        begin = time.perf_counter()
        self._connection.request("GET", target)
        answer = self._connection.getresponse()
        content = answer.read()
        return time.perf_counter() - begin, answer, content


class PlainDuckDB:
    """DuckDB in this process over one sorted file; answers end as Arrow."""

    name = "plain DuckDB"

    def __init__(self, path):
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET parquet_metadata_cache = true")
        self._connection.execute(f"CREATE VIEW cpu AS SELECT * FROM read_parquet('{path}')")

    def seconds(self, sql, _influxql):
        for ours, its in (
            ("date_bin(INTERVAL '1 minute', time)", "date_trunc('minute', time)"),
            ("date_bin(INTERVAL '1 hour', time)", "date_trunc('hour', time)"),
            ("last_value(usage_user ORDER BY time)", "arg_max(usage_user, time)"),
        ):
            sql = sql.replace(ours, its)
        begin = time.perf_counter()
        self._connection.sql(sql).to_arrow_table()
        return time.perf_counter() - begin


def load(servers, million_rows, path, connections):
    """Send the same rows to all servers and into a file; return the times of the first and the last."""
    end_ns = time.time_ns() // TICK_NS * TICK_NS
    count = round(million_rows * 1_000_000 / LINES_PER_BODY)
    tables = []
    for start in range(0, count, BODIES_AT_ONCE):
        size = min(BODIES_AT_ONCE, count - start)
        left = (count - start - size) * TICKS_PER_BODY * TICK_NS
        # One seed: the hosts must be the same in all of them.
        bodies = make_bodies(size, seed=1, end_ns=end_ns - left)
        for server in servers:
            send_bodies(server.port, server.write_target, bodies, connections)
        for body in bodies:
            (batch,) = parse(body, precision="ns", now_ns=0).batch.values()
            tables.append(pyarrow.Table.from_batches([pyarrow.record_batch(batch)]))
    rows = pyarrow.concat_tables(tables).unify_dictionaries()
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        connection.execute(
            f"COPY (SELECT * FROM rows ORDER BY hostname, time) TO '{path}' "
            "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536)"
        )
    return end_ns - count * TICKS_PER_BODY * TICK_NS, end_ns


def measure(askers, names, rounds, start_ns, end_ns):
    """Seconds of all answers, by question and asker.

    One after the other: scans of one in between would leave another the caches of the processor cold.
    """
    taken = {name: {asker.name: [] for asker in askers.values()} for name in names}
    for name in names:
        for client, asker in askers.items():
            rng = random.Random(5)
            own = taken[name][asker.name]
            for _ in range(rounds):
                seconds = client.seconds(*questions(rng, start_ns, end_ns)[name])
                if seconds is not None:
                    own.append(seconds)
                if len(own) >= SLOW_ROUNDS_MAX and statistics.median(own) > SLOW_S:
                    break
    return taken


def print_times(taken, names):
    print("\nms: median / 90th percentile (first answer)")
    print_table({name: {what: _times(own[name]) for what, own in taken.items()} for name in names})


def _times(own):
    if not own:
        return None
    median, late = statistics.median(own) * 1e3, percentile(own, 0.9) * 1e3
    return f"{median:.1f} / {late:.1f} ({own[0] * 1e3:.0f})"


def print_targets(taken):
    print()
    for question, most_ms in TARGETS_MS.items():
        own_ms = statistics.median(taken[question]["headrace"]) * 1e3
        mark = "met   " if own_ms <= most_ms else "MISSED"
        print(f"  {mark}  {question:22s} {own_ms:6.1f} ms (wanted <= {most_ms} ms)")
    for question, share in TARGET_SHARES.items():
        theirs = taken[question].get(InfluxDB.name)
        if theirs:
            ratio = statistics.median(theirs) / statistics.median(taken[question]["headrace"])
            mark = "met   " if ratio >= 1 / share else "MISSED"
            print(f"  {mark}  {question:22s} {ratio:6.1f} x faster than {InfluxDB.name}"
                  f" (wanted >= {1 / share:.0f} x)")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--million-rows", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--connections", type=int, default=1, help="more of them bring rows out of order"
    )
    parser.add_argument(
        "--real-time",
        action="store_true",
        help="ask and answer with real-time priority, on a machine that others use",
    )
    parser.add_argument(
        "--forgetful", action="store_true", help="ask a Headrace that keeps nothing of files, too"
    )
    parser.add_argument("--servers", default=f"{Headrace.name},{InfluxDB.name}")
    parser.add_argument("--directory", default=".", help="on the disk to be measured")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        directory = Path(place).resolve()
        kinds = [kind for kind in chosen(options.servers) if kind in SERVERS]
        if options.forgetful:
            kinds.append(ForgetfulHeadrace)
        servers = [kind(directory / kind.__name__.lower()).start() for kind in kinds]
        try:
            path = directory / "sorted.parquet"
            start_ns, end_ns = load(servers, options.million_rows, path, options.connections)
            for server in servers:
                server.settle()
            if options.real_time:
                for pid in [os.getpid(), *(server.pid for server in servers)]:
                    subprocess.run(
                        ["chrt", "--all-tasks", "--rr", "--pid", "1", str(pid)], check=True
                    )
            askers = {Client(server): server for server in servers}
            plain = PlainDuckDB(path)
            askers[plain] = plain
            names = list(questions(random.Random(5), start_ns, end_ns))
            taken = measure(askers, names, options.rounds, start_ns, end_ns)
        finally:
            for server in servers:
                server.kill()
    print_times(taken, [asker.name for asker in askers.values()])
    if any(server.name == Headrace.name for server in servers):
        print_targets(taken)


if __name__ == "__main__":
    main()
