"""Parsing, by shape of input."""

from concurrent.futures import ThreadPoolExecutor

from benchmarks.inputs import SHAPES, alternating_shapes, body, dirty, sparse_tags
from benchmarks.measuring import race
from benchmarks.plain.library import PlainParser, is_available
from benchmarks.subjects import parse
from lp_core import SchemaIndex

REPEATS = 5
PARSES_PER_THREAD = 4


class Parse:
    params = [list(SHAPES)]
    param_names = ["shape"]

    def setup(self, shape):
        self.body = body(shape)

    def time_parse(self, shape):
        parse(self.body)

    def peakmem_parse(self, shape):
        parse(self.body)

    def track_mb_per_s(self, shape):
        times = race({"parse": lambda: parse(self.body)}, REPEATS)
        return len(self.body) / times["parse"].best / 1e6

    track_mb_per_s.unit = "MB/s"

    def track_against_plain_parser(self, shape):
        if not is_available():
            raise NotImplementedError("there is no C compiler")
        plain = PlainParser()
        times = race(
            {"parse": lambda: parse(self.body), "plain": lambda: plain.parse(self.body)}, REPEATS
        )
        return times["plain"].best / times["parse"].best

    track_against_plain_parser.unit = "times as fast"

    def track_cost_of_bad_lines(self, shape):
        spoiled = dirty(self.body)
        times = race({"clean": lambda: parse(self.body), "dirty": lambda: parse(spoiled)}, REPEATS)
        return (times["dirty"].best / times["clean"].best - 1) * 100

    track_cost_of_bad_lines.unit = "% of the time, for 1 % bad lines"


class ParseWithSchema:
    params = [["tsbs", "highcard"]]
    param_names = ["shape"]

    def setup(self, shape):
        self.body = body(shape)
        self.index = SchemaIndex()
        batch = parse(self.body).batch
        self.index.apply(batch)
        self.index.observe(batch)

    def time_parse(self, shape):
        parse(self.body, self.index)


class ParseText:
    def setup(self):
        self.body = body("logs_utf8")

    def time_utf8(self):
        parse(self.body)


class ParseInThreads:
    """Without the GIL two threads do twice the work of one."""

    def setup(self):
        self.body = body("tsbs")
        self.pool = ThreadPoolExecutor(2)

    def teardown(self):
        self.pool.shutdown()

    def work(self):
        for _ in range(PARSES_PER_THREAD):
            parse(self.body)

    def in_two_threads(self):
        for future in [self.pool.submit(self.work) for _ in range(2)]:
            future.result()

    def track_work_of_two_threads(self):
        times = race({"one": self.work, "two": self.in_two_threads}, REPEATS)
        return 2 * times["one"].best / times["two"].best

    track_work_of_two_threads.unit = "times the work of one"


class Hostile:
    """Bodies that once took time as the square or the cube of their length."""

    def setup(self):
        self.sparse = sparse_tags()
        self.alternating = alternating_shapes()

    def time_sparse_tags(self):
        parse(self.sparse)

    def time_alternating_shapes(self):
        parse(self.alternating)
