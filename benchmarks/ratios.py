# Owns the comparison of lp_core with what else a machine can do, in one run, as ratios; and the verdict
# on each target. The figures in docs/performance.md come from here.
"""How far lp_core is from the ceilings and from its peers.

    python benchmarks/ratios.py [--repeats 15] [--shapes tsbs,iot] [--only parse,build,frame,rows]

Contenders of one table take turns. MB/s and lines/s are of the best sample; ratios compare the best
samples (and, in brackets, the medians). Needs the `bench` extra and gcc.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa

import lp_core
from benchmarks.inputs import LINES, SHAPES, body, csv_body, dirty
from benchmarks.measuring import machine, race
from benchmarks.plain.library import PlainParser, is_available
from benchmarks.subjects import decoded, framed, line_builders, parse, segment_of
from benchmarks.yardsticks import (
    f_string_per_value,
    memcpy,
    one_f_string,
    pypi_parsers,
    read_csv,
    tsbs_values,
)
from lp_core import SchemaIndex

PLAIN_RATIO_MIN = {
    "tsbs": 4.0,
    "iot": 3.0,
    "logs": 3.0,
    "wide": 3.0,
    "float17": 3.0,
    "highcard": 1.8,
}
PYPI_RATIO_MIN = 60.0
DIRTY_COST_MAX = 0.10
BUILDER_RATIO_MIN = 2.0
BULK_MB_PER_S_MIN = 400.0
ENCODE_GB_PER_S_MIN = 3.0
DECODE_US_MAX = 20.0
FRAME_RATIO_MAX = 1.3
ROWS_PER_S_MIN = 1.4e6
C_ARRAY_US_MAX = 10.0

# So that starting the threads does not count.
PARSES_PER_THREAD = 4

PYPI = "line-protocol-parser"
PYPI_DROPPED = "each line dropped"
PARSE = "lp_core.parse"
PLAIN = "plain C parser"


class Verdicts:
    """Collects target by target what was measured."""

    def __init__(self):
        self.lines = []

    def at_least(self, what, value, wanted, unit):
        self._add(what, value, ">=", wanted, unit, value >= wanted)

    def at_most(self, what, value, wanted, unit):
        self._add(what, value, "<=", wanted, unit, value <= wanted)

    def missing(self, what, why):
        self.lines.append(f"not measured  {what}: {why}")

    def _add(self, what, value, sign, wanted, unit, is_met):
        mark = "met   " if is_met else "MISSED"
        self.lines.append(f"{mark}  {what:58s} {value:9.2f} {unit}  (wanted {sign} {wanted:g})")


def parse_contenders(shape, text, pool):
    """Name → what to call, bytes it reads, how many times it reads the lines."""
    plain = PlainParser()
    spoiled = dirty(text)
    index = SchemaIndex()
    batch = parse(text).batch
    index.apply(batch)
    index.observe(batch)
    as_csv = csv_body(shape)

    def in_two_threads(once):
        def work():
            for _ in range(PARSES_PER_THREAD):
                once()

        for future in [pool.submit(work) for _ in range(2)]:
            future.result()

    threads_read = 2 * PARSES_PER_THREAD
    contenders = {
        "memcpy": (memcpy(text), len(text), 1),
        "pyarrow.csv, types given": (read_csv(as_csv, shape), len(as_csv), 1),
        PLAIN: (lambda: plain.parse(text), len(text), 1),
        PARSE: (lambda: parse(text), len(text), 1),
        "lp_core.parse, 1 % bad lines": (lambda: parse(spoiled), len(spoiled), 1),
        "lp_core.parse, schema known": (lambda: parse(text, index), len(text), 1),
        f"{PARSE}, 2 threads": (
            lambda: in_two_threads(lambda: parse(text)),
            len(text) * threads_read,
            threads_read,
        ),
        f"{PLAIN}, 2 threads": (
            lambda: in_two_threads(lambda: plain.parse(text)),
            len(text) * threads_read,
            threads_read,
        ),
    }
    if shape == "tsbs":
        for result, parse_body in pypi_parsers().items():
            contenders[f"{PYPI}: {result}"] = (partial(parse_body, text), len(text), 1)
            if result == PYPI_DROPPED:
                contenders[f"{PYPI}, 2 threads"] = (
                    partial(in_two_threads, partial(parse_body, text)),
                    len(text) * threads_read,
                    threads_read,
                )
    return contenders


def compare_parsers(shape, repeats, verdicts):
    text = body(shape)
    print(f"\n{shape}: {LINES[shape]} lines, {len(text) / 1e6:.1f} MB")
    print(f"  {'':40s} {'MB/s':>8s} {'M lines/s':>10s}   against {PLAIN}, per line")
    with ThreadPoolExecutor(2) as pool:
        contenders = parse_contenders(shape, text, pool)
        times = race({name: call for name, (call, _, _) in contenders.items()}, repeats)
    per_line = {name: 1 / contenders[name][2] for name in contenders}
    for name, (_, nbytes, copies) in contenders.items():
        ours = times[name]
        best = times[PLAIN].best / (ours.best * per_line[name])
        median = times[PLAIN].median / (ours.median * per_line[name])
        lines = LINES[shape] * copies
        print(
            f"  {name:40s} {nbytes / ours.best / 1e6:8.0f} {lines / ours.best / 1e6:10.2f}"
            f"   {best:6.2f} x  ({median:.2f} x)"
        )
    ours = times[PARSE].best
    verdicts.at_least(
        f"1. parse against {PLAIN}, {shape}", times[PLAIN].best / ours, PLAIN_RATIO_MIN[shape], "x"
    )
    if shape == "tsbs":
        peers = [name for name in contenders if name.startswith(PYPI)]
        for name in peers:
            # Threads of each against threads of the other.
            mine = f"{PARSE}, 2 threads" if name.endswith("2 threads") else PARSE
            ratio = times[name].best / times[mine].best
            verdicts.at_least(f"1. parse against {name}", ratio, PYPI_RATIO_MIN, "x")
        if not peers:
            verdicts.missing(f"1. parse against {PYPI}", "install the bench extra")
    cost = times["lp_core.parse, 1 % bad lines"].best / ours - 1
    verdicts.at_most(f"   cost of 1 % bad lines, {shape}", cost, DIRTY_COST_MAX, "of the time")
    # On a busy machine two threads gain little; then neither does the C parser, which has no GIL.
    parse_gain, plain_gain = (
        2 * PARSES_PER_THREAD * times[name].best / times[f"{name}, 2 threads"].best
        for name in (PARSE, PLAIN)
    )
    print(
        f"  two threads at once do {parse_gain:.2f} times the work of one "
        f"({PLAIN}: {plain_gain:.2f} times)"
    )


def compare_builders(repeats, verdicts):
    values = tsbs_values()
    text = body("tsbs")
    table = parse(text).batch["cpu"]
    schema = table.schema
    tag_names = [name for name, _ in schema][:10]
    field_names = [name for name, _ in schema][10:20]
    contenders = {
        "one f-string, names constant": lambda: one_f_string(values),
        "f-string per tag and field": lambda: f_string_per_value(values, tag_names, field_names),
        "LineBuilder": lambda: line_builders(values),
    }
    expected = text.decode().splitlines()
    for name, call in contenders.items():
        assert call() == expected, name
    assert lp_core.build_lines(table) == text
    contenders["build_lines of a TableBatch"] = lambda: lp_core.build_lines(table)
    arrow = pa.record_batch(table)
    assert lp_core.build_lines(arrow, measurement="cpu") == text
    contenders["build_lines of pyarrow"] = lambda: lp_core.build_lines(arrow, measurement="cpu")
    times = race(contenders, repeats)
    print(f"\nbuilding {len(values)} lines of tsbs, {len(text) / 1e6:.1f} MB")
    for name, ours in times.items():
        ratio = times["one f-string, names constant"].best / ours.best
        print(f"  {name:32s} {len(text) / ours.best / 1e6:8.0f} MB/s  {ratio:6.2f} x one f-string")
    builder = times["LineBuilder"].best
    for name in ("one f-string, names constant", "f-string per tag and field"):
        ratio = times[name].best / builder
        verdicts.at_least(f"2. LineBuilder against {name}", ratio, BUILDER_RATIO_MIN, "x")
    for name in ("build_lines of a TableBatch", "build_lines of pyarrow"):
        speed = len(text) / times[name].best / 1e6
        verdicts.at_least(f"2. {name}", speed, BULK_MB_PER_S_MIN, "MB/s")


def compare_frames(repeats, verdicts):
    text = body("tsbs")
    # A million rows by repeating the body: decoding does not look at values.
    batches = {
        "100 rows": parse(body("tsbs", 100)).batch,
        "10,000 rows": parse(text).batch,
        "1,000,000 rows": parse(text * 100).batch,
    }
    print("\nframes of tsbs")
    segments = {name: segment_of(batch) for name, batch in batches.items()}
    encoding = race(
        {name: lambda batch=batch: framed(batch) for name, batch in batches.items()}, repeats
    )
    for name, ours in encoding.items():
        speed = len(segments[name]) / ours.best / 1e9
        print(f"  encode + CRC-32C, {name:15s} {speed:8.2f} GB/s   {ours.best * 1e6:9.1f} us")
    speed = len(segments["10,000 rows"]) / encoding["10,000 rows"].best / 1e9
    verdicts.at_least("3. frame encode + CRC, 10,000 rows", speed, ENCODE_GB_PER_S_MIN, "GB/s")
    decoding = race(
        {name: lambda held=held: decoded(held) for name, held in segments.items()}, repeats
    )
    for name, ours in decoding.items():
        print(f"  decode, {name:25s} {ours.best * 1e6:8.2f} us")
        verdicts.at_most(f"3. decode of a table of {name}", ours.best * 1e6, DECODE_US_MAX, "us")
    path = race(
        {"parse": lambda: parse(text), "parse to frame": lambda: framed(parse(text).batch)},
        repeats * 3,
    )
    for name, ours in path.items():
        print(f"  {name:33s} {ours.best * 1e3:8.3f} ms  ({ours.median * 1e3:.3f} ms)")
    ratio = path["parse to frame"].best / path["parse"].best
    verdicts.at_most("3. parse to frame against parse alone", ratio, FRAME_RATIO_MAX, "x")


def compare_rows(repeats, verdicts):
    table = parse(body("tsbs")).batch["cpu"]
    assert len(table.schema) == 21
    arrow = pa.record_batch(table)
    times = race(
        {
            "rows()": table.rows,
            "pyarrow to_pylist()": arrow.to_pylist,
            "__arrow_c_array__": table.__arrow_c_array__,
        },
        repeats,
    )
    print("\nreading 10,000 rows of 21 columns")
    for name in ("rows()", "pyarrow to_pylist()"):
        print(f"  {name:32s} {table.num_rows / times[name].best / 1e6:8.3f} M rows/s")
    print(f"  __arrow_c_array__                {times['__arrow_c_array__'].best * 1e6:8.2f} us")
    speed = table.num_rows / times["rows()"].best / 1e6
    verdicts.at_least("4. rows() at 21 columns", speed, ROWS_PER_S_MIN / 1e6, "M rows/s")
    microseconds = times["__arrow_c_array__"].best * 1e6
    verdicts.at_most("4. __arrow_c_array__", microseconds, C_ARRAY_US_MAX, "us")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--only", default="parse,build,frame,rows")
    options = parser.parse_args()
    parts = options.only.split(",")
    if not is_available():
        sys.exit("gcc is needed for the plain C parser")
    print(machine())
    verdicts = Verdicts()
    if "parse" in parts:
        for shape in options.shapes.split(","):
            compare_parsers(shape, options.repeats, verdicts)
    if "build" in parts:
        compare_builders(options.repeats, verdicts)
    if "frame" in parts:
        compare_frames(options.repeats, verdicts)
    if "rows" in parts:
        compare_rows(options.repeats, verdicts)
    print("\ntargets")
    for line in verdicts.lines:
        print(f"  {line}")


if __name__ == "__main__":
    main()
