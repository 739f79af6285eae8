# A real log segment, mapped by a real worker: what process_writes gets from it.

import pytest

pytest.importorskip("lp_core._segment")

from engine.plugins.channel import Extent, WritesRun
from lp_core import (
    FrameKind,
    Section,
    SegmentWriter,
    encode_frame,
    parse,
)

TAIL_BYTES = 4096
REPORT = """
import json
def process_writes(api, batches, args):
    api.info(json.dumps(batches))
"""


def section(lines, database="db", **settings):
    batch = parse(lines, precision="ns", now_ns=7).batch
    return Section(database, batch, **settings)


def write_segment(path, *frames):
    """Writes the frames and a preallocated tail; returns where each frame starts, and the end."""
    writer = SegmentWriter(first_position=1, node_id="n", created_ns=1)
    content = bytes(writer.header)
    offsets = []
    for position, sections in enumerate(frames, start=1):
        frame = encode_frame(FrameKind.WRITE, list(sections))
        frame.seal(position)
        offsets.append(len(content))
        content += bytes(frame)
    path.write_bytes(content + bytes(TAIL_BYTES))
    return [*offsets, len(content)]


def extent(path, start, end):
    return Extent(path=str(path), start_offset=start, end_offset=end)


def test_rows_of_several_frames_come_in_one_call_as_plain_dicts(with_bench, tmp_path):
    path = tmp_path / "segment"
    offsets = write_segment(
        path,
        [section(b"cpu,host=a v=1i 1\nmem free=2u 2")],
        [section(b"other v=1i 1", database="elsewhere")],
        [section(b'cpu,host=b w=1.5,ok=t,s="x" 3\ncpu v=9i')],
    )

    async def body(bench):
        worker = bench.worker(bench.plugin(REPORT), kind="wal")
        run = WritesRun(database="db", extents=[extent(path, offsets[0], offsets[-1])])
        outcome = await worker.run(run)
        assert outcome.ok, outcome
        assert outcome.rows == 4
        assert bench.services.logs == [
            (
                "INFO",
                '[{"table_name": "cpu", "rows": [{"host": "a", "v": 1, "time": 1}, '
                '{"host": "b", "w": 1.5, "ok": true, "s": "x", "time": 3}, {"v": 9, "time": 7}]}, '
                '{"table_name": "mem", "rows": [{"free": 2, "time": 2}]}]',
            )
        ]

    with_bench(body)


def test_only_the_frames_of_the_extents_are_delivered_and_each_once(with_bench, tmp_path):
    path = tmp_path / "segment"
    offsets = write_segment(path, *([section(b"t v=%di %d" % (n, n))] for n in (1, 2, 3)))

    async def body(bench):
        worker = bench.worker(bench.plugin(REPORT), kind="wal")
        middle = extent(path, offsets[1], offsets[2])
        await worker.run(WritesRun(database="db", extents=[middle, middle]))
        rows = '[{"v": 2, "time": 2}]'
        assert bench.services.logs == [("INFO", f'[{{"table_name": "t", "rows": {rows}}}]')]

    with_bench(body)


def test_a_triggers_own_output_and_other_tables_do_not_call_it(with_bench, tmp_path):
    path = tmp_path / "segment"
    offsets = write_segment(
        path, [section(b"t v=1i 1", origin="db/me", hops=1)], [section(b"u v=1i 1")]
    )

    async def body(bench):
        worker = bench.worker(bench.plugin(REPORT), kind="wal")
        extents = [extent(path, offsets[0], offsets[-1])]
        run = WritesRun(database="db", extents=extents, tables=["t"], skip_origin="db/me")
        assert not (await worker.run(run)).called
        allowed = await worker.run(WritesRun(database="db", extents=extents, tables=["t"]))
        assert allowed.called
        assert allowed.hops_max == 1

    with_bench(body)


def test_a_damaged_frame_is_an_error_of_the_input_and_never_a_short_delivery(with_bench, tmp_path):
    path = tmp_path / "segment"
    offsets = write_segment(path, [section(b"t v=1i 1")], [section(b"t v=2i 2")])
    content = bytearray(path.read_bytes())
    content[offsets[1] + 70] ^= 0xFF
    path.write_bytes(content)

    async def body(bench):
        worker = bench.worker(bench.plugin(REPORT), kind="wal")
        outcome = await worker.run(
            WritesRun(database="db", extents=[extent(path, offsets[0], offsets[-1])])
        )
        assert (outcome.failure, outcome.error_type) == ("input", "FrameCorruptError")
        assert bench.services.logs == []

    with_bench(body)
