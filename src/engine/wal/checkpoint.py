# Owns checkpoint files: their frame (docs/formats/checkpoint.md), how one is written so that a
# crash leaves a whole one or none, which are kept, and which is read. What is inside is the
# business of ingest/state_image.py.
"""Checkpoint files."""

import errno
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from engine.errors import EngineError, RecoveryError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.paths import DataPaths
from lp_core._frame import crc32c

logger = logging.getLogger(__name__)

MAGIC = b"HRCKPT\0\1"
VERSION = 1
DAMAGED_SUFFIX = ".damaged"
# The newest, and the one before it, in case the newest turns out to be damaged.
KEPT = 2

# | magic 8 | version u32 | crc32c u32 | position u64 | payload bytes u64 | payload
_HEADER = struct.Struct("<8sIIQQ")
_CRC_OFFSET = 12

_Content = TypeVar("_Content")


class CheckpointDamagedError(EngineError):
    """A checkpoint file is not whole, or not of a version that this build reads."""

    code = "checkpoint_damaged"


def encode(position: Position, payload: bytes) -> bytes:
    """Bytes of a checkpoint file."""
    header = bytearray(_HEADER.pack(MAGIC, VERSION, 0, position, len(payload)))
    struct.pack_into("<I", header, _CRC_OFFSET, crc32c(payload, crc32c(header)))
    return bytes(header) + payload


def decode(content: bytes) -> tuple[Position, bytes]:
    """Position and payload of a checkpoint file.

    Raises:
        CheckpointDamagedError: The bytes are not a whole checkpoint of a version that is known.
    """
    if len(content) < _HEADER.size:
        raise CheckpointDamagedError("the header is not whole")
    magic, version, crc, position, length = _HEADER.unpack_from(content)
    if magic != MAGIC:
        raise CheckpointDamagedError("it does not start as a checkpoint does")
    if version != VERSION:
        raise CheckpointDamagedError(f"version {version} is not supported (this build: {VERSION})")
    if len(content) != _HEADER.size + length:
        raise CheckpointDamagedError(
            f"it has {len(content)} bytes and should have {_HEADER.size + length}"
        )
    header = bytearray(content[: _HEADER.size])
    struct.pack_into("<I", header, _CRC_OFFSET, 0)
    payload = content[_HEADER.size :]
    if crc32c(payload, crc32c(header)) != crc:
        raise CheckpointDamagedError("its checksum does not fit")
    return Position(position), payload


def write(paths: DataPaths, filesystem: FileSystem, position: Position, payload: bytes) -> Path:
    """Write a checkpoint durably, and then remove those that are not kept any more.

    Raises:
        OSError: It could not be written; those there were are untouched.
    """
    path = paths.checkpoint(position)
    filesystem.write_whole(path, encode(position, payload))
    for old in paths.checkpoints()[:-KEPT]:
        filesystem.remove(old)
    return path


def newest(
    paths: DataPaths, filesystem: FileSystem, decode_payload: Callable[[bytes], _Content]
) -> tuple[Position, _Content] | None:
    """Position and content of the newest checkpoint that is whole; None when there is none.

    A damaged one is reported, skipped and put aside.

    Raises:
        RecoveryError: There are checkpoints, but none is whole.
        OSError: A file cannot be read.
    """
    found = paths.checkpoints()
    damaged: list[Path] = []
    for path in reversed(found):
        try:
            position, payload = decode(filesystem.read(path))
            content = decode_payload(payload)
        except (CheckpointDamagedError, msgspec.DecodeError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EIO:
                raise
            # Not with a traceback: the bytes are wrong, not the program.
            logger.error(  # noqa: TRY400
                "checkpoint damaged, the one before it is taken",
                extra=keys(file=path, error=error),
            )
            damaged.append(path)
        else:
            for bad in damaged:
                filesystem.replace(bad, bad.with_name(bad.name + DAMAGED_SUFFIX))
            return position, content
    if found:
        raise RecoveryError(
            f"no checkpoint in {paths.checkpoint_dir} is whole",
            hint="restore one from a backup, or start the version that wrote them; if the log is "
            "there from its first position on, move the checkpoints aside to read all of it again",
        )
    return None
