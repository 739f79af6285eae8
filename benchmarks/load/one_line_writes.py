"""How long the acknowledgement of a durable one-line write takes.

Starts a server on this machine (or uses --host), sends one-line bodies over keep-alive connections,
one thread each, and prints p50 and p99 per number of connections. Beside them, in the same run: the
same requests answered by /ping (no log), and a bare 4 KiB write with fdatasync to the same disk,
which no durable write can beat.

    python benchmarks/load/one_line_writes.py [--seconds 5] [--connections 1,4,16,64]
"""

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def report(name, seconds, values):
    print(
        f"{name:34s} {len(values) / seconds:9.0f} /s   p50 {percentile(values, 0.5) * 1e3:7.2f} ms   "
        f"p99 {percentile(values, 0.99) * 1e3:7.2f} ms   max {max(values) * 1e3:7.1f} ms"
    )


def sync_floor(directory, seconds):
    path = Path(directory) / "floor"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    # Blocks that were written before: a sync of theirs changes no metadata.
    os.write(descriptor, bytes(64 << 20))
    os.fsync(descriptor)
    block, times, offset, end = b"x" * 4096, [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.perf_counter()
        os.pwrite(descriptor, block, offset % (64 << 20))
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - started)
        offset += 4096
    os.close(descriptor)
    path.unlink()
    return times


def load(port, connections, seconds, method, target, make_body, status):
    times, lock, failures = [], threading.Lock(), []
    begin = threading.Barrier(connections + 1)

    def work(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        own, sequence = [], 0
        begin.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            body = make_body(number, sequence)
            sequence += 1
            started = time.perf_counter()
            connection.request(method, target, body)
            answer = connection.getresponse()
            answer.read()
            own.append(time.perf_counter() - started)
            if answer.status != status:
                failures.append(answer.status)
                break
        connection.close()
        with lock:
            times.extend(own)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    begin.wait()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"unexpected answers: {failures}")
    return times


def line(number, sequence):
    time_ns = 1_700_000_000_000_000_000 + sequence
    return f"cpu,host=h{number},region=eu usage={sequence % 100}.5,load=1i {time_ns}\n".encode()


def start_server(directory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "engine", "serve", "--data-dir", directory]
    command += ["--http-bind", f"127.0.0.1:{port}", "--log-level", "error"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return process, port
        except OSError:
            time.sleep(0.05)
    process.kill()
    sys.exit("the server did not start")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", default="1,4,16,64")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as directory:
        report(
            "floor: 4 KiB write + fdatasync",
            options.seconds,
            sync_floor(directory, options.seconds),
        )
        process, port = start_server(directory)
        try:
            for connections in (int(text) for text in options.connections.split(",")):
                target = "/api/v3/write_lp?db=load&precision=ns"
                for name, method, where, make_body, status in [
                    ("/ping (no log)", "GET", "/ping", lambda number, sequence: None, 200),
                    ("durable one-line write", "POST", target, line, 204),
                ]:
                    values = load(
                        port, connections, options.seconds, method, where, make_body, status
                    )
                    report(f"{name}, {connections} conn.", options.seconds, values)
        finally:
            process.terminate()
            process.wait(15)


if __name__ == "__main__":
    main()
