# Owns the look at what rows take on disk once all that a server defers is done: moved out of its log, merged.
"""Bytes per row on disk, each server having merged what it has.

    cd benchmarks && python -m load.disk [--bodies 200] [--servers headrace,...]

The rows of `load.ingest`. Each server is started again with what it takes to have it merge now rather
than in hours.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.measuring import machine
from load.figures import print_table
from load.ingest import FIELDS, LINES_PER_BODY, make_bodies
from load.sender import send_bodies
from load.servers import SERVERS, Headrace, InfluxDB, VictoriaMetrics, chosen

SETTLED_SECONDS_MAX = 300


class Merging(Headrace):
    """Keeps no more than a megabyte of rows in its log."""

    def command(self):
        sizes = ("--wal-segment-size", "1MB", "--persist-log-size", "1MB")
        return [*super().command(), *sizes]


class ColdInfluxDB(InfluxDB):
    """Takes rows for cold after seconds: then they leave the cache, and are merged in full."""

    settings = """
            [data]
            cache-snapshot-write-cold-duration = "2s"
            compact-full-write-cold-duration = "2s"
"""

    def command(self):
        command = super().command()
        path = Path(command[-1])
        path.write_text(
            path.read_text().replace("            [data]\n", self.settings.lstrip("\n"))
        )
        return command


class ForcedVictoriaMetrics(VictoriaMetrics):
    """Is told to merge."""

    def prepare(self):
        status, content = self.request("GET", "/internal/force_merge")
        assert status == 200, content


MERGING = {
    Headrace: Merging,
    InfluxDB: ColdInfluxDB,
    VictoriaMetrics: ForcedVictoriaMetrics,
}
# What is not rows for good, by the part of the path that tells.
LOGS = {Headrace: "wal", InfluxDB: "wal", VictoriaMetrics: "cache"}


def run(kind, directory, bodies):
    """Fill one server, have it merge; returns figures."""
    rows = len(bodies) * LINES_PER_BODY
    server = kind(directory).start()
    try:
        send_bodies(server.port, server.write_target, bodies, 4)
        server.settle(SETTLED_SECONDS_MAX)
        stored = server.values_stored("cpu", FIELDS)
        assert stored == rows * FIELDS, f"{server.name} stored {stored} of {rows * FIELDS} values"
        server.stop()
        before = server.disk_bytes()
        server = MERGING[kind](directory).start(again=True)
        server.settle(SETTLED_SECONDS_MAX)
        server.stop()
    finally:
        server.kill()
    log = sum(
        path.stat().st_blocks * 512
        for path in directory.rglob("*")
        if path.is_file() and LOGS[kind] in path.relative_to(directory).parts
    )
    after = server.disk_bytes()
    return {
        "rows": rows,
        "bytes per row once loaded": before / rows,
        "bytes per row once merged": after / rows,
        "without log and caches": (after - log) / rows,
        "bytes per value of these": (after - log) / rows / FIELDS,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bodies", type=int, default=200)
    parser.add_argument("--servers", default=",".join(kind.name for kind in SERVERS))
    parser.add_argument("--directory", default=".", help="on the disk to be measured")
    options = parser.parse_args()
    kinds = chosen(options.servers)
    print(machine())
    bodies = make_bodies(options.bodies)
    results = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        for kind in kinds:
            place = Path(directory).resolve() / kind.__name__.lower()
            results[kind.name] = run(kind, place, bodies)
    print_table(results)


if __name__ == "__main__":
    main()
