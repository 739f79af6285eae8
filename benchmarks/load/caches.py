# Owns the question what caches of a table cost those who write to it.
"""Bodies of 10,000 lines into Headrace without and with caches of the table.

    cd benchmarks && python -m load.caches [--bodies 200] [--connections 4] [--rounds 3]

With caches, the table has a last cache by all tags, one by the host name with ten rows of each, and a distinct
cache of two tags; and somebody asks for last points ten times a second.
"""

import argparse
import json
import random
import statistics
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

from benchmarks.inputs import CPU_FIELDS, tsbs_hosts
from benchmarks.measuring import machine
from load.ingest import HOSTS, make_bodies, run
from load.servers import Headrace

ASK_EVERY_S = 0.1
QUESTION = "SELECT DISTINCT ON (hostname) * FROM cpu ORDER BY hostname, time DESC"
CACHES = (
    ("last_cache", {"name": "series"}),
    ("last_cache", {"name": "hosts", "key_columns": ["hostname"], "count": 10}),
    ("distinct_cache", {"columns": ["hostname", "region"]}),
)


class WithCaches(Headrace):
    name = "with caches"

    def prepare(self):
        # Caches want a table. This row is before all others.
        tags = ",".join(f"{key}={value}" for key, value in tsbs_hosts(random.Random(1), HOSTS)[0])
        fields = ",".join(f"{name}=0i" for name in CPU_FIELDS)
        status, content = self.request("POST", self.write_target, f"cpu,{tags} {fields} 1".encode())
        assert status == 204, content
        for noun, about in CACHES:
            body = json.dumps({"db": "load", "table": "cpu", **about})
            status, content = self.request("POST", f"/api/v3/configure/{noun}", body)
            assert status == 201, content
        self._is_ended = threading.Event()
        self._asker = threading.Thread(target=self._ask, daemon=True)
        self._asker.start()

    def _ask(self):
        while not self._is_ended.wait(ASK_EVERY_S):
            self.request("GET", f"/api/v3/query_sql?db=load&format=json&q={quote(QUESTION)}")

    def settle(self):
        self._is_ended.set()
        self._asker.join()
        super().settle()

    def values_stored(self, table, fields):
        return super().values_stored(table, fields) - fields


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bodies", type=int, default=200)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", default=".", help="on the disk to be measured")
    options = parser.parse_args()
    print(machine())
    bodies = make_bodies(options.bodies)
    runs = {Headrace: [], WithCaches: []}
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        for number in range(options.rounds):
            for kind, own in runs.items():
                place = Path(directory).resolve() / f"{kind.__name__.lower()}-{number}"
                own.append(run(kind, place, bodies, options.connections))
    print(f"{'':14s} {'lines/s':>10s} {'CPU s':>7s} {'settled':>8s} {'p50 ms':>7s} {'p99 ms':>7s}")
    for kind, own in runs.items():
        best = max(own, key=lambda each: each.lines_per_s)
        print(
            f"{kind.name:14s} {best.lines_per_s:10,.0f} {best.cpu_s:7.2f} {best.cpu_settled_s:8.2f}"
            f" {best.p50_s * 1e3:7.1f} {best.p99_s * 1e3:7.1f}"
        )
    plain, cached = ([each.lines_per_s for each in own] for own in runs.values())
    print(
        f"with caches: {max(cached) / max(plain):.2f} of the lines/s (best rounds), "
        f"{statistics.median(cached) / statistics.median(plain):.2f} (medians)"
    )


if __name__ == "__main__":
    main()
