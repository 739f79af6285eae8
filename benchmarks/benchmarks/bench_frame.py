"""Frames of the log."""

from benchmarks.inputs import LINES, body
from benchmarks.measuring import race
from benchmarks.subjects import decoded, framed, parse, segment_of
from lp_core import SegmentReader

REPEATS = 5


class Frame:
    params = [[100, 10_000, 1_000_000]]
    param_names = ["rows"]

    def setup(self, rows):
        # Many rows by repeating few: neither way looks at more than the bytes.
        text = body("tsbs", min(rows, LINES["tsbs"]))
        self.batch = parse(text * max(rows // LINES["tsbs"], 1)).batch
        self.segment = segment_of(self.batch)

    def time_encode_and_seal(self, rows):
        framed(self.batch)

    def time_decode(self, rows):
        decoded(self.segment)

    def time_decode_verified(self, rows):
        return SegmentReader(self.segment).frame(64).sections

    def track_gb_per_s(self, rows):
        times = race({"encode": lambda: framed(self.batch)}, REPEATS)
        return len(self.segment) / times["encode"].best / 1e9

    track_gb_per_s.unit = "GB/s"


class ParseToFrame:
    def setup(self):
        self.body = body("tsbs")

    def time_parse_to_frame(self):
        framed(parse(self.body).batch)

    def track_against_parse_alone(self):
        times = race(
            {
                "parse": lambda: parse(self.body),
                "frame": lambda: framed(parse(self.body).batch),
            },
            REPEATS,
        )
        return times["frame"].best / times["parse"].best

    track_against_parse_alone.unit = "times the time"
