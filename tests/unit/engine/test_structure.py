"""Tables that come and go beside writes: each write meets the table before, or the one after."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.catalog.deleted import KEPT_NS_DEFAULT
from engine.damage import DamageBook
from engine.errors import (
    AlreadyDeletedError,
    AlreadyExistsError,
    BackPressureError,
    DatabaseNotFoundError,
    TableMissingError,
)
from engine.ids import Position
from engine.ingest import row_deleter
from engine.ingest.catalog_writer import CatalogWriter
from engine.ingest.row_deleter import RowDeleter
from engine.ingest.structure import StructureWriter
from engine.store.file_faults import FileFaults
from engine.store.manifest import FileEntry
from engine.store.row_deletes import TagIs
from lp_core import ColumnType
from tests.support.ingest import DATABASE, NOW_NS, IngestKit, StandingClock

NOW = 0
DEFAULT = NOW_NS + KEPT_NS_DEFAULT


def structure_of(kit: IngestKit) -> StructureWriter:
    writer = CatalogWriter(kit.state.catalog, kit.log, StandingClock())
    # The one that the pipeline asks.
    writer.holds = kit.pipeline._holds
    return StructureWriter(writer, kit.state.catalog, kit.state.store, StandingClock())


@pytest.mark.parametrize("at_ns", [NOW, DEFAULT, None])
@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("merges", [True, False])
def test_a_write_beside_a_deletion_fits_the_next_table(
    tmp_path: Path, at_ns: int | None, size: int, merges: bool
) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path, merges=merges) as kit:
            structure = structure_of(kit)
            whole, real, text = (
                "\n".join(f"m f={value} {time}" for time in range(size)).encode()
                for value in ("1i", "1.5", '"x"')
            )
            assert await kit.write(whole) is None
            # What is on its way to the disk is the old table's. A large body is still being parsed,
            # and would be the first to fix the new table's type.
            before = kit.write(whole if size == 1 else b"other f=1i 1")
            await asyncio.sleep(0)
            deletion = asyncio.create_task(structure.delete_table(DATABASE, "m", at_ns))
            answers = await asyncio.gather(before, deletion, kit.write(real), kit.write(real))
            assert [answer for answer in answers if answer is not None] == []
            columns = kit.columns()["m"]
            rows = kit.rows()["m"]
            assert columns == (("f", ColumnType.FLOAT64),)
            assert len(rows) == 2 * size
            assert {row["f"] for row in rows} == {1.5}
            refused = await kit.write(text)
            assert refused is not None
            await structure.delete_table(DATABASE, "m", at_ns)
            assert await kit.write(text) is None
            assert kit.columns()["m"] == (("f", ColumnType.STRING),)

    asyncio.run(scenario())


def test_a_write_that_waits_sees_a_created_table(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            structure = structure_of(kit)
            creation = asyncio.create_task(
                structure.create_table(DATABASE, "m", [("f", ColumnType.BOOL)])
            )
            # Now it holds the database, and its change is on the way.
            await asyncio.sleep(0)
            assert kit.pipeline._holds.is_held(DATABASE)
            refused = await kit.write(b"m f=1i 1")
            await creation
            assert "iox::column_type::field::boolean" in str(refused)
            with pytest.raises(AlreadyExistsError):
                await structure.create_table(DATABASE, "m", [])

    asyncio.run(scenario())


def test_what_is_deleted_cannot_be_deleted_again_but_for_good(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            structure = structure_of(kit)
            await kit.write(b"m f=1i 1")
            await structure.delete_table(DATABASE, "m", DEFAULT)
            with pytest.raises(TableMissingError):
                await structure.delete_table(DATABASE, "m", DEFAULT)
            (deleted,) = kit.state.catalog.deleted.all()
            with pytest.raises(AlreadyDeletedError):
                await structure.delete_table(DATABASE, deleted.name, DEFAULT)
            assert await structure.delete_due() == 0
            await structure.delete_table(DATABASE, deleted.name, NOW)
            assert kit.state.catalog.deleted.all() == []
            await structure.delete_database(DATABASE, NOW_NS + 1)
            (deleted,) = kit.state.catalog.deleted.all()
            with pytest.raises(AlreadyDeletedError):
                await structure.delete_database(deleted.name, None)
            with pytest.raises(DatabaseNotFoundError):
                await structure.delete_database(DATABASE, NOW)
            structure._clock.now_ns = lambda: NOW_NS + 1  # type: ignore[method-assign]
            assert await structure.delete_due() == 1
            assert kit.state.store.databases() == []

    asyncio.run(scenario())


def test_deletes_of_rows_do_not_pile_up_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_deleter, "PENDING_MAX", 2)

    async def scenario() -> None:
        async with IngestKit(tmp_path) as kit:
            book = DamageBook(kit.paths, kit.filesystem, StandingClock())
            faults = FileFaults(kit.paths, kit.filesystem, book)
            deleter = RowDeleter(kit.log, kit.state.catalog, kit.state.store, faults)
            await kit.write(b"m,t=a f=1i 1")

            def delete(value: str) -> Any:
                return deleter.delete(DATABASE, "m", (0, 10**12), TagIs("t", "=", value))

            first = await delete("x")
            assert await delete("y") > first
            with pytest.raises(BackPressureError, match="not carried out") as caught:
                await delete("z")
            assert "as soon as" in caught.value.hint
            # One that cannot be carried out says what it waits for.
            database = kit.state.store.database(DATABASE)
            assert database is not None
            table = database.table("m")
            assert table is not None
            entry = FileEntry(
                number=1,
                path="lost",
                rows=1,
                min_time_ns=1,
                max_time_ns=1,
                size_bytes=1,
                memory_bytes=1,
                window_start_ns=0,
                window_ns=10,
                first_position=Position(1),
                last_position=Position(1),
            )
            table.files = (entry,)
            faults.look(DATABASE, "m", entry)
            with pytest.raises(
                BackPressureError, match="the file parquet/lost cannot be"
            ) as caught:
                await delete("z")
            assert "restored" in caught.value.hint
            with pytest.raises(TableMissingError):
                await deleter.delete(DATABASE, "other", (0, 9), None)

    asyncio.run(scenario())
