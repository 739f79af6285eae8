"""The tokens are kept apart from the log, as of one position."""

import errno
from pathlib import Path

import pytest

from engine.catalog.model import Token
from engine.catalog.tokens import TokensImage
from engine.filesystem import FileSystem
from engine.ids import Position, TokenId
from engine.ingest.token_copy import TokenCopy
from engine.paths import DataPaths

GOLDEN = Path(__file__).parent / "golden" / "version-1.tokens"
TOKENS = TokensImage(
    tokens=(
        Token(
            id=TokenId(2), name="reader", hash=bytes(64), permissions=("db:db:read",), created_ns=5
        ),
    ),
    next_id=4,
)


def make(directory: Path, filesystem: FileSystem | None = None) -> TokenCopy:
    paths = DataPaths(directory, "node0")
    paths.node_dir.mkdir(exist_ok=True)
    return TokenCopy(paths, filesystem or FileSystem())


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert make(tmp_path).read() is None
    make(tmp_path).write(Position(7), TOKENS)
    path = tmp_path / "node0" / "tokens"
    assert make(tmp_path).read() == (7, TOKENS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == GOLDEN.read_bytes()


def test_a_damaged_copy_counts_for_nothing(tmp_path: Path) -> None:
    make(tmp_path).write(Position(7), TOKENS)
    path = tmp_path / "node0" / "tokens"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert make(tmp_path).read() is None


def test_of_two_writers_the_later_position_stays(tmp_path: Path) -> None:
    copy = make(tmp_path)
    copy.write(Position(9), TOKENS)
    copy.write(Position(8), TokensImage())
    assert copy.read() == (9, TOKENS)


def test_a_full_disk_keeps_nobody_from_deleting_a_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(FileSystem):
        def write_file(self, path: Path, content: memoryview | bytes, *, mode: int = 0o640) -> None:
            raise OSError(errno.ENOSPC, "full")

    make(tmp_path, Full()).write(Position(1), TOKENS)
    assert "the log alone has their change" in caplog.text
