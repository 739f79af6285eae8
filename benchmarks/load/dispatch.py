# Owns the measurement of what it takes to hand rows to a plugin: how long after the flush its first line
# runs, and how many rows a second it gets, as dicts and as Arrow.
"""How long rows take to a plugin.

    cd benchmarks && python -m load.dispatch [--writes 200] [--rows 10,1000,100000]

One server, two triggers on one table: one is called with rows as dicts and looks at each of them, one with
Arrow tables and sums a column. Each write is one body, and the next is sent when both have run. The server
measures the time from the flush to the call itself (`last_dispatch_seconds`); rows a second are those of a
run from the flush to its end, without its commit. The ceiling stands beside it: the same function in this
process on dicts, or a table, that are there already.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.measuring import machine
from load.hostile_plugins import Guarded
from load.sender import percentile, send_bodies

FIELDS = 10
WAIT_S = 60

DICTS = """
def total(batches):
    n = 0
    for batch in batches:
        for row in batch["rows"]:
            n += row["f0"]
    return n

def process_writes(api, batches, args):
    n = total(batches)
    api.write(LineBuilder("seen_dicts").int64_field("n", n))
"""
ARROW = """
import pyarrow.compute as pc

def total(tables):
    return sum(pc.sum(table["f0"]).as_py() for table in tables.values())

def process_batches(api, tables, args):
    n = total(tables)
    api.write(LineBuilder("seen_arrow").int64_field("n", n))
"""
KINDS = {"dicts": DICTS, "arrow": ARROW}


class Roomy(Guarded):
    """A server that takes the largest body in one go."""

    def command(self):
        return [
            *super().command(),
            *("--max-http-request-size", "100MB", "--plugin-timeout", "1m", "--log-level", "warn"),
        ]


def body(rows, number):
    """Rows of four tags and ten integers, a second apart."""
    values = ",".join(f"f{field}={field + 1}i" for field in range(FIELDS))
    start = 1_700_000_000 + number * rows
    return "".join(
        f"poked,host=h{row % 100},region=eu,os=linux,rack=r{row % 10} {values} {(start + row) * 10**9}\n"
        for row in range(rows)
    ).encode()


def ask(server, sql):
    status, answer = server.request("GET", f"/api/v3/query_sql?db=load&q={quote(sql)}&format=json")
    assert status == 200, answer
    return json.loads(answer)


def wait_for_runs(server, runs):
    """The state of both triggers once each has written the result of so many runs."""
    deadline = time.monotonic() + WAIT_S
    while any(done(server, kind) < runs for kind in KINDS):
        if time.monotonic() > deadline:
            log = ask(
                server, "SELECT * FROM system.processing_engine_logs WHERE log_level <> 'INFO'"
            )
            raise SystemExit(f"the plugins did not run: {log}")
        time.sleep(0.002)
    rows = ask(server, "SELECT * FROM system.processing_engine_triggers")
    return {row["trigger_name"]: row for row in rows}


def done(server, kind):
    found = ask(server, "SELECT table_name FROM information_schema.tables")
    if f"seen_{kind}" not in {row["table_name"] for row in found}:
        return 0
    return ask(server, f"SELECT count(*) AS n FROM seen_{kind}")[0]["n"]


def ceiling(kind, rows):
    """Rows a second of the plugin's own function, on rows that are there."""
    names = {}
    exec(KINDS[kind], names)
    columns = {f"f{field}": [field + 1] * rows for field in range(FIELDS)}
    columns |= {"host": ["h"] * rows, "region": ["eu"] * rows, "time": list(range(rows))}
    table = pa.table(columns)
    given = {"poked": table}
    if kind == "dicts":
        given = [{"table_name": "poked", "rows": table.to_pylist()}]
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        names["total"](given)
        best = min(best, time.perf_counter() - started)
    return rows / best


def measure(server, rows, writes):
    """Per kind, seconds from flush to call and whole seconds of each run."""
    found = {kind: ([], []) for kind in KINDS}
    runs = min(done(server, kind) for kind in KINDS)
    for number in range(writes):
        send_bodies(server.port, server.write_target, [body(rows, number)], 1)
        runs += 1
        for kind, row in wait_for_runs(server, runs).items():
            dispatch, whole = found[kind]
            dispatch.append(row["last_dispatch_seconds"])
            # A run is timed from when the server hands it over, the dispatch from the flush before.
            whole.append(max(row["last_run_seconds"], row["last_dispatch_seconds"]))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--writes", type=int, default=200)
    parser.add_argument("--rows", default="10,1000,100000")
    options = parser.parse_args()
    print(machine())
    assert pc.sum(pa.array([1])).as_py() == 1
    with tempfile.TemporaryDirectory(dir=".") as directory:
        server = Roomy(Path(directory).resolve() / "server")
        server.start()
        try:
            server.post("/api/v3/configure/database", {"db": "load"})
            for kind, source in KINDS.items():
                server.install(kind, source)
            measure(server, 10, 3)
            for rows in map(int, options.rows.split(",")):
                writes = max(5, min(options.writes, 2_000_000 // rows))
                for kind, (dispatch, whole) in measure(server, rows, writes).items():
                    print(
                        f"{kind:6s} {rows:7d} rows   flush to first line p50 "
                        f"{percentile(dispatch, 0.5) * 1e3:8.3f} ms  p99 {percentile(dispatch, 0.99) * 1e3:8.3f} ms   "
                        f"{rows / percentile(whole, 0.5):12,.0f} rows/s   ceiling {ceiling(kind, rows):14,.0f} rows/s",
                        flush=True,
                    )
        finally:
            server.kill()


if __name__ == "__main__":
    main()
