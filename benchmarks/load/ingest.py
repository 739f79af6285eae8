# Owns the comparison of servers that take in large bodies: same bodies, same sender, one after the other.
"""Bodies of 10,000 lines into Headrace and its peers over the loopback address.

    cd benchmarks && python -m load.ingest [--bodies 200] [--connections 4] [--rounds 3]

Servers take turns, each round in fresh directories. Every line is a new row: all hosts of the TSBS cpu
table at each 10 s, up to now. A peer that is not installed is left out.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow

from benchmarks.inputs import CPU_FIELDS, tsbs_hosts
from benchmarks.measuring import machine
from load.sender import percentile, send_bodies
from load.servers import SERVERS, chosen
from lp_core import build_lines

HOSTS = 1_000
FIELDS = 10
TICKS_PER_BODY = 10
TICK_NS = 10_000_000_000
LINES_PER_BODY = HOSTS * TICKS_PER_BODY

# Their lines/s, and how many times as many the first server shall take: wanted, hoped for.
TARGETS = {"influxdb 1.6": (6, 10), "victoria-metrics 1.79": (3, 5)}


@dataclass(frozen=True)
class Run:
    """What one server did with all bodies."""

    lines_per_s: float
    # While bodies came in, and until it had done what it deferred.
    cpu_s: float
    cpu_settled_s: float
    sender_cpu_s: float
    memory_peak_bytes: int
    disk_bytes: int
    p50_s: float
    p99_s: float


def make_bodies(count, seed=1, end_ns=None, walk_seed=None):
    """Bodies of consecutive times, the last of which ends at `end_ns`, or now; each value walks at random.

    `seed` says which hosts there are, `walk_seed` how values walk, if that is to differ.
    """
    hosts = [dict(tags) for tags in tsbs_hosts(random.Random(seed), HOSTS)]
    tags = {
        name: pyarrow.array([host[name] for host in hosts] * TICKS_PER_BODY).dictionary_encode()
        for name in hosts[0]
    }
    rng = np.random.default_rng(seed if walk_seed is None else walk_seed)
    walk = rng.uniform(0, 100, (HOSTS, FIELDS))
    end_ns = time.time_ns() if end_ns is None else end_ns
    time_ns = (end_ns // TICK_NS - count * TICKS_PER_BODY) * TICK_NS
    bodies = []
    for _ in range(count):
        ticks = []
        for _ in range(TICKS_PER_BODY):
            walk = np.clip(walk + rng.normal(0, 1, walk.shape), 0, 100)
            ticks.append(walk.astype(np.int64))
        values = np.concatenate(ticks)
        columns = {**tags, **{name: values[:, at] for at, name in enumerate(CPU_FIELDS)}}
        times = time_ns + np.arange(TICKS_PER_BODY) * TICK_NS
        columns["time"] = pyarrow.array(np.repeat(times, HOSTS), pyarrow.timestamp("ns"))
        rows = pyarrow.table(columns)
        bodies.append(build_lines(rows, measurement="cpu", tags=list(tags)))
        time_ns += TICKS_PER_BODY * TICK_NS
    return bodies


def run(kind, directory, bodies, connections):
    server = kind(directory).start()
    try:
        before, own_before = server.cost(), os.times()
        times, seconds = send_bodies(server.port, server.write_target, bodies, connections)
        loaded, own_after = server.cost(), os.times()
        server.settle()
        settled = server.cost()
        values = len(bodies) * LINES_PER_BODY * FIELDS
        stored = server.values_stored("cpu", FIELDS)
        assert stored == values, f"{server.name} stored {stored} of {values} values"
        server.stop()
    finally:
        server.kill()
    return Run(
        lines_per_s=len(bodies) * LINES_PER_BODY / seconds,
        cpu_s=loaded.cpu_s - before.cpu_s,
        cpu_settled_s=settled.cpu_s - before.cpu_s,
        sender_cpu_s=sum(own_after[:2]) - sum(own_before[:2]),
        memory_peak_bytes=settled.memory_peak_bytes,
        disk_bytes=server.disk_bytes(),
        p50_s=percentile(times, 0.5),
        p99_s=percentile(times, 0.99),
    )


def print_runs(runs, values):
    per_million = 1e6 / values
    print(
        f"\n{'':22s} {'lines/s':>10s} {'CPU s per':>10s} {'with work':>10s} {'sender':>8s} {'peak':>8s}"
        f" {'disk':>8s} {'p50':>7s} {'p99':>7s}"
    )
    print(
        f"{'':22s} {'':>10s} {'M values':>10s} {'deferred':>10s} {'CPU s':>8s} {'MB':>8s}"
        f" {'MB':>8s} {'ms':>7s} {'ms':>7s}"
    )
    for name, own in runs.items():
        best = max(own, key=lambda each: each.lines_per_s)
        print(
            f"{name:22s} {best.lines_per_s:10,.0f} {best.cpu_s * per_million:10.4f}"
            f" {best.cpu_settled_s * per_million:10.4f} {best.sender_cpu_s:8.2f}"
            f" {best.memory_peak_bytes / 1e6:8.0f} {best.disk_bytes / 1e6:8.1f}"
            f" {best.p50_s * 1e3:7.1f} {best.p99_s * 1e3:7.1f}"
        )
        if len(own) > 1:
            speeds = ", ".join(f"{each.lines_per_s:,.0f}" for each in own)
            print(f"{'':22s} all rounds: {speeds} lines/s")


def print_targets(runs):
    print("\ntargets (best rounds; in brackets the medians)")
    ours = [each.lines_per_s for each in runs["headrace"]]
    for name, (wanted, hoped) in TARGETS.items():
        if name not in runs:
            print(f"  not measured  headrace against {name}")
            continue
        theirs = [each.lines_per_s for each in runs[name]]
        ratio = max(ours) / max(theirs)
        mark = "met   " if ratio >= wanted else "MISSED"
        median = statistics.median(ours) / statistics.median(theirs)
        print(
            f"  {mark}  5. lines/s against {name:22s} {ratio:6.2f} x  ({median:.2f} x)"
            f"  (wanted >= {wanted}, hoped for {hoped})"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bodies", type=int, default=200)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", default=",".join(kind.name for kind in SERVERS))
    parser.add_argument("--directory", default=".", help="on the disk to be measured")
    options = parser.parse_args()
    kinds = chosen(options.servers)
    print(machine())
    bodies = make_bodies(options.bodies)
    lines = len(bodies) * LINES_PER_BODY
    print(
        f"load      {len(bodies)} bodies of {LINES_PER_BODY} lines, {sum(map(len, bodies)) / 1e6:.0f} MB, "
        f"{options.connections} connections, sender on the same cores"
    )
    runs = {kind.name: [] for kind in kinds}
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        for number in range(options.rounds):
            for kind in kinds:
                place = Path(directory).resolve() / f"{kind.__name__.lower()}-{number}"
                runs[kind.name].append(run(kind, place, bodies, options.connections))
    print_runs(runs, lines * FIELDS)
    if "headrace" in runs:
        print_targets(runs)


if __name__ == "__main__":
    main()
