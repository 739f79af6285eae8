"""Live rows of some series, found without a look at the others."""

from pathlib import Path

import pyarrow
import pytest

from engine.persist.thread import PersistConfig
from engine.query import views
from engine.query.tag_places import TagPlaces
from tests.support.storage import HandClock, Storage

SERIES = [("a", "x"), ("b", "x"), ("a", None), (None, None)]


def test_places_of_values_are_those_of_a_look_at_each() -> None:
    values = ["b", None, "a", "b", "c", None, "b", "a"]
    places = TagPlaces(pyarrow.array(values).dictionary_encode())
    for wanted in ({"a"}, {"b", "c"}, {"a", "b", "c", "d"}, {"d"}, set[str]()):
        found = [number for number, value in enumerate(values) if value in wanted]
        assert places.of(wanted).tolist() == found


@pytest.mark.parametrize("has_overlaps", [False, True])
def test_conditions_on_tags_give_the_rows_that_have_the_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_overlaps: bool
) -> None:
    monkeypatch.setattr(views, "CHUNK_ROWS", 8)
    config = PersistConfig()
    storage = Storage(tmp_path, config, clock=HandClock(1_000))
    storage.create_database()
    rows: dict[tuple[str | None, str | None, int], dict[str, int]] = {}
    for number in range(40):
        host, region = SERIES[number % 4]
        time_ns = number // 8 if has_overlaps else number
        values = {"f": number, "g": number} if number % 3 else {"f": number}
        tags = "".join(f",{key}={value}" for key, value in (("host", host), ("region", region))
                       if value)  # fmt: skip
        fields = ",".join(f"{name}={value}i" for name, value in values.items())
        storage.write(f"m{tags} {fields} {time_ns}")
        rows.setdefault((host, region, time_ns), {}).update(values)
        if number % 10 != 9:
            continue
        for condition, hosts, low in (
            ("host = 'a'", {"a"}, 0),
            ("'b' = host AND time >= '1970-01-01T00:00:00.000000003Z'", {"b"}, 3),
            ("host IN ('a', $other)", {"a", "b"}, 0),
            ("m.host = 'nobody'", set(), 0),
            ("(region = 'x') AND host = 'a'", {"a"}, 0),
        ):
            sql = f"SELECT host, time, f, g, region FROM m WHERE {condition}"
            found = storage.query(sql, other="b")
            expected = [
                {"host": key[0], "region": key[1], "time": key[2], "f": None, "g": None, **value}
                for key, value in rows.items()
                if key[0] in hosts and key[2] >= low and ("region" not in condition or key[1])
            ]
            order = lambda row: (row["time"], row["host"], row["region"] or "")  # noqa: E731
            assert sorted(found, key=order) == sorted(expected, key=order), condition
    table = storage.state.store.database("db")
    assert table is not None
    assert bool(table.table("m").overlap_ranges) == has_overlaps  # type: ignore[union-attr]
    storage.close()


def test_deleted_rows_have_no_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "CHUNK_ROWS", 8)
    storage = Storage(tmp_path, PersistConfig(), clock=HandClock(1_000))
    storage.create_database()
    left: list[int] = []
    sql = "SELECT f FROM m WHERE host = 'a' ORDER BY f"
    for number in range(40):
        storage.write(f"m,host={'ab'[number % 2]} f={number}i {number}")
        left += [] if number % 2 else [number]
        if number % 10 == 9:
            # The places that are known by now are those of the rows that were there.
            assert [row["f"] for row in storage.query(sql)] == left
            storage.delete_rows("m", where="host = 'a'", low_ns=number - 5, high_ns=number)
            left = [one for one in left if one < number - 5]
            assert [row["f"] for row in storage.query(sql)] == left
    storage.close()


def test_rows_are_picked_beside_files_that_repeat_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "CHUNK_ROWS", 8)
    storage = Storage(tmp_path, PersistConfig(log_bytes=1), clock=HandClock(1_000))
    storage.create_database()
    for value in (1, 2):
        storage.write(f"m,host=a,region=x f={value}i 5")
        storage.persist_all()
    for number in range(20):
        storage.write(f"m,host={'ab'[number % 2]},region=x f={number}i {number + 100}")
    # The region is of no use to the query, and part of what a row is.
    found = storage.query("SELECT sum(f) AS f FROM m WHERE host = 'a'")
    assert found == [{"f": 2 + sum(range(0, 20, 2))}]
    (table,) = storage.state.store.database("db").tables()  # type: ignore[union-attr]
    assert table.files[1].overlaps
    assert not table.overlap_ranges
    storage.close()
