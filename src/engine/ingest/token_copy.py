# Owns the second place of the tokens: a small file that is written anew after each change of them,
# before the change is answered. The log has them, too; but if damage takes the frame of a deletion,
# the token must not be valid again. Read once, by recovery (engine/storage.py).
"""The tokens, kept apart from the log."""

import asyncio
import logging
import threading

import msgspec

from engine.catalog.tokens import TokensImage
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.paths import DataPaths
from engine.wal import checkpoint

logger = logging.getLogger(__name__)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[TokensImage] = msgspec.msgpack.Decoder(TokensImage)


class TokenCopy:
    """All tokens as of one position of the log; a file framed as a checkpoint is."""

    def __init__(self, paths: DataPaths, filesystem: FileSystem) -> None:
        """Nothing is read before `read`."""
        self._path = paths.tokens_file
        self._filesystem = filesystem
        self._lock = threading.Lock()
        self._position = Position(0)

    def read(self) -> tuple[Position, TokensImage] | None:
        """The position and the tokens after it; None where there is no file, or no whole one.

        Raises:
            OSError: The file cannot be opened.
        """
        try:
            position, payload = checkpoint.decode(self._filesystem.read(self._path))
            return position, _decoder.decode(payload)
        except FileNotFoundError:
            return None
        except (checkpoint.CheckpointDamagedError, msgspec.DecodeError) as error:
            # The log has them all, unless it is damaged as well.
            logger.warning(
                "the copy of the tokens is damaged, it is written anew",
                extra=keys(file=self._path, error=error),
            )
            return None

    def write(self, position: Position, tokens: TokensImage) -> None:
        """Replace the file durably, unless it has tokens of a later position already.

        A failure is said and no more: the log has the change.
        """
        with self._lock:
            if position < self._position:
                return
            content = checkpoint.encode(position, _encoder.encode(tokens))
            try:
                # Hashes are of no use to others, but nobody's business either.
                self._filesystem.write_whole(self._path, content, mode=0o600)
            except OSError as error:
                logger.warning(
                    "the copy of the tokens could not be written: the log alone has their change",
                    extra=keys(file=self._path, error=error),
                )
                return
            self._position = position

    async def keep(self, position: Position, tokens: TokensImage) -> None:
        """As `write`, from the event loop."""
        await asyncio.to_thread(self.write, position, tokens)
