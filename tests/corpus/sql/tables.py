# The tables that the statements of this folder read.
"""Tables of the corpus."""

from engine.query.literals import parse_timestamp
from lp_core.enums import ColumnType
from tests.unit.query.fakes import FakeCatalog, snapshot

NOW_NS = parse_timestamp("2025-01-02T00:00:00Z")

# Air in two rooms, hourly, as in the reference's tutorial.
_HOME = {
    "Kitchen": (
        (21.0, 35.9, 0), (23.0, 36.2, 0), (22.7, 36.1, 0), (22.4, 36.0, 0), (22.5, 36.0, 0),
        (22.8, 36.5, 1), (22.8, 36.3, 1), (22.7, 36.2, 3), (22.4, 36.0, 7), (22.7, 36.0, 9),
        (23.3, 36.9, 18), (23.1, 36.6, 22), (22.7, 36.5, 26),
    ),
    "Living Room": (
        (21.1, 35.9, 0), (21.4, 35.9, 0), (21.8, 36.0, 0), (22.2, 36.0, 0), (22.2, 35.9, 0),
        (22.4, 36.0, 0), (22.3, 36.1, 0), (22.3, 36.1, 1), (22.4, 36.0, 4), (22.6, 35.9, 5),
        (22.8, 36.2, 9), (22.5, 36.3, 14), (22.2, 36.4, 17),
    ),
}  # fmt: skip

_READINGS = [
    ("2025-01-01T00:00:00Z", "a", 6, 7, 1.5, True, "five"),
    ("2025-01-01T00:10:00.000000001Z", "b", -5, None, -2.5, False, None),
    ("2025-01-01T01:00:00.123456789Z", "a", None, 2**64 - 1, None, None, "it's"),
    ("1969-12-31T23:59:59.999999999Z", None, 2**63 - 1, 0, 1e300, True, ""),
]

# The numbers of the reference's own test of interpolation.
_SPARSE = [(1100, 100), (1400, 200), (1500, None), (1700, 1000), (1900, 0)]


def catalog():
    """All of them in one database."""
    return FakeCatalog(
        snapshot(
            "home",
            {
                "room": ColumnType.TAG,
                "temp": ColumnType.FLOAT64,
                "hum": ColumnType.FLOAT64,
                "co": ColumnType.INT64,
            },
            [
                {"room": room, "temp": temp, "hum": hum, "co": co, "time": _hour(8 + number)}
                for room, rows in _HOME.items()
                for number, (temp, hum, co) in enumerate(rows)
            ],
        ),
        snapshot(
            "readings",
            {
                "host": ColumnType.TAG,
                "n": ColumnType.INT64,
                "u": ColumnType.UINT64,
                "f": ColumnType.FLOAT64,
                "b": ColumnType.BOOL,
                "s": ColumnType.STRING,
            },
            [
                dict(
                    zip(
                        ("time", "host", "n", "u", "f", "b", "s"),
                        (parse_timestamp(row[0]), *row[1:]),
                        strict=True,
                    )
                )
                for row in _READINGS
            ],
        ),
        snapshot(
            "sparse",
            {"u": ColumnType.UINT64, "n": ColumnType.INT64, "f": ColumnType.FLOAT64},
            [
                {"u": value, "n": value, "f": None if value is None else value / 4, "time": time}
                for time, value in _SPARSE
            ],
        ),
        snapshot(
            "clock",
            {"v": ColumnType.INT64},
            [
                {"v": number, "time": parse_timestamp(text)}
                for number, text in enumerate(
                    (
                        "2020-03-28T22:30:00Z",  # 23:30 on the 28th in Paris
                        "2020-03-29T00:30:00Z",  # 01:30, an hour before the clock is put forward
                        "2020-03-29T01:30:00Z",  # 03:30
                        "2020-10-25T00:30:00Z",  # 02:30 in summer time
                        "2020-10-25T01:30:00Z",  # 02:30 again
                        "2020-10-25T02:30:00Z",  # 03:30
                    )
                )
            ],
        ),
        snapshot(
            "Weather.Raw",
            {"Site Name": ColumnType.TAG, "Temp": ColumnType.FLOAT64, "select": ColumnType.INT64},
            [{"Site Name": "North", "Temp": 3.5, "select": 4, "time": 1}],
        ),
        snapshot(
            "mixed",
            {"Temp": ColumnType.FLOAT64, "temp": ColumnType.INT64, "TEMP": ColumnType.TAG},
            [{"Temp": 1.5, "temp": 2, "TEMP": "x", "time": 1}],
        ),
        snapshot("Upper", {"v": ColumnType.INT64}, [{"v": 2, "time": 1}]),
        snapshot("_a.b", {"v": ColumnType.INT64}, [{"v": 1, "time": 1}]),
        snapshot("empty", {"v": ColumnType.INT64, "tag": ColumnType.TAG}, []),
    )


def _hour(hour):
    return parse_timestamp(f"2022-01-01T{hour:02d}:00:00Z")
