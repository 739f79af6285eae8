"""The hot path: parse, frame, rows."""

import time

from benchmarks.inputs import body
from lp_core import (
    FrameKind,
    LineBuilder,
    Section,
    SegmentReader,
    SegmentWriter,
    encode_frame,
    parse,
)

LINES = 10_000


class Parse:
    def setup(self):
        self.body = body("tsbs", LINES)

    def time_tsbs(self):
        parse(self.body, precision="ns", now_ns=0)

    def track_tsbs_mb_per_s(self):
        best = min(self.timed() for _ in range(5))
        return len(self.body) / best / 1e6

    track_tsbs_mb_per_s.unit = "MB/s"

    def timed(self):
        started = time.perf_counter()
        parse(self.body, precision="ns", now_ns=0)
        return time.perf_counter() - started


class Frame:
    def setup(self):
        self.batch = parse(body("tsbs", LINES), precision="ns", now_ns=0).batch
        frame = encode_frame(FrameKind.WRITE, [Section("db", self.batch)])
        frame.seal(1)
        header = SegmentWriter(first_position=1, node_id="bench", created_ns=0).header
        self.segment = bytes(header) + bytes(frame)

    def time_encode(self):
        encode_frame(FrameKind.WRITE, [Section("db", self.batch)])

    def time_decode_verified(self):
        return SegmentReader(self.segment).frame(64).sections

    def time_decode_unverified(self):
        return SegmentReader(self.segment).frame(64, verify=False).sections


class Rows:
    def setup(self):
        self.table = parse(body("tsbs", LINES), precision="ns", now_ns=0).batch["cpu"]

    def time_rows(self):
        self.table.rows()


class Build:
    def time_line_builder(self):
        line = LineBuilder("cpu").tag("host", "a").tag("region", "eu")
        line.float64_field("usage", 1.5).int64_field("cores", 4).time_ns(1)
        line.build()
