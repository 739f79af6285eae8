# Owns the load on the log alone, without HTTP: writers that send their next small frame once the
# last one is durable, on a disk whose sync takes as long as asked. Run it with the project's Python.
"""Group commit under closed-loop writers."""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from engine.clock import SystemClock
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.paths import DataPaths
from engine.wal import gathering
from engine.wal.log import Log, LogConfig
from lp_core import FrameKind, Section, encode_frame, parse

LINE = b"cpu,host=a,region=b user=1i,system=2i 1700000000000000000\n"


class SlowDisk(FileSystem):
    """Adds a pause to every sync of data, and counts them."""

    def __init__(self, sync_s: float) -> None:
        self.sync_s = sync_s
        self.syncs = 0

    def sync_data(self, descriptor: int) -> None:
        super().sync_data(descriptor)
        time.sleep(self.sync_s)
        self.syncs += 1


async def run(directory: Path, disk: SlowDisk, writers: int, seconds: float) -> list[float]:
    paths = DataPaths(directory, "node0")
    paths.wal_dir.mkdir(parents=True)
    log = Log(
        paths,
        "node0",
        LogConfig(),
        disk,
        SystemClock(),
        next_position=Position(1),
        on_durable=lambda frames: None,
    )
    log.start()
    batch = parse(LINE, precision="ns", now_ns=0).batch
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def write() -> None:
        while (started := time.perf_counter()) < end:
            await log.append(encode_frame(FrameKind.WRITE, [Section("db", batch)]))
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*(write() for _ in range(writers)))
    await log.stop()
    return latencies


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sync-ms", type=float, nargs="+", default=[0.0, 2.0, 5.0])
    arguments.add_argument("--writers", type=int, nargs="+", default=[1, 4, 16, 64])
    arguments.add_argument("--seconds", type=float, default=2.0)
    arguments.add_argument("--dir", help="where the log is written; default: the temporary folder")
    options = arguments.parse_args()
    print("sync ms  writers  wait   writes/s   p50 ms   p99 ms  frames/sync")
    wait_s_max = gathering.PATIENCE_S_MAX
    for sync_ms in options.sync_ms:
        for writers in options.writers:
            for waits in (False, True):
                gathering.PATIENCE_S_MAX = wait_s_max if waits else 0.0
                disk = SlowDisk(sync_ms / 1000)
                with tempfile.TemporaryDirectory(dir=options.dir) as directory:
                    found = asyncio.run(run(Path(directory), disk, writers, options.seconds))
                found.sort()
                print(
                    f"{sync_ms:7.1f} {writers:8d}  {'yes' if waits else 'no ':4s}"
                    f" {len(found) / options.seconds:9.0f} {statistics.median(found) * 1000:8.2f}"
                    f" {found[int(len(found) * 0.99)] * 1000:8.2f} {len(found) / disk.syncs:12.1f}"
                )


if __name__ == "__main__":
    main()
