"""Reading what was parsed."""

import pyarrow as pa

from benchmarks.inputs import SHAPES, body
from benchmarks.measuring import race
from benchmarks.subjects import parse

REPEATS = 5


class Rows:
    params = [list(SHAPES)]
    param_names = ["shape"]

    def setup(self, shape):
        self.tables = list(parse(body(shape)).batch.values())

    def read(self):
        for table in self.tables:
            table.rows()

    def time_rows(self, shape):
        self.read()

    def peakmem_rows(self, shape):
        self.read()

    def track_rows_per_s(self, shape):
        times = race({"rows": self.read}, REPEATS)
        return sum(table.num_rows for table in self.tables) / times["rows"].best

    track_rows_per_s.unit = "rows/s"


class Arrow:
    def setup(self):
        self.table = parse(body("tsbs")).batch["cpu"]

    def time_c_array(self):
        self.table.__arrow_c_array__()

    def time_record_batch(self):
        pa.record_batch(self.table)
