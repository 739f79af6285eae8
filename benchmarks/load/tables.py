# Owns the look at many tables: a row into each of ten thousand, again and again, with files, merges and a start.
"""One row at a time for each of many tables.

    cd benchmarks && python -m load.tables [--tables 10000] [--rounds 9] [--directory .]

The log is sealed and moved to files after each round, so that every table gets a file a round, and what
is merged are files of a row.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import machine
from load.memory import MemoryWatch
from load.persist import disk, query, restart
from load.sender import send_bodies
from load.servers import Headrace

START_SECONDS_MAX = 300
SETTLED_SECONDS_MAX = 600


class Eager(Headrace):
    """Moves rows to files as soon as it can."""

    start_seconds_max = START_SECONDS_MAX

    def command(self):
        sizes = ("--wal-segment-size", "1MB", "--persist-log-size", "1MB")
        return [*super().command(), *sizes]


def settle(server):
    """Until it is quiet, however long it takes; returns seconds."""
    begin = time.perf_counter()
    before = -1.0
    while (now := server.cost().cpu_s) - before > 1.0:
        assert time.perf_counter() - begin < SETTLED_SECONDS_MAX
        before = now
        server.settle()
    return time.perf_counter() - begin


def timed(server, statement):
    return statistics.median(query(server, statement)[1] for _ in range(5)) * 1000


def run(directory, tables, rounds):
    server = Eager(directory / "tables").start()
    try:
        writes, settles, begin_cpu_s = [], [], server.cost().cpu_s
        with MemoryWatch(server.pid) as watch:
            for number in range(rounds):
                body = "\n".join(
                    f"m{table},t=a f={number}i {number + 1}" for table in range(tables)
                )
                writes.append(send_bodies(server.port, server.write_target, [body.encode()], 1)[1])
                settles.append((settle(server), server.cost().cpu_s - begin_cpu_s))
                begin_cpu_s = server.cost().cpu_s
        print(f"write of {tables:,} rows, s     {', '.join(f'{one:.2f}' for one in writes)}")
        print(f"quiet after s           {', '.join(f'{wall:.0f}' for wall, _ in settles)}")
        print(f"CPU of each round, s    {', '.join(f'{cpu:.1f}' for _, cpu in settles)}")
        print(f"peak, own MB            {watch.own_bytes / 1e6:.0f}")
        print(f"Parquet files           {disk(server)['parquet files']}")
        print(f"query of one table, ms  {timed(server, f'SELECT f FROM m{tables // 2}'):.1f}")
        print(f"SHOW TABLES, ms         {timed(server, 'SHOW TABLES'):.1f}")
        server.kill()
        print(f"start after kill, s     {restart(server):.2f}")
        for table in (0, tables // 2, tables - 1):
            rows = query(server, f"SELECT f FROM m{table} ORDER BY time")[0]
            assert [row["f"] for row in rows] == list(range(rounds)), rows
        server.stop()
    finally:
        server.kill()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        run(Path(place).resolve(), options.tables, options.rounds)


if __name__ == "__main__":
    main()
