# Owns what a checkpoint holds: everything that the log determines, but for the rows that are still
# to be read from the log. Field names are part of the on-disk format (docs/formats/checkpoint.md);
# fields are only ever added, with a default.
"""The server's state as a checkpoint keeps it."""

import msgspec

from engine.catalog.catalog import CatalogImage
from engine.ids import DatabaseId, Position
from engine.store.backfills import BackfillImage
from engine.store.cursors import CursorImage
from engine.store.dead_letters import DeadLetter
from engine.store.former import Former
from engine.store.live_table import TableImage
from engine.store.plugin_state import StateImage


class DatabaseImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of a database.

    Attributes:
        created: Where it begins in the log; frames before are about an older one of that name.
        former: Of one that is deleted and kept.
    """

    id: DatabaseId
    name: str
    created: Position
    tables: list[TableImage]
    former: Former | msgspec.UnsetType = msgspec.UNSET


class ServerImage(msgspec.Struct, frozen=True, kw_only=True):
    """The state after one position of the log.

    Attributes:
        persisted: Rows up to this position are in Parquet files, later ones in the log.
        next_file_number: Number of the next Parquet file.
    """

    position: Position
    persisted: Position
    next_file_number: int
    catalog: CatalogImage
    databases: list[DatabaseImage]
    cursors: list[CursorImage]
    states: list[StateImage]
    dead_letters: list[DeadLetter]
    backfills: list[BackfillImage] = []


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[ServerImage] = msgspec.msgpack.Decoder(ServerImage)


def encode_image(image: ServerImage) -> bytes:
    """Payload of a checkpoint."""
    return _encoder.encode(image)


def decode_image(payload: bytes) -> ServerImage:
    """The image in the payload of a checkpoint.

    Raises:
        msgspec.DecodeError: The bytes are no image that this version knows.
    """
    return _decoder.decode(payload)
