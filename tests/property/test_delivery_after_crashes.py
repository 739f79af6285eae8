# Whatever the order of writes, flushes, runs and crashes: a durable step finishes exactly the frames
# that its run was handed, and no frame is handed to two runs that both became durable.
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.catalog.model import Trigger
from engine.ids import Position, TriggerId
from engine.plugins.channel import WritesRun
from engine.plugins.flush_index import FlushIndex, Interest, Selection
from engine.plugins.table_batches import count_rows, delivery_for
from engine.plugins.wal_runner import writes_run
from engine.store.cursors import Cursor
from engine.store.run_records import Step
from engine.wal.log import DurableFrame
from engine.wal.segment_series import Segment
from lp_core import FrameKind, Section, SegmentWriter, encode_frame, parse

ROWS_MAX = 3
NOTE_ROWS_MAX = 2
SEGMENT_BYTES = 64 * 1024
INTEREST = Interest(database="db", table="m", skip_origin="trigger:1", hops_max=8)
TRIGGER = Trigger(
    id=TriggerId(1),
    name="t",
    database="db",
    database_id=1,
    plugin_filename="p.py",
    spec="table:m",
)


class Machine:
    """A log with one trigger, as server and runner work it, and a crash that keeps the log only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log: list[DurableFrame] = []
        self.steps: list[Step] = []
        self.wanted: list[int] = []
        self.delivered: Counter[int] = Counter()
        self.segments = 0
        self.restart()

    def restart(self) -> None:
        self.index = FlushIndex(NOTE_ROWS_MAX)
        for durable in self.log:
            self.index.add(durable)
        self.cursor = Cursor(Position(0))
        for step in self.steps:
            self.cursor.apply(step)
        self.claimed = self.cursor.low
        self.running: list[Selection] = []
        self.path: Path | None = None
        self.flush()

    def flush(self) -> None:
        self.flushed = Position(len(self.log))
        self.index.flush(self.flushed)
        self.index.prune({"db": self.cursor.low}, self.flushed)

    def append(self, body: str, origin: str = "") -> None:
        position = len(self.log) + 1
        encoded = encode_frame(
            FrameKind.WRITE,
            [Section("db", parse(body.encode(), precision="ns", now_ns=0).batch, origin=origin)],
        )
        encoded.seal(position)
        if self.path is None:
            self.segments += 1
            self.path = self.directory / f"{self.segments}.wal"
            header = SegmentWriter(first_position=position, node_id="n", created_ns=0).header
            self.path.write_bytes(header + bytes(SEGMENT_BYTES))
            self.segment = Segment(self.path, SEGMENT_BYTES)
            self.offset = len(header)
        with self.path.open("r+b") as file:
            file.seek(self.offset)
            file.write(bytes(encoded))
        durable = DurableFrame(self.segment, self.segment.reader.frame(self.offset))
        self.offset += encoded.nbytes
        self.log.append(durable)
        self.index.add(durable)

    def write(self) -> None:
        self.wanted.append(len(self.log) + 1)
        self.append(f"m f={len(self.log) + 1}i 1")

    def write_elsewhere(self) -> None:
        self.append("other f=1i 1")

    def begin_run_of_a_row(self) -> None:
        self.begin_run_of_new_rows(1)

    def begin_run_of_rows(self) -> None:
        self.begin_run_of_new_rows(ROWS_MAX)

    def begin_run_of_new_rows(self, count: int) -> None:
        for _ in range(count):
            self.write()
        self.flush()
        self.begin_run()

    def begin_run(self) -> None:
        gap = self.cursor.next_gap(self.claimed, self.flushed)
        if gap is None:
            return
        is_partial = self.cursor.rows_done(gap[0]) is not None
        rows_max = sys.maxsize if is_partial else ROWS_MAX
        selection = self.index.select(INTEREST, gap[0], gap[1], rows_max=rows_max)
        if is_partial:
            assert selection.end == gap[1]
        self.claimed = selection.end
        if selection.notes:
            self.running.append(selection)
        else:
            self.cursor.finish(selection.start, selection.end)

    def finish_run(self, pick: int) -> None:
        if not self.running:
            return
        selection = self.running.pop(pick % len(self.running))
        done = self.cursor.rows_done(selection.start)
        job = msgspec.structs.replace(writes_run(TRIGGER, INTEREST, selection), row_start=done or 0)
        self.deliver(selection, job)
        self.commit(Step(selection.start, selection.end))

    def deliver(self, selection: Selection, job: WritesRun) -> None:
        for batch in delivery_for(job).table_batches():
            rows: list[dict[str, Any]] = batch["rows"]
            assert all(selection.start < row["f"] <= selection.end for row in rows)
            assert len(rows) < ROWS_MAX + NOTE_ROWS_MAX
            self.delivered.update(row["f"] for row in rows)

    def commit(self, step: Step) -> None:
        # The step is durable together with what the run wrote back.
        self.append("sums f=1i 1", origin="trigger:1")
        self.steps.append(step)
        self.cursor.apply(step)

    def finish_a_row(self) -> None:
        """A step of a bisection: one more row of the last run is processed, or parked."""
        if not self.running:
            return
        selection = self.running[-1]
        job = writes_run(TRIGGER, INTEREST, selection)
        done = self.cursor.rows_done(selection.start) or 0
        if done + 1 >= count_rows(job):
            return
        self.deliver(selection, msgspec.structs.replace(job, row_start=done, row_end=done + 1))
        self.commit(Step(selection.start, selection.end, rows_done=done + 1))

    def drain(self) -> None:
        self.flush()
        while self.running or self.cursor.next_gap(self.claimed, self.flushed) is not None:
            self.begin_run()
            self.finish_run(0)


operations = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *("write", "write", "write_elsewhere", "flush", "begin_run", "restart"),
                *("begin_run_of_a_row", "begin_run_of_rows"),
                *("finish_a_row", "finish_a_row"),
            ]
        ),
        st.integers(0, 3),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(operations=operations)
@example(operations=["begin_run_of_a_row", "begin_run_of_rows", "finish_a_row", "restart"])
@example(operations=["begin_run_of_rows", "finish_a_row", "finish_a_row", "write", "restart"])
def test_every_frame_is_delivered_once(operations: list[str | int]) -> None:
    with TemporaryDirectory() as directory:
        machine = Machine(Path(directory))
        for operation in operations:
            if isinstance(operation, int):
                machine.finish_run(operation)
            else:
                getattr(machine, operation)()
        machine.drain()
        machine.restart()
        machine.drain()
        assert machine.delivered == Counter(machine.wanted)
