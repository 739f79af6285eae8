"""Checkpoints: the file, which one is taken, and that the format stays readable."""

from pathlib import Path

import pytest

from engine.catalog.catalog import CatalogImage
from engine.catalog.model import Database, Token, Trigger
from engine.catalog.tokens import TokensImage
from engine.errors import RecoveryError
from engine.filesystem import FileSystem
from engine.ids import DatabaseId, Position, TokenId, TriggerId
from engine.ingest.state import ServerState
from engine.ingest.state_image import DatabaseImage, ServerImage, decode_image, encode_image
from engine.paths import DataPaths
from engine.store.backfills import BackfillImage
from engine.store.cursors import CursorImage
from engine.store.dead_letters import DeadLetter
from engine.store.live_table import TableImage
from engine.store.manifest import FileEntry
from engine.store.plugin_state import StateImage
from engine.store.run_records import BackfillStep, ParkedRows
from engine.wal import checkpoint
from lp_core import ColumnType, SchemaIndex

GOLDEN = Path(__file__).parent / "golden" / "version-1.checkpoint"

FILE = FileEntry(
    number=7,
    path="1-db/cpu/1970-01-01T00-10-00Z_10m_0000000007.parquet",
    window_start_ns=600_000_000_000,
    window_ns=600_000_000_000,
    rows=3,
    size_bytes=2_000,
    memory_bytes=100,
    min_time_ns=600_000_000_001,
    max_time_ns=700_000_000_000,
    first_position=Position(2),
    last_position=Position(9),
    overlaps=((600_000_000_001, 600_000_000_002),),
)
IMAGE = ServerImage(
    position=Position(12),
    persisted=Position(9),
    next_file_number=8,
    catalog=CatalogImage(
        databases=(
            Database(
                id=DatabaseId(1),
                name="db",
                created_ns=5,
                retention_ns=10**18,
                table_retention_ns={"cpu": 10**15},
            ),
        ),
        triggers=(
            Trigger(
                id=TriggerId(3),
                database_id=DatabaseId(1),
                database="db",
                name="t",
                plugin_filename="p.py",
                spec="all_tables",
            ),
        ),
        next_database_id=2,
        next_trigger_id=4,
        tokens=TokensImage(
            tokens=(
                Token(
                    id=TokenId(1),
                    name="_admin",
                    hash=bytes(range(64)),
                    permissions=("*:*:*",),
                    created_ns=6,
                ),
            ),
            next_id=5,
        ),
    ),
    databases=[
        DatabaseImage(
            id=DatabaseId(1),
            name="db",
            created=Position(1),
            tables=[
                TableImage(
                    name="cpu",
                    columns=(("host", int(ColumnType.TAG)), ("usage", int(ColumnType.FLOAT64))),
                    files=(FILE,),
                    overlap_ranges=((-5, 5),),
                    # As it is dumped where all hashes are other ones: only the greatest time counts.
                    series=bytes.fromhex(
                        "0100000000000000"
                        + "00" * 16
                        + "00" * 7
                        + "80"
                        + "0a00000000000000"
                        + "00" * 8
                    ),
                )
            ],
        )
    ],
    cursors=[
        CursorImage(
            trigger_id=TriggerId(3),
            low=Position(4),
            done=((Position(6), Position(8)),),
            partial=((Position(4), Position(6), 2),),
        )
    ],
    states=[
        StateImage(
            trigger_id=TriggerId(3),
            position=Position(8),
            entries=(("key", b"\x01", Position(8)),),
        )
    ],
    dead_letters=[
        DeadLetter("8-0", TriggerId(3), ParkedRows(batch_id="b", num_rows=1, rows=b"", error="e"))
    ],
    backfills=[
        BackfillImage(
            trigger_id=TriggerId(3),
            start=Position(4),
            active=BackfillStep(start_ns=5, end_ns=9, call_rows_max=10, done=(6, 2, 0), rows=1),
            covered=[(1, 3)],
            rows=7,
        )
    ],
)


@pytest.fixture
def paths(tmp_path: Path) -> DataPaths:
    paths = DataPaths(tmp_path, "node0")
    paths.checkpoint_dir.mkdir(parents=True)
    return paths


def write(paths: DataPaths, position: int, payload: bytes) -> Path:
    return checkpoint.write(paths, FileSystem(), Position(position), payload)


def newest(paths: DataPaths) -> tuple[int, bytes] | None:
    return checkpoint.newest(paths, FileSystem(), lambda payload: payload)


def test_the_newest_is_taken_and_two_are_kept(paths: DataPaths) -> None:
    assert newest(paths) is None
    for position in (3, 5, 12):
        write(paths, position, b"payload %d" % position)
    assert newest(paths) == (12, b"payload 12")
    assert [path.name for path in paths.checkpoints()] == [
        "00000000000000000005.checkpoint",
        "00000000000000000012.checkpoint",
    ]


@pytest.mark.parametrize("offset", [0, 8, 12, 16, 24, 32, -1])
def test_a_flipped_bit_anywhere_is_found_and_the_one_before_is_taken(
    paths: DataPaths, offset: int, caplog: pytest.LogCaptureFixture
) -> None:
    write(paths, 3, b"old")
    path = write(paths, 5, b"new")
    content = bytearray(path.read_bytes())
    content[offset] ^= 4
    path.write_bytes(content)
    assert newest(paths) == (3, b"old")
    assert "checkpoint damaged" in caplog.text
    assert path.with_name(path.name + ".damaged").read_bytes() == content, "it is kept aside"
    assert newest(paths) == (3, b"old")


@pytest.mark.parametrize("size", [0, 10, 32, 34])
def test_a_cut_file_is_found(paths: DataPaths, size: int) -> None:
    write(paths, 3, b"old")
    path = write(paths, 5, b"new")
    path.write_bytes(path.read_bytes()[:size])
    assert newest(paths) == (3, b"old")


def test_without_a_whole_one_the_start_is_refused(paths: DataPaths) -> None:
    path = write(paths, 3, b"only")
    path.write_bytes(b"")
    with pytest.raises(RecoveryError, match="no checkpoint"):
        newest(paths)
    assert path.exists(), "nothing is put aside when nothing is left"


def test_version_1_stays_readable() -> None:
    position, payload = checkpoint.decode(GOLDEN.read_bytes())
    assert position == 12
    assert decode_image(payload) == IMAGE
    assert checkpoint.encode(Position(12), encode_image(IMAGE)) == GOLDEN.read_bytes()


def test_state_comes_back_as_it_was() -> None:
    state = ServerState()
    state.restore(decode_image(encode_image(IMAGE)))
    again = state.image()
    series = SchemaIndex()
    series.load_series("cpu", again.databases[0].tables[0].series)
    assert encode_image(again)[:200] == encode_image(IMAGE)[:200]
    assert again.catalog == IMAGE.catalog
    assert again.cursors == IMAGE.cursors
    assert again.states == IMAGE.states
    assert again.dead_letters == IMAGE.dead_letters
    assert again.backfills == IMAGE.backfills
    assert state.catalog.tokens.has_admin
    table = again.databases[0].tables[0]
    assert (table.columns, table.files, table.overlap_ranges) == (
        IMAGE.databases[0].tables[0].columns,
        (FILE,),
        ((-5, 5),),
    )
    assert state.created("db") == 1
    assert state.plugin_state.get(TriggerId(3)).size_bytes == 4
    assert state.dead_letters.num_rows(TriggerId(3)) == 1
