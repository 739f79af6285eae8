# Owns what happens to a log file with a damaged part: the whole file is kept aside, it is noted
# what is lost, and the file is written anew with its good frames. Frames before the damage stay
# where they are: readers may have been told their places.
"""Saving the good frames of a damaged log file."""

import errno
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.damage import Damage, DamageBook
from engine.filesystem import PAGE_BYTES, FileSystem
from engine.ids import Position
from lp_core import (
    Frame,
    FrameCorruptError,
    FrameKind,
    SegmentReader,
    SegmentWriter,
)

HEADER_BYTES = 64
_FRAME_ALIGNMENT = 64
_FRAME_MAGIC = b"HFRM"
# | magic 4 | kind u16 | flags u16 | length u64 | position u64
_FRAME_HEAD = struct.Struct("<4sHHQQ")


class Gap(msgspec.Struct, frozen=True):
    """Bytes between two frames, or behind the last one, that are no frame.

    Attributes:
        start: Where they begin.
        end: Where the next frame begins, or the file ends.
        after: Position of the frame before.
        before: Position of the frame behind; None when there is none in the file.
        reason: What is wrong with them.
    """

    start: int
    end: int
    after: Position
    before: Position | None
    reason: str


class Content(msgspec.Struct, frozen=True):
    """What a log file has: a header, good frames, as (offset, bytes), and gaps."""

    header: bytes
    frames: list[tuple[int, bytes]]
    gaps: list[Gap]
    last: Position


def read_tolerantly(path: Path, filesystem: FileSystem, size: int) -> bytes:
    """Content of a file, with zeros where it cannot be read."""
    pages = []
    for offset in range(0, size, PAGE_BYTES):
        try:
            page = filesystem.read_at(path, offset, PAGE_BYTES)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            page = b""
        pages.append(page.ljust(min(PAGE_BYTES, size - offset), b"\0"))
    return b"".join(pages)


def sorted_out(content: bytes, *, after: Position, limit: Position | None, node_id: str) -> Content:
    """The frames of a log file at positions between `after` and `limit`, and what is between them.

    Raises:
        FormatVersionError: The file is of a version that this build does not read.
    """
    frames: list[tuple[int, bytes]] = []
    gaps: list[Gap] = []
    try:
        SegmentReader(content)
    except FrameCorruptError as error:
        # The header says nothing that the file's name does not say.
        content = fresh_header(after + 1, node_id) + content[HEADER_BYTES:]
        gaps.append(Gap(0, HEADER_BYTES, after, Position(after + 1), error.reason))
    reader = SegmentReader(content)
    end = len(content.rstrip(b"\0"))
    last, offset = after, HEADER_BYTES
    while offset < end:
        try:
            frame = _frame_at(reader, offset, last, limit)
        except FrameCorruptError as error:
            found = next(_frames_behind(reader, content, offset, last, limit), None)
            if found is None:
                gaps.append(Gap(offset, end, last, None, error.reason))
                break
            gaps.append(Gap(offset, found.offset, last, Position(found.position), error.reason))
            frame = found
        frames.append((frame.offset, content[frame.offset : frame.offset + frame.nbytes]))
        last = Position(frame.position)
        offset = frame.offset + frame.nbytes
    return Content(content[:HEADER_BYTES], frames, gaps, last)


def _frame_at(reader: SegmentReader, offset: int, last: Position, limit: Position | None) -> Frame:
    frame = reader.frame(offset)
    if frame.position <= last or (limit is not None and frame.position >= limit):
        raise FrameCorruptError(offset, f"its position {frame.position} does not fit here")
    return frame


def _frames_behind(
    reader: SegmentReader, content: bytes, offset: int, last: Position, limit: Position | None
) -> Iterator[Frame]:
    """Whole frames that begin behind `offset`."""
    while (offset := content.find(_FRAME_MAGIC, offset + 1)) >= 0:
        if offset % _FRAME_ALIGNMENT == 0:
            try:
                yield _frame_at(reader, offset, last, limit)
            except FrameCorruptError:
                continue


def fresh_header(first_position: int, node_id: str) -> bytes:
    """A header for a log file whose own is lost."""
    return SegmentWriter(first_position=first_position, node_id=node_id, created_ns=0).header


def save(
    path: Path,
    filesystem: FileSystem,
    book: DamageBook,
    content: bytes,
    found: Content,
    *,
    limit: Position | None,
    reason: str,
) -> str:
    """Keep a damaged file aside, note what is lost, leave the good frames in it; return where.

    Raises:
        OSError: The disk does not take it; the file is as it was.
    """
    kept = book.keep(path, content)
    end = HEADER_BYTES if not found.frames else found.frames[-1][0] + len(found.frames[-1][1])
    # What cannot be read may have been behind all frames.
    nothing = Gap(end, end, found.last, Position(found.last + 1), reason)
    for gap in found.gaps or [nothing]:
        before = gap.before if gap.before is not None else limit
        book.note(
            Damage(
                kind="log",
                file=book.relative(path),
                reason=reason or gap.reason,
                found_ns=book.now_ns(),
                offset_bytes=gap.start,
                size_bytes=gap.end - gap.start,
                after_position=gap.after,
                before_position=before,
                content=_kinds(content, gap),
                kept=kept,
            )
        )
    frames = [frame for _, frame in found.frames]
    filesystem.write_whole(path, b"".join([found.header, *frames]))
    return kept


def _kinds(content: bytes, gap: Gap) -> tuple[str, ...]:
    """What the frames in a gap were, as far as their headers lead from one to the next."""
    kinds: list[str] = []
    offset, position = gap.start, gap.after
    if gap.start < HEADER_BYTES:
        return ()
    while offset < gap.end and gap.before is not None:
        magic, kind, flags, length, found = _FRAME_HEAD.unpack_from(content, offset)
        position = Position(position + 1)
        if magic != _FRAME_MAGIC or flags or found != position or kind not in set(FrameKind):
            return ("unknown",)
        kinds.append(FrameKind(kind).name.lower())
        offset += (HEADER_BYTES + length + HEADER_BYTES - 1) // HEADER_BYTES * HEADER_BYTES
    if offset != gap.end or gap.before != position + 1:
        return ("unknown",)
    return tuple(sorted(set(kinds)))
