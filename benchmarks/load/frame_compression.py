# Owns the figures behind docs/decisions/0004: what compressing frames would cost and save. Takes
# files of line protocol, so that anybody can ask for their own data. Run it with the project's Python.
"""Sizes and speeds of compressed frames."""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy
import pyarrow

from lp_core import FrameKind, Section, encode_frame, parse

CODECS = {
    "lz4": pyarrow.Codec("lz4"),
    "zstd-1": pyarrow.Codec("zstd", compression_level=1),
}


def best_of(work: Callable[[], bytes], rounds: int = 9) -> tuple[float, bytes]:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return min(times), result


def differences(frame: bytes) -> bytes:
    words = numpy.frombuffer(frame, dtype="<i8")
    return numpy.diff(words, prepend=words.dtype.type(0)).tobytes()


def byte_planes(frame: bytes) -> bytes:
    return numpy.frombuffer(frame, dtype=numpy.uint8).reshape(-1, 8).T.tobytes()


FILTERS = {"": bytes, "+delta": differences, "+shuffle": byte_planes}


def report(path: Path) -> None:
    body = path.read_bytes()
    parse_s, _ = best_of(lambda: parse(body, precision="ns", now_ns=0))
    sections = [Section("db", parse(body, precision="ns", now_ns=0).batch)]
    encode_s, encoded = best_of(lambda: encode_frame(FrameKind.WRITE, sections))
    encoded.seal(1)
    frame = bytes(encoded)
    size = len(frame)
    print(
        f"{path.name}: body {len(body)} bytes, frame {size} ({size / len(body):.2f}), "
        f"parse {parse_s * 1e6:.0f} us, encode {encode_s * 1e6:.0f} us"
    )
    for codec_name, codec in CODECS.items():
        for filter_name, prepare in FILTERS.items():
            filter_s, prepared = best_of(partial(prepare, frame))
            pack_s, packed = best_of(partial(codec.compress, prepared, asbytes=True))
            unpack_s, _ = best_of(
                partial(codec.decompress, packed, decompressed_size=size, asbytes=True)
            )
            spent_s = pack_s + (filter_s if filter_name else 0.0)
            print(
                f"  {codec_name + filter_name:15s} {len(packed) / size:5.3f} of the frame"
                f"  compress {size / spent_s / 1e9:5.2f} GB/s = {spent_s / parse_s:4.1f}x parse"
                f"  decompress {size / unpack_s / 1e9:5.2f} GB/s"
                f"  pays below {(size - len(packed)) / spent_s / 1e6:5.0f} MB/s of disk"
            )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("body", type=Path, nargs="+", help="a file of line protocol")
    for path in arguments.parse_args().body:
        report(path)


if __name__ == "__main__":
    main()
