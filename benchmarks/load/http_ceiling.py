# Owns the comparison of the durable write path with what HTTP itself costs here.
"""One-line writes and large bodies: a bare granian application, the ASGI layer alone, and the whole durable path.

    cd benchmarks && python -m load.http_ceiling [--seconds 2] [--rounds 5] [--connections 64] [--megabytes 5]

The three take turns in each round; the ratio of a round is to the bare one of the same round, and the median of the rounds'
ratios counts. Bodies are line protocol of the TSBS cpu table, the same for all; bare and layer read them and do nothing.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measuring import machine
from load.ingest import make_bodies
from load.one_line_writes import SPAN_NS, START_NS, write_request
from load.sender import send_bodies, send_in_turns
from load.servers import Headrace, Server

# Share of the bare server's requests/s of one-line bodies, and of its MB/s of large ones.
ONE_LINE_TARGET, LARGE_TARGET = 0.6, 0.5
LARGE_CONNECTIONS = 4
DISK = "write + fdatasync"


class Bare(Server):
    name = "bare granian"
    kind = "bare"
    health_target = "/health"
    write_target = "/write"

    def command(self):
        program = Path(__file__).with_name("http_server.py")
        return [sys.executable, str(program), self.kind, str(self.port)]


class Layer(Bare):
    name = "ASGI layer"
    kind = "layer"


KINDS = (Bare, Layer, Headrace)


def large_bodies(megabytes, count):
    """`count` bodies of so many megabytes, of lines with times of their own."""
    small = make_bodies(2)
    lines = -(-megabytes * 10**6 * 10_000 // len(small[0]))
    whole = make_bodies(-(-count * lines // 10_000))
    joined = b"".join(whole)
    size = megabytes * 10**6
    starts = [0, *(joined.index(b"\n", number * size) + 1 for number in range(1, count))]
    return [joined[start : start + size].rpartition(b"\n")[0] for start in starts]


def synced_mb_per_s(directory, bodies):
    """MB/s of the disk alone: the same bodies into one file, each with fdatasync."""
    path = Path(directory) / "floor"
    started = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for body in bodies:
            file.write(body)
            os.fdatasync(file)
    taken_s = time.perf_counter() - started
    path.unlink()
    return sum(map(len, bodies)) / taken_s / 1e6


def measure(servers, connections, seconds, bodies, rounds):
    """Requests/s and MB/s of each round by server; of large bodies those of the disk, too."""
    small = {server.name: [] for server in servers}
    large = {server.name: [] for server in servers} | {DISK: []}
    first_ns = START_NS
    for _ in range(rounds):
        for server in servers:
            make = write_request(server.write_target, first_ns)
            times = send_in_turns(server.port, make, connections, seconds, 204)
            small[server.name].append(len(times) / seconds)
            _, taken_s = send_bodies(server.port, server.write_target, bodies, LARGE_CONNECTIONS)
            large[server.name].append(sum(map(len, bodies)) / taken_s / 1e6)
        large[DISK].append(synced_mb_per_s(servers[0].directory, bodies))
        first_ns += SPAN_NS
    return small, large


def report(title, rates, target):
    """Print a table of `rates` by server; return the share that the durable path has of the bare one."""
    print(f"\n{title:28s} {'median':>9s} {'best':>9s} {'of bare':>8s}")
    for name, found in rates.items():
        share = share_of_bare(rates, name)
        print(f"{name:28s} {statistics.median(found):9.0f} {max(found):9.0f} {share:8.2f}")
    share = share_of_bare(rates, Headrace.name)
    print(f"{'met' if share >= target else 'MISSED':>6s}: {share:.2f}, wanted {target:.2f}")
    return share


def share_of_bare(rates, name):
    """Median of the rounds' ratios."""
    return statistics.median(
        ours / bare for ours, bare in zip(rates[name], rates[Bare.name], strict=True)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--megabytes", type=int, default=5)
    parser.add_argument("--bodies", type=int, default=16)
    parser.add_argument("--directory", default=".", help="on the disk to be measured")
    options = parser.parse_args()
    print(machine())
    bodies = large_bodies(options.megabytes, options.bodies)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory, ExitStack() as running:
        servers = []
        for kind in KINDS:
            server = kind(Path(directory).resolve() / kind.__name__.lower())
            running.callback(server.kill)
            servers.append(server.start())
            warm_up = write_request(server.write_target, START_NS - SPAN_NS)
            send_in_turns(server.port, warm_up, 1, 0.5, 204)
        small, large = measure(
            servers, options.connections, options.seconds, bodies, options.rounds
        )
    report(f"one line, {options.connections} connections, /s", small, ONE_LINE_TARGET)
    report(
        f"{options.megabytes} MB bodies, {LARGE_CONNECTIONS} connections, MB/s", large, LARGE_TARGET
    )


if __name__ == "__main__":
    main()
