"""Building line protocol."""

import lp_core
from benchmarks.inputs import body
from benchmarks.measuring import race
from benchmarks.subjects import line_builders, parse
from benchmarks.yardsticks import one_f_string, tsbs_values
from lp_core import LineBuilder

REPEATS = 5


class Builder:
    def setup(self):
        self.values = tsbs_values()

    def time_line_builder(self):
        line_builders(self.values)

    def time_f_string(self):
        one_f_string(self.values)

    def track_against_f_string(self):
        times = race(
            {
                "builder": lambda: line_builders(self.values),
                "f-string": lambda: one_f_string(self.values),
            },
            REPEATS,
        )
        return times["f-string"].best / times["builder"].best

    track_against_f_string.unit = "times as fast"


class Bulk:
    params = [["tsbs", "logs", "wide", "float17"]]
    param_names = ["shape"]

    def setup(self, shape):
        text = body(shape)
        self.size = len(text)
        (self.table,) = parse(text).batch.values()

    def time_build_lines(self, shape):
        lp_core.build_lines(self.table)

    def track_mb_per_s(self, shape):
        times = race({"build": lambda: lp_core.build_lines(self.table)}, REPEATS)
        return self.size / times["build"].best / 1e6

    track_mb_per_s.unit = "MB/s"


class Hostile:
    """A line of so many keys that a search for each would take the square of its length."""

    def setup(self):
        self.keys = [f"key{number}" for number in range(20_000)]

    def time_many_fields(self):
        builder = LineBuilder("m")
        for key in self.keys:
            builder.int64_field(key, 1)
        builder.build()

    def time_tags_after_fields(self):
        builder = LineBuilder("m")
        for key in self.keys:
            builder.int64_field(key, 1)
        for key in self.keys:
            builder.tag(f"{key}t", "1")
        builder.build()
