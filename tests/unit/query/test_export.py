# Slices of an export together hold every row once, in order of time, however rows lie in time.
from pathlib import Path

import pytest

from engine.errors import QueryError, TableNotFoundError
from engine.persist.thread import PersistConfig
from engine.query.export import TIME_NS_MAX, TIME_NS_MIN, Export, ExportFormat
from tests.support.storage import Storage

DAY_NS = 86_400_000_000_000


def export(storage: Storage, form: str = "lp", rows_max: int = 3, **settings) -> list[bytes]:
    settings.setdefault("times", (TIME_NS_MIN, TIME_NS_MAX))
    made = Export(
        storage.executor, storage.executor.columns, "db", rows_max=rows_max, plain=True, **settings
    )
    return list(made.pieces(["m"], ExportFormat(form)))


@pytest.fixture
def storage(tmp_path: Path):
    made = Storage(tmp_path, PersistConfig())
    made.create_database()
    yield made
    made.close()


@pytest.mark.parametrize("in_files", [False, True])
def test_every_row_once_in_order(storage: Storage, in_files: bool) -> None:
    times = [
        *range(5),
        *(DAY_NS + time for time in range(40)),
        *(900 * DAY_NS + 1_000_000_007 * time for time in range(9)),
        -DAY_NS,
    ]
    lines = [f"m,t=a f={index}i {time}" for index, time in enumerate(times)]
    # More rows of one time than a slice takes stay together.
    lines += [f"m,t=x{number} f=1i {5 * DAY_NS}" for number in range(8)]
    storage.write("\n".join(lines))
    if in_files:
        storage.persist_all()
    pieces = export(storage)
    written = b"".join(pieces).decode().splitlines()
    assert sorted(written) == sorted(lines)
    found = [int(line.rpartition(" ")[2]) for line in written]
    assert found == sorted(found)
    assert max(piece.count(b"\n") for piece in pieces) == 8
    assert len(pieces) > len(lines) / 4


def test_a_stretch_of_time(storage: Storage) -> None:
    storage.write("\n".join(f"m f={time}i {time}" for time in range(10)))
    text = b"".join(export(storage, times=(3, 6))).decode()
    assert text.splitlines() == [f"m f={time}i {time}" for time in range(3, 7)]
    assert b"".join(export(storage, times=(100, 200))) == b""


def test_the_ends_of_time(storage: Storage) -> None:
    early, late = -(1 << 63), (1 << 63) - 1
    times = [early, early + 1, early + 2, 0, late - 1, late]
    lines = [f"m f={number}i {time}" for number, time in enumerate(times)]
    storage.write("\n".join(lines))
    assert b"".join(export(storage)).decode().splitlines() == lines
    assert b"".join(export(storage, rows_max=1)).decode().splitlines() == lines
    storage.persist_all()
    assert b"".join(export(storage, rows_max=1)).decode().splitlines() == lines


def test_columns_that_appear_meanwhile(storage: Storage) -> None:
    storage.write("\n".join(f"m,t=a f={time}i {time}" for time in range(10)))
    everything = (TIME_NS_MIN, TIME_NS_MAX)
    for form, more in (("lp", "u=x g"), ("csv", "t=a h"), ("csv", "w=x f")):
        made = Export(
            storage.executor,
            storage.executor.columns,
            "db",
            times=everything,
            rows_max=3,
            plain=True,
        )
        pieces = made.pieces(["m"], ExportFormat(form))
        written = [next(pieces), next(pieces)]
        storage.write(f"m,{more}=1i 9")
        if more.startswith("w"):
            with pytest.raises(QueryError, match="the tag 'w' meanwhile"):
                list(pieces)
            continue
        text = b"".join([*written, *pieces]).decode()
        assert ("m,u=x g=1i 9\n" in text) == (form == "lp")
        assert len(text.splitlines()) == 11 + (form == "csv")


def test_an_unknown_table(storage: Storage) -> None:
    for form in ExportFormat:
        with pytest.raises(TableNotFoundError):
            export(storage, form)
