# Owns the metrics about the server as a whole: its process, its log, its tables and files. Parts
# that count what they do register their own.
"""Metrics of process and storage."""

import os
import resource
import time
from pathlib import Path

import engine
from engine.damage import DamageBook
from engine.ingest.state import ServerState
from engine.metrics import MetricsRegistry
from engine.paths import DataPaths
from engine.storage import referenced_files
from engine.wal.log import Log

_PAGE_BYTES = resource.getpagesize()


def show_log(metrics: MetricsRegistry, log: Log, paths: DataPaths) -> None:
    """How far the log is, what waits for it, and what it takes."""
    metrics.gauge(
        "headrace_wal_position", "Last durable position.", lambda: float(log.durable_position)
    )
    metrics.gauge(
        "headrace_wal_queued_bytes",
        "Bytes that wait for the disk.",
        lambda: float(log.queued_bytes),
    )
    metrics.counted(
        "headrace_wal_written_bytes_total",
        "Bytes written to the log since the start.",
        lambda: float(log.written_bytes),
    )
    metrics.gauge(
        "headrace_wal_failed",
        "1 once the log could not be written, after which nothing is accepted.",
        lambda: float(log.failure is not None),
    )

    def on_disk() -> float:
        total = 0
        with os.scandir(paths.wal_dir) as entries:
            for entry in entries:
                try:
                    total += entry.stat().st_size
                except FileNotFoundError:
                    continue  # it went between the listing and the look
        return float(total)

    metrics.gauge("headrace_wal_disk_bytes", "Size of the files of the log.", on_disk)


def show_tables(metrics: MetricsRegistry, state: ServerState) -> None:
    """What is in memory, and what is in files."""
    metrics.gauge("headrace_databases", "Databases.", lambda: float(len(state.catalog.databases())))
    metrics.gauge(
        "headrace_tables",
        "Tables of all databases.",
        lambda: float(sum(len(one.table_names()) for one in state.store.databases())),
    )
    metrics.gauge("headrace_triggers", "Triggers.", lambda: float(len(state.catalog.triggers())))
    metrics.gauge(
        "headrace_live_rows",
        "Rows that are in no file yet, overwritten ones included.",
        lambda: float(sum(database.num_rows for database in state.store.databases())),
    )
    metrics.gauge(
        "headrace_live_log_bytes",
        "Bytes of the log that hold rows of live tables; --live-rows-max bounds them.",
        lambda: float(state.live_bytes.total),
    )
    metrics.gauge(
        "headrace_persisted_position",
        "Rows up to this position of the log are in files.",
        lambda: float(state.persisted),
    )
    metrics.gauge(
        "headrace_parquet_files",
        "Parquet files of all tables.",
        lambda: float(len(referenced_files(state))),
    )
    metrics.gauge(
        "headrace_parquet_bytes",
        "Size of these files.",
        lambda: float(sum(entry.size_bytes for entry in referenced_files(state))),
    )


def show_damage(metrics: MetricsRegistry, damage: DamageBook) -> None:
    """What was found damaged."""
    metrics.gauge(
        "headrace_damaged_files",
        "Damaged files, or parts of files, that are known.",
        lambda: float(len(damage.entries())),
    )


def show_process(metrics: MetricsRegistry) -> None:
    """What every process that Prometheus looks at shows, under the usual names, and the version."""
    started_s = time.time()

    def processor_seconds() -> float:
        used = os.times()
        return used.user + used.system

    def resident_bytes() -> float:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return float(int(pages) * _PAGE_BYTES)

    metrics.counted("process_cpu_seconds_total", "Processor time of the server.", processor_seconds)
    metrics.gauge("process_resident_memory_bytes", "Memory of the server.", resident_bytes)
    metrics.gauge(
        "process_open_fds",
        "Open files.",
        # Without the one that the look itself takes.
        lambda: float(len([*Path("/proc/self/fd").iterdir()]) - 1),
    )
    metrics.gauge(
        "process_start_time_seconds", "When the server started, in Unix time.", lambda: started_s
    )
    metrics.gauges(
        "headrace_build_info",
        "Always 1; the version is a label.",
        ("version",),
        lambda: [((engine.__version__,), 1.0)],
    )
