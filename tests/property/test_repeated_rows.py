# Whatever repeats rows of files, live or in files, and however often it is asked: queries answer as a
# dict of rows would, in which a later write wins field by field. Rows of files are looked up and kept
# here as they are in large tables (query/lookups.py), over histories in which later rows come and go,
# and so does what retention hides. Seen to find: rows looked up that are not folded, keys of rows that
# were past retention when they were looked up, numbers of an earlier set of later rows, keys of
# files that are taken for looked up, groups kept with rows that are repeated by now.
import os
import random
from pathlib import Path
from typing import Any

import pytest

from engine.persist import file_maker
from engine.persist.thread import PersistConfig
from engine.query import doubts, file_parts, lookups, table_sources
from engine.query.slice_stream import SliceStream
from tests.support.storage import HandClock, Storage

pytestmark = pytest.mark.timeout(1800)

_SEEDS = "2" if "HEADRACE_SANITIZE" in os.environ else "6"
SEEDS = int(os.environ.get("HEADRACE_REPEATS_SEEDS", _SEEDS))
STEPS = 20
SPAN = 240
HOSTS, REGIONS, RACKS = ("a", "b", "c"), ("", "x"), ("", "r", "s")
QUESTIONS = {
    "all": "SELECT host, region, rack, f, g, s, time FROM m",
    "part": "SELECT rack, g, time FROM m WHERE time >= $low AND time <= $high",
    "count": "SELECT count(*) AS n FROM m",
    "ends": "SELECT count(*) AS n, min(time) AS low, max(time) AS high FROM m WHERE time <= $high",
    "sums": "SELECT sum(f) AS f, sum(g) AS g, count(g) AS n, max(s) AS s FROM m",
    "groups": "SELECT host, sum(f) AS f, min(g) AS g, count(*) AS n FROM m "
    "WHERE time >= $low GROUP BY host",
    "one": "SELECT f, g, time FROM m WHERE host = 'a' AND time <= $high",
    "twice": "SELECT count(*) AS n FROM m AS p JOIN m AS q ON p.time = q.time WHERE p.time < $low",
}


class History:
    """A storage and the dict that it must equal."""

    def __init__(self, directory: Path, choice: random.Random) -> None:
        config = PersistConfig(
            log_bytes=1, window_ns=1 << 50, memory_bytes_max=choice.choice((6_000, 1 << 20))
        )
        self.storage = Storage(directory, config, clock=HandClock(1_000))
        self.storage.create_database()
        self.choice = choice
        self.rows: dict[tuple[str, str, str, int], dict[str, Any]] = {}
        self.retention_ns: int | None = None

    def write(self, keys: list[tuple[str, str, str, int]]) -> None:
        lines = []
        for host, region, rack, time in keys:
            names = self.choice.sample("fgs", self.choice.randint(1, 3))
            number = self.choice.randrange(1_000)
            values = {name: str(number) if name == "s" else number for name in names}
            fields = ",".join(f'{n}="{v}"' if n == "s" else f"{n}={v}i" for n, v in values.items())
            tags = (("host", host), ("region", region), ("rack", rack))
            key = "".join(f",{name}={value}" for name, value in tags if value)
            lines.append(f"m{key} {fields} {time}")
            self.rows.setdefault((host, region, rack, time), {}).update(values)
        self.storage.write("\n".join(lines))

    def keys(self, count: int, low: int, high: int) -> list[tuple[str, str, str, int]]:
        choice = self.choice
        return [
            (
                choice.choice(HOSTS),
                choice.choice(REGIONS),
                choice.choice(RACKS),
                choice.randint(low, high),
            )
            for _ in range(count)
        ]

    def repeated(self, count: int) -> list[tuple[str, str, str, int]]:
        known = sorted(self.rows)
        low = self.choice.randrange(len(known))
        near = known[low : low + self.choice.choice((3, 30, len(known)))]
        # Some beside them, of the same times.
        beside = [(*self.choice.choice(near)[:2], "t", self.choice.choice(near)[3])]
        return [*self.choice.choices(near, k=count), *beside]

    def delete(self) -> None:
        low = self.choice.randrange(SPAN)
        high = low + self.choice.choice((0, 3, 40))
        host = self.choice.choice((None, "a", "b"))
        where = None if host is None else f"host = '{host}'"
        self.storage.delete_rows("m", where=where, low_ns=low, high_ns=high)
        for key in list(self.rows):
            if low <= key[3] <= high and host in (None, key[0]):
                del self.rows[key]

    def retain(self, retention_ns: int | None) -> None:
        self.retention_ns = retention_ns
        self.storage.change(self.storage.state.catalog.new_retention("db", None, retention_ns))

    def step(self) -> None:
        choice = self.choice
        match choice.choice(("new", "late", "late", "late", "few", "persist", "delete", "rewrite")):
            case "new":
                low = choice.randrange(SPAN)
                self.write(self.keys(choice.randint(1, 40), low, min(SPAN, low + 60)))
            case "late" if self.rows:
                self.write(self.repeated(choice.randint(1, 12)))
            case "few" if self.rows:
                self.write(self.repeated(1))
            case "persist":
                # Rows past their retention may stay out of files for good.
                self.retain(None)
                self.storage.persist_all()
            case "delete":
                self.delete()
            case "rewrite" if choice.random() < 0.4:
                self.retain(None)
                self.storage.persist_all()
                self.storage.persist.work()
            case _:
                pass

    def check(self) -> None:
        low = self.choice.choice((0, 30, 100))
        high = self.choice.choice((60, 100, SPAN))
        params = {"low": _text(low), "high": _text(high)}
        for name in self.choice.sample(sorted(QUESTIONS), 4):
            if self.choice.random() < 0.3:
                self.storage.clock.time_ns = self.choice.choice((980, 1_000, 1_030))
                self.retain(self.choice.choice((None, 800, 900, 960)))
            expected = sorted(map(_known, self._expected(name, low, high)), key=repr)
            for _ in range(2):
                found = self.storage.query(QUESTIONS[name], **params)
                assert sorted(map(_known, found), key=repr) == expected, (name, low, high)

    def _expected(self, name: str, low: int, high: int) -> list[dict[str, Any]]:
        retention_ns, now_ns = self.retention_ns, self.storage.clock.time_ns
        rows = [
            {"host": host, "region": region or None, "rack": rack or None, "time": time, **values}
            for (host, region, rack, time), values in self.rows.items()
            if retention_ns is None or time >= now_ns - retention_ns
        ]
        early = [row for row in rows if row["time"] <= high]
        match name:
            case "all":
                return rows
            case "part":
                kept = [row for row in early if row["time"] >= low]
                return [{n: row.get(n) for n in ("rack", "g", "time")} for row in kept]
            case "count":
                return [{"n": len(rows)}]
            case "ends":
                times = [row["time"] for row in early]
                return [
                    {
                        "n": len(times),
                        "low": min(times, default=None),
                        "high": max(times, default=None),
                    }
                ]
            case "sums":
                texts = [row["s"] for row in rows if "s" in row]
                summed = {"f": _sum(rows, "f"), "g": _sum(rows, "g"), "s": max(texts, default=None)}
                return [summed | {"n": sum("g" in row for row in rows)}]
            case "groups":
                kept = [row for row in rows if row["time"] >= low]
                hosts = {row["host"] for row in kept}
                return [_group([row for row in kept if row["host"] == host]) for host in hosts]
            case "one":
                kept = [row for row in early if row["host"] == "a"]
                return [{n: row.get(n) for n in ("f", "g", "time")} for row in kept]
        before = [row["time"] for row in rows if row["time"] < low]
        return [{"n": sum(before.count(time) for time in before)}]


def _known(row: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted((name, value) for name, value in row.items() if value is not None)


def _sum(rows: list[dict[str, Any]], name: str) -> int | None:
    values = [row[name] for row in rows if name in row]
    return sum(values) if values else None


def _group(rows: list[dict[str, Any]]) -> dict[str, Any]:
    least = min((row["g"] for row in rows if "g" in row), default=None)
    return {"host": rows[0]["host"], "f": _sum(rows, "f"), "g": least, "n": len(rows)}


def _text(time_ns: int) -> str:
    return f"1970-01-01T00:00:00.{time_ns:09d}Z"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_rows_that_are_repeated_are_there_once(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = random.Random(seed)
    monkeypatch.setattr(lookups, "EARLIER_ROWS_MIN", 0)
    monkeypatch.setattr(lookups, "FEW_SHARE", choice.choice((0, 1)))
    monkeypatch.setattr(doubts, "FEW_SHARE", choice.choice((0, 4)))
    rows_max = choice.choice((6, 40, 1 << 17, 1 << 17))
    monkeypatch.setattr(lookups, "LATER_ROWS_MAX", rows_max)
    # Or folded, of slices of time.
    monkeypatch.setattr(doubts, "ROW_BYTES", choice.choice((1 << 30, 1 << 26, 1_024)))
    monkeypatch.setattr(file_parts, "WORTH_SHARE", 0)
    if seed % 2:
        monkeypatch.setattr(file_maker, "_ROWS_PARTED_MIN", 10)
    used = []
    of = lookups.Lookups.of

    def noted(*arguments: Any) -> Any:
        found = of(*arguments)
        used.append(found is not None and any(one.mark for one in found.rows.values()))
        return found

    monkeypatch.setattr(lookups.Lookups, "of", noted)
    streams = []
    monkeypatch.setattr(
        table_sources, "SliceStream", lambda *a: streams.append(a) or SliceStream(*a)
    )
    history = History(tmp_path, choice)
    history.write(history.keys(60, 0, SPAN))
    history.storage.persist_all()
    try:
        for _ in range(STEPS):
            history.step()
            history.check()
    finally:
        history.storage.close()
    assert any(used) or rows_max < 1 << 17
    assert streams or rows_max == 1 << 17 or doubts.ROW_BYTES == 1_024
