# Owns the inputs of the benchmarks: seeded shapes of line protocol, the same rows as CSV, and ways to
# spoil them. Append only: a shape that changes makes results of before and after incomparable.
"""Seeded inputs of the benchmarks."""

import csv
import io
import random
import re
from itertools import islice

START_NS = 1_451_606_400_000_000_000

# Lines of a body of 3 to 10 MB.
LINES = {
    "tsbs": 10_000,
    "iot": 50_000,
    "logs": 20_000,
    "wide": 2_000,
    "highcard": 150_000,
    "float17": 15_000,
}

_REGIONS = {
    "us-east-1": "abce",
    "us-west-1": "ab",
    "us-west-2": "abc",
    "eu-west-1": "abc",
    "eu-central-1": "ab",
    "ap-southeast-1": "ab",
    "ap-southeast-2": "ab",
    "ap-northeast-1": "ac",
    "sa-east-1": "abc",
}
CPU_FIELDS = ("usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait")
CPU_FIELDS += ("usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice")


def tsbs_hosts(rng, hosts):
    """The tags of each host of the TSBS cpu table, in its order and with its values."""
    series = []
    for host in range(hosts):
        region = rng.choice(list(_REGIONS))
        series.append(
            [
                ("hostname", f"host_{host}"),
                ("region", region),
                ("datacenter", region + rng.choice(_REGIONS[region])),
                ("rack", str(rng.randrange(100))),
                ("os", rng.choice(["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"])),
                ("arch", rng.choice(["x64", "x86"])),
                ("team", rng.choice(["SF", "NYC", "LON", "CHI"])),
                ("service", str(rng.randrange(20))),
                ("service_version", str(rng.randrange(2))),
                ("service_environment", rng.choice(["production", "staging", "test"])),
            ]
        )
    return series


def _tsbs(rng, hosts=1_000):
    """Every host at each 10 s, in the same order; each value walks at random between 0 and 100."""
    series = tsbs_hosts(rng, hosts)
    walks = [[rng.uniform(0, 100) for _ in CPU_FIELDS] for _ in range(hosts)]
    time_ns = START_NS
    while True:
        for tags, walk in zip(series, walks, strict=True):
            for index, value in enumerate(walk):
                walk[index] = min(max(value + rng.gauss(0, 1), 0), 100)
            fields = [
                (name, f"{int(value)}i") for name, value in zip(CPU_FIELDS, walk, strict=True)
            ]
            yield "cpu", tags, fields, time_ns
        time_ns += 10_000_000_000


def _iot(rng):
    """50 tables of 20 devices; readings come in turn, now and then one is missing."""
    machines = ("pump", "valve", "boiler", "chiller", "conveyor", "press", "mixer", "dryer")
    machines += ("furnace", "turbine")
    parts = ("inlet", "outlet", "bearing", "housing", "motor")
    devices = [
        (f"{machine}_{part}", [("site", f"plant-{number % 4}"), ("device", f"d{number:04d}")])
        for number, (machine, part) in enumerate(
            (machine, part) for _ in range(20) for machine in machines for part in parts
        )
    ]
    time_ns = START_NS
    while True:
        for table, tags in devices:
            if rng.random() < 0.02:
                continue
            fields = [
                ("temperature", f"{rng.uniform(15, 95):.1f}"),
                ("humidity", f"{rng.uniform(5, 99):.2f}"),
                ("pressure", f"{rng.uniform(980, 1030):.1f}"),
            ]
            yield table, tags, fields, time_ns + rng.randrange(10_000) * 1_000_000
        time_ns += 10_000_000_000


_MESSAGES = (
    'request "GET /api/v1/{word}/{number}" from 10.0.{low}.{high} took {number} ms, client "{word}/2.{low}" {pad}',
    'cannot open "C:\\data\\{word}\\part-{number}.bin", attempt {low} of {high}: access denied for user "{word}" {pad}',
    'job {number} finished: {{"queue": "{word}", "rows": {number}, "spill": "D:\\tmp\\{low}"}} {pad}',
)
_WORDS = ("orders", "carts", "users", "invoices", "payments", "sessions", "stock", "search")
_PADS = {
    False: "worker thread pool at 80 percent, next check in 30 s, see the runbook of this service",
    True: "Zürich → 東京: das Prüfen der Rückläufer dauert länger, смотри журнал службы, naïve café",
}


def _logs(rng, utf8=False):
    """One string of about 120 bytes with quotes and backslashes in it, and three tags."""
    time_ns = START_NS
    while True:
        tags = [
            ("service", rng.choice(_WORDS)),
            ("host", f"web-{rng.randrange(40):02d}"),
            ("level", rng.choice(["info", "info", "info", "info", "warning", "error"])),
        ]
        message = rng.choice(_MESSAGES).format(
            word=rng.choice(_WORDS),
            number=rng.randrange(100_000),
            low=rng.randrange(9),
            high=rng.randrange(256),
            pad=_PADS[utf8],
        )[:114]
        escaped = message.replace("\\", "\\\\").replace('"', '\\"')
        time_ns += rng.randrange(1_000_000)
        yield "logs", tags, [("message", f'"{escaped}"')], time_ns


def _logs_utf8(rng):
    return _logs(rng, utf8=True)


def _wide(rng):
    """100 floats of 6 to 8 digits."""
    columns = []
    for number in range(100):
        digits = rng.randrange(6, 9)
        whole = rng.randrange(1, 5)
        columns.append((f"channel_{number:02d}", 10.0**whole, digits - whole))
    time_ns = START_NS
    while True:
        for machine in range(50):
            fields = [
                (name, f"{rng.uniform(top / 10, top):.{decimals}f}")
                for name, top, decimals in columns
            ]
            yield "machine", [("line", f"l{machine % 5}"), ("id", f"m{machine}")], fields, time_ns
        time_ns += 1_000_000_000


def _highcard(rng, customers=100_000):
    """Each line of one of 100,000 series, at random."""
    time_ns = START_NS
    while True:
        time_ns += rng.randrange(100_000)
        fields = [
            ("latency_ms", f"{rng.uniform(0, 500):.1f}"),
            ("size", f"{rng.randrange(5_000)}i"),
        ]
        yield "requests", [("customer", f"c{rng.randrange(customers):07d}")], fields, time_ns


def _float17(rng):
    """10 floats with all the digits that a double has."""
    time_ns = START_NS
    while True:
        for sensor in range(100):
            fields = [(f"value_{number}", repr(rng.random())) for number in range(10)]
            yield (
                "physics",
                [("detector", f"det{sensor % 7}"), ("id", f"{sensor}")],
                fields,
                time_ns,
            )
        time_ns += 1_000_000


_ROWS = {
    "tsbs": _tsbs,
    "iot": _iot,
    "logs": _logs,
    "wide": _wide,
    "highcard": _highcard,
    "float17": _float17,
    "logs_utf8": _logs_utf8,
}
SHAPES = tuple(LINES)


def rows(shape, lines=None, seed=1):
    """The rows of a shape: table, tags, fields as they stand in a line, time."""
    # Not hash(shape): that differs from run to run.
    rng = random.Random(f"{shape} {seed}")
    count = LINES[shape.removesuffix("_utf8")] if lines is None else lines
    return islice(_ROWS[shape](rng), count)


def body(shape, lines=None, seed=1):
    """Line protocol of a shape; no name or tag value of it needs an escape."""
    return "".join(
        f"{table},{','.join(f'{key}={value}' for key, value in tags)} "
        f"{','.join(f'{key}={value}' for key, value in fields)} {time_ns}\n"
        for table, tags, fields, time_ns in rows(shape, lines, seed)
    ).encode()


def csv_body(shape, lines=None, seed=1):
    """The same rows as CSV; the tables of a body become a column where there are several."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    tables = len({table for table, *_ in rows(shape, 1_000, seed)})
    for number, (table, tags, fields, time_ns) in enumerate(rows(shape, lines, seed)):
        cells = [*([("table", table)] if tables > 1 else []), *tags, *fields]
        if number == 0:
            writer.writerow([*(key for key, _ in cells), "time"])
        writer.writerow([*(csv_value(value) for _, value in cells), time_ns])
    return text.getvalue().encode()


def csv_value(value):
    """A field as CSV has it: without quotes, escapes and the mark of integers."""
    if value.startswith('"'):
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if value.endswith("i") and value[:-1].lstrip("-").isdecimal():
        return value[:-1]
    return value


# The first field: its key, and its value up to where the next one or the timestamp starts.
_FIRST_FIELD = re.compile(rb'([^=]+)=("(?:[^"\\]|\\.)*"|[^, ]+)')
_SPOILED_KINDS = 5


def dirty(clean, share=0.01, seed=1):
    """Spoil this share of the lines, in turn by: a bad number, no fields, another type, a field twice, a bad time.

    The first line of each table stays good, so that it decides the types.
    """
    rng = random.Random(f"dirty {seed}")
    lines = clean.splitlines(keepends=True)
    first = {}
    for number, line in enumerate(lines):
        first.setdefault(line[: line.index(b",")], number)
    candidates = sorted(set(range(len(lines))) - set(first.values()))
    for turn, number in enumerate(sorted(rng.sample(candidates, int(len(lines) * share)))):
        lines[number] = _spoiled(lines[number], turn % _SPOILED_KINDS)
    return b"".join(lines)


def _spoiled(line, kind):
    series, _, rest = line.partition(b" ")
    fields, _, time_ns = rest.rpartition(b" ")
    match = _FIRST_FIELD.match(fields)
    others = fields[match.end() :]
    fields = {
        0: match[1] + b"=1.2.3" + others,
        1: b"",
        2: match[1] + b"=t" + others,
        3: fields + b"," + match[0],
        4: fields,
    }[kind]
    if kind == 4:
        time_ns = time_ns.replace(b"\n", b"x\n")
    return series + b" " + fields + b" " + time_ns


def sparse_tags(lines=500, tags=600, names=40_000, seed=1):
    """Every line a new series with tags of its own choice: the parser's work may not be their product."""
    rng = random.Random(f"sparse tags {seed}")
    return b"".join(
        b"m,%s f=1 %d\n" % (b",".join(b"t%x=1" % n for n in rng.sample(range(names), tags)), line)
        for line in range(lines)
    )


def alternating_shapes(fields=20_000, lines=40_000):
    """Two very wide lines, then short bad ones of their series in turn: each may cost its own length only."""
    wide = [
        b"m,x=%s %s 1\n" % (series, b",".join(b"%s%x=1" % (series, n) for n in range(fields)))
        for series in (b"a", b"b")
    ]
    return b"".join(wide) + b"m,x=a a0=z\nm,x=b b0=z\n" * (lines // 2) + b"#" * 400
