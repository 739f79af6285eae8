"""Requests that are merged end as requests that are handled one by one."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lp_core import ColumnType, Precision
from tests.support.ingest import IngestKit

# Few tables, series, fields and times, so that requests get in each other's way: rows of one
# point, one field with two types, a tag that is a field elsewhere.
TABLES = ("m", "n")
VALUES = ("1i", "2i", "1.5", "t", "3u", "x", "", "1e999", "9223372036854775808i")
TIMES = ("1", "2", "-3", "99999999999999999999", "01")

LINES = st.builds(
    "{}{} {} {}".format,
    st.sampled_from(TABLES),
    st.sampled_from(("", ",h=a", ",h=b", ",f=a", ",h=a,h=b", ",h=", ",\u00e9=\u00fc")),
    st.lists(
        st.builds("{}={}".format, st.sampled_from(("f", "g", "h")), st.sampled_from(VALUES[:4])),
        min_size=1,
        max_size=2,
    ).map(",".join),
    st.sampled_from(TIMES[:3]),
)
ODD_LINES = st.one_of(
    st.builds("{} f={} {}".format, st.sampled_from(TABLES), *map(st.sampled_from, (VALUES, TIMES))),
    st.sampled_from(["m f=1 2 3", "m", "m f 1", ",h=a f=1 1", "m,h f=1 1", "m\tx f=1i 1"]),
    # What begins in one line and would go on in the next, were the two one body.
    st.sampled_from(['m s="a b" 1', 'm s="a', 'b" 2', "m,h=a\\", "m,h=a\\ b f=1i 1", "m f=1i 1\\"]),
    st.sampled_from(["# m f=1i 1", "#", "", " ", "m f=1i", "m f=1i 1\r", " m f=1i 1", "m f=1i 1 "]),
)
BODIES = st.tuples(
    st.lists(st.one_of(LINES, LINES, LINES, ODD_LINES), min_size=1, max_size=3).map("\n".join),
    st.sampled_from(["", "\n", "\n\n"]),
).map(lambda parts: "".join(parts).encode())
NOT_UTF8 = BODIES.map(lambda body: body.replace(b"=", b"=\xff", 1))
REQUESTS = st.lists(
    st.tuples(
        st.one_of(BODIES, BODIES, BODIES, NOT_UTF8),
        st.fixed_dictionaries(
            {
                "precision": st.sampled_from([Precision.SECOND, Precision.MILLISECOND]),
                "accept_partial": st.booleans(),
            }
        ),
    ),
    min_size=2,
    max_size=8,
)


async def _outcome(
    directory: str, name: str, requests: list[tuple[bytes, dict[str, Any]]], *, together: bool
) -> list[Any]:
    async with IngestKit(Path(directory) / name, merges=together) as kit:
        if together:
            answers = await asyncio.gather(*(kit.write(body, **how) for body, how in requests))
        else:
            answers = [await kit.write(body, **how) for body, how in requests]
        _check_overlaps(kit)
        return [answers, kit.rows(), kit.columns(), kit.counters(), len(kit.frames)]


def _check_overlaps(kit: IngestKit) -> None:
    """Rows of one point lie in a range where queries look for such: nothing is shown twice."""
    for table, rows in kit.rows().items():
        tags = [name for name, kind in kit.columns()[table] if kind is ColumnType.TAG]
        points = Counter((row["time"], *(row.get(tag) for tag in tags)) for row in rows)
        ranges = kit.overlap_ranges(table)
        for (time_ns, *_), count in points.items():
            assert count == 1 or any(low <= time_ns <= high for low, high in ranges)


@settings(max_examples=150)
@given(requests=REQUESTS)
def test_merging_changes_nothing_but_the_number_of_frames(
    requests: list[tuple[bytes, dict[str, Any]]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        merged = asyncio.run(_outcome(directory, "merged", requests, together=True))
        single = asyncio.run(_outcome(directory, "single", requests, together=False))
    assert merged[:-1] == single[:-1]
    assert merged[-1] <= single[-1]
