# Owns how many bytes of the log are live: their rows are in no file yet. Counted in chunks, since a
# step of persisting takes whole log files anyway, but for those that deletes have asked for.
"""Bytes of live rows."""

from collections import deque

import msgspec

from engine.ids import Position

_CHUNK_BYTES = 1024 * 1024


class _Chunk(msgspec.Struct):
    last: Position
    size_bytes: int


class LiveBytes:
    """Bytes of frames with rows, by position."""

    def __init__(self) -> None:
        self._chunks: deque[_Chunk] = deque()
        self.total = 0

    def add(self, position: Position, size_bytes: int) -> None:
        """Count a frame; positions rise."""
        self.total += size_bytes
        if self._chunks and self._chunks[-1].size_bytes < _CHUNK_BYTES:
            chunk = self._chunks[-1]
            chunk.last = position
            chunk.size_bytes += size_bytes
        else:
            self._chunks.append(_Chunk(position, size_bytes))

    def drop(self, through: Position) -> None:
        """Rows up to a position are in files now; a chunk that goes on behind it stays."""
        while self._chunks and self._chunks[0].last <= through:
            self.total -= self._chunks.popleft().size_bytes
