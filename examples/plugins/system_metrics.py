"""Schedule plugin: writes the machine's CPU, memory, disk and network figures.

Trigger: every:1s (or any schedule). Needs the package psutil.
Argument ``host``: value of the host tag (default: the machine's name).
"""

import socket

import psutil


def process_scheduled_call(influxdb3_local, call_time, args=None):
    host = (args or {}).get("host", socket.gethostname())
    time_ns = int(call_time.timestamp()) * 1_000_000_000

    cpu = LineBuilder("cpu").tag("host", host).float64_field("percent", psutil.cpu_percent())
    load_1m, load_5m, _ = psutil.getloadavg()
    cpu.float64_field("load_1m", load_1m).float64_field("load_5m", load_5m)
    influxdb3_local.write(cpu.time_ns(time_ns))

    memory = psutil.virtual_memory()
    line = LineBuilder("memory").tag("host", host).int64_field("used_bytes", memory.used)
    line.int64_field("total_bytes", memory.total).float64_field("percent", memory.percent)
    influxdb3_local.write(line.time_ns(time_ns))

    disk = psutil.disk_usage("/")
    line = LineBuilder("disk").tag("host", host).tag("path", "/")
    line.int64_field("used_bytes", disk.used).float64_field("percent", disk.percent)
    influxdb3_local.write(line.time_ns(time_ns))

    network = psutil.net_io_counters()
    if network is not None:
        line = LineBuilder("network").tag("host", host)
        line.int64_field("sent_bytes", network.bytes_sent)
        line.int64_field("received_bytes", network.bytes_recv)
        influxdb3_local.write(line.time_ns(time_ns))
