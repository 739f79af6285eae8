# Owns the comparison of servers that take in one line at a time.
"""How long the answer to a one-line write takes.

    cd benchmarks && python -m load.one_line_writes [--seconds 2] [--rounds 3] [--connections 1,4,16,64] [--neighbours 2]

Servers take turns; each connection has one request under way. In the same run stand what no durable write can beat, a bare
4 KiB write with fdatasync on the same disk, and for Headrace the same requests to /ping, which write
nothing. A peer that is not installed is left out. With ``--neighbours 2`` so many other processes
compute without pause meanwhile, with the same rights to the cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measuring import machine
from load.sender import head, percentile, send_in_turns
from load.servers import SERVERS, chosen

FLOOR = "4 KiB write + fdatasync"
FLOOR_FILE_BYTES = 64 * 1024 * 1024
FLOOR_BLOCK = b"x" * 4096
WARM_UP_SECONDS = 0.5
START_NS = 1_700_000_000_000_000_000
# Between the times of one run and the next.
SPAN_NS = 10**12
PEER = "influxdb 1.6"


def sync_floor(directory, seconds):
    """Seconds of each write and sync into blocks that were written before, as a log's can be."""
    path = Path(directory) / "floor"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.write(descriptor, bytes(FLOOR_FILE_BYTES))
        os.fsync(descriptor)
        times, offset, end = [], 0, time.monotonic() + seconds
        while time.monotonic() < end:
            started = time.perf_counter()
            os.pwrite(descriptor, FLOOR_BLOCK, offset % FLOOR_FILE_BYTES)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
            offset += len(FLOOR_BLOCK)
    finally:
        os.close(descriptor)
        path.unlink()
    return times


def write_request(target, first_ns):
    """Makes the requests of a run: a series per connection, a new time for each line."""

    def make(connection, number):
        time_ns = first_ns + number
        line = (
            f"cpu,host=h{connection},region=eu usage={number % 100}.5,load=1i {time_ns}\n".encode()
        )
        return head(target, len(line)) + line

    return make


def ping_request(connection, number):
    del connection, number
    return head("/ping", 0, method="GET")


def report(name, connections, seconds, times, cpu_s):
    cpu = "" if cpu_s is None else f"   server CPU {cpu_s / len(times) * 1e6:5.0f} us"
    print(
        f"{name:26s} {connections:3d} {len(times) / seconds:9.0f} /s   "
        f"p50 {percentile(times, 0.5) * 1e3:7.3f} ms   p99 {percentile(times, 0.99) * 1e3:7.3f} ms{cpu}",
        flush=True,
    )


def measure(server, connections, seconds, first_ns):
    """Seconds per answer to writes."""
    kinds = [("", write_request(server.write_target, first_ns), 204)]
    if server.name == "headrace":
        kinds.insert(0, (" /ping", ping_request, 200))
    for suffix, make, wanted in kinds:
        before = server.cost().cpu_s
        times = send_in_turns(server.port, make, connections, seconds, wanted)
        cpu_s = server.cost().cpu_s - before
        report(server.name + suffix, connections, seconds, times, cpu_s)
    return times


def compare(servers, counts, rounds, seconds):
    """The p50 of each round by server and number of connections; servers take turns."""
    medians = {(server.name, connections): [] for server in servers for connections in counts}
    first_ns = START_NS
    for _ in range(rounds):
        for connections in counts:
            for server in servers:
                times = measure(server, connections, seconds, first_ns)
                medians[server.name, connections].append(percentile(times, 0.5))
            first_ns += SPAN_NS
    return medians


def print_targets(medians, counts):
    print("\ntargets (best rounds of each)")
    for connections in counts:
        if not all((name, connections) in medians for name in ("headrace", PEER)):
            print(f"  not measured  5. p50 at {connections:2d} connections against {PEER}")
            continue
        ours, theirs = (min(medians[name, connections]) for name in ("headrace", PEER))
        mark = "met   " if ours <= theirs else "MISSED"
        print(
            f"  {mark}  5. p50 at {connections:2d} connections {ours * 1e3:8.3f} ms"
            f"  (wanted <= {PEER}: {theirs * 1e3:.3f} ms)"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,4,16,64")
    parser.add_argument("--servers", default=",".join(kind.name for kind in SERVERS))
    parser.add_argument(
        "--neighbours", type=int, default=0, help="processes that compute meanwhile"
    )
    parser.add_argument("--directory", default=".", help="on the disk to be measured")
    options = parser.parse_args()
    counts = [int(text) for text in options.connections.split(",")]
    kinds = chosen(options.servers)
    print(machine())
    print(f"neighbours that compute: {options.neighbours}")
    with tempfile.TemporaryDirectory(dir=options.directory) as directory, ExitStack() as running:
        for _ in range(options.neighbours):
            neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            running.callback(neighbour.wait)
            running.callback(neighbour.kill)
        report(FLOOR, 1, options.seconds, sync_floor(directory, options.seconds), None)
        servers = []
        for kind in kinds:
            server = kind(Path(directory).resolve() / kind.__name__.lower())
            running.callback(server.kill)
            servers.append(server.start())
            warm_up = write_request(server.write_target, START_NS - SPAN_NS)
            send_in_turns(server.port, warm_up, 1, WARM_UP_SECONDS, 204)
        medians = compare(servers, counts, options.rounds, options.seconds)
    print_targets(medians, counts)


if __name__ == "__main__":
    main()
