# Owns the work of lp_core that is measured, where it takes more than one call.
"""What is measured."""

import lp_core
from lp_core import (
    FrameKind,
    LineBuilder,
    Section,
    SegmentReader,
    SegmentWriter,
    encode_frame,
)


def parse(text, schema=None):
    return lp_core.parse(text, precision="ns", now_ns=0, schema=schema)


def framed(batch):
    frame = encode_frame(FrameKind.WRITE, [Section("db", batch)])
    frame.seal(1)
    return frame


def segment_of(batch):
    header = SegmentWriter(first_position=1, node_id="bench", created_ns=0).header
    return bytes(header) + bytes(memoryview(framed(batch)))


def decoded(segment):
    return SegmentReader(segment).frame(64, verify=False).sections[0].batch["cpu"]


def line_builders(values):
    return [
        LineBuilder("cpu")
        .tag("hostname", a)
        .tag("region", b)
        .tag("datacenter", c)
        .tag("rack", d)
        .tag("os", e)
        .tag("arch", f)
        .tag("team", g)
        .tag("service", h)
        .tag("service_version", i)
        .tag("service_environment", j)
        .int64_field("usage_user", k)
        .int64_field("usage_system", m)
        .int64_field("usage_idle", n)
        .int64_field("usage_nice", o)
        .int64_field("usage_iowait", p)
        .int64_field("usage_irq", q)
        .int64_field("usage_softirq", r)
        .int64_field("usage_steal", s)
        .int64_field("usage_guest", t)
        .int64_field("usage_guest_nice", u)
        .time_ns(v)
        .build()
        for a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v in values
    ]
