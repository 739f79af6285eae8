# Owns what lp_core is measured against: ceilings of the machine and other ways of doing the same. The plain
# C parser has a folder of its own.
"""Ceilings and peers."""

import importlib
import io

import pyarrow as pa
import pyarrow.csv

from benchmarks.inputs import rows


def memcpy(text):
    """A function that copies the bytes into memory that it has used before."""
    view = memoryview(bytearray(len(text)))

    def copy():
        view[:] = text

    return copy


def pypi_parsers():
    """Ways to read a body with `line-protocol-parser`, by what comes of it; none if not installed.

    Its function takes one line as text, so decoding and cutting the body are part of the work, as
    they are for the others. It makes dicts, of which `lp_core.parse` makes columns: only the last
    way ends with what that returns (without looking at types that differ).
    """
    try:
        parse_line = importlib.import_module("line_protocol_parser").parse_line
    except ImportError:
        return {}

    def each_dropped(body):
        for line in body.decode().splitlines():
            parse_line(line)

    def all_kept(body):
        return [parse_line(line) for line in body.decode().splitlines()]

    def columns(body):
        return pa.RecordBatch.from_pylist(
            [
                {**point["tags"], **point["fields"], "time": point["time"]}
                for point in all_kept(body)
            ]
        )

    return {"each line dropped": each_dropped, "all kept": all_kept, "Arrow columns": columns}


def read_csv(text, shape):
    """A function that reads the rows of a shape from CSV, with all types known beforehand."""
    _, tags, fields, _ = next(iter(rows(shape, 1)))
    tag_type = pa.dictionary(pa.int32(), pa.string())
    types = dict.fromkeys(["table", *(key for key, _ in tags)], tag_type)
    for key, value in fields:
        types[key] = {'"': pa.string(), "i": pa.int64()}.get(value[-1], pa.float64())
    types["time"] = pa.int64()
    convert = pyarrow.csv.ConvertOptions(column_types=types)
    read = pyarrow.csv.ReadOptions(use_threads=False)
    return lambda: pyarrow.csv.read_csv(
        io.BytesIO(text), read_options=read, convert_options=convert
    )


def tsbs_values():
    """The rows of tsbs as tuples: 10 tag values, 10 integers, time."""
    return [
        (*(value for _, value in tags), *(int(value[:-1]) for _, value in fields), time_ns)
        for _, tags, fields, time_ns in rows("tsbs")
    ]


def one_f_string(values):
    """The fastest that Python offers without escaping: one f-string whose names are constants."""
    return [
        f"cpu,hostname={a},region={b},datacenter={c},rack={d},os={e},arch={f},team={g},service={h},"
        f"service_version={i},service_environment={j} usage_user={k}i,usage_system={m}i,usage_idle={n}i,"
        f"usage_nice={o}i,usage_iowait={p}i,usage_irq={q}i,usage_softirq={r}i,usage_steal={s}i,"
        f"usage_guest={t}i,usage_guest_nice={u}i {v}"
        for a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v in values
    ]


def f_string_per_value(values, tag_names, field_names):
    """What is written where the names are data: an f-string for each tag and field, joined."""
    result = []
    for row in values:
        tags = ",".join(f"{key}={value}" for key, value in zip(tag_names, row[:10], strict=True))
        fields = ",".join(
            f"{key}={value}i" for key, value in zip(field_names, row[10:20], strict=True)
        )
        result.append(f"cpu,{tags} {fields} {row[20]}")
    return result
