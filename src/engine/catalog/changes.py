# Owns every change that the catalog can undergo. A change is one CATALOG frame of the log; `apply`
# is the same at run time and at recovery. Validation happens before the change is logged
# (catalog.py), so apply may assume that it fits. Tags are part of the on-disk format: never rename
# one.
"""Catalog changes and their encoding."""

import msgspec

from engine.catalog.model import Database, Deleted, DistinctCache, LastCache, Token, Trigger
from engine.ids import DatabaseId, TokenId, TriggerId


class CreateDatabase(msgspec.Struct, frozen=True, tag="create_database"):
    """A new database."""

    database: Database


class DeleteDatabase(msgspec.Struct, frozen=True, tag="delete_database"):
    """A database with its tables and triggers goes, and its rows with it."""

    database_id: DatabaseId
    name: str


class HideDatabase(msgspec.Struct, frozen=True, tag="hide_database"):
    """A database with its tables goes out of sight, its rows are kept; its triggers go."""

    deleted: Deleted


class CreateTable(msgspec.Struct, frozen=True, tag="create_table"):
    """A new table without rows; `columns` are names and types (as lp_core numbers them)."""

    database_id: DatabaseId
    table: str
    columns: tuple[tuple[str, int], ...]


class DeleteTable(msgspec.Struct, frozen=True, tag="delete_table"):
    """A table goes, and its rows with it."""

    database_id: DatabaseId
    database: str
    table: str


class HideTable(msgspec.Struct, frozen=True, tag="hide_table"):
    """A table goes out of sight, its rows are kept."""

    database_id: DatabaseId
    deleted: Deleted


class DeleteHidden(msgspec.Struct, frozen=True, tag="delete_hidden"):
    """The rows of a hidden database or table go."""

    id: DatabaseId


class SetRetention(msgspec.Struct, frozen=True, tag="set_retention"):
    """Rows are kept for another time: those of the database, or those of one table.

    Without a time, a database keeps its rows for ever, and a table goes by its database.
    """

    database_id: DatabaseId
    retention_ns: int | None
    table: str | None = None


class FirstBackfill(msgspec.Struct, frozen=True):
    """The backfill that a trigger begins with: rows of the times [`start_ns`, `end_ns`)."""

    start_ns: int
    end_ns: int
    call_rows_max: int


class CreateTrigger(msgspec.Struct, frozen=True, tag="create_trigger"):
    """A new trigger, and the backfill that begins with it, so that a crash cannot part them."""

    trigger: Trigger
    # Left out of records where there is none, so that these are as they always were.
    backfill: FirstBackfill | msgspec.UnsetType = msgspec.UNSET


class DeleteTrigger(msgspec.Struct, frozen=True, tag="delete_trigger"):
    """A trigger goes, with its cursor."""

    trigger_id: TriggerId


class EnableTrigger(msgspec.Struct, frozen=True, tag="enable_trigger"):
    """A trigger runs again, from where its cursor stands."""

    trigger_id: TriggerId


class DisableTrigger(msgspec.Struct, frozen=True, tag="disable_trigger"):
    """A trigger stops; `reason` is empty when a person asked for it."""

    trigger_id: TriggerId
    reason: str = ""


class UpdateTrigger(msgspec.Struct, frozen=True, tag="update_trigger"):
    """A trigger runs other fetched code from its next run on."""

    trigger_id: TriggerId
    plugin_digest: str


class SetTriggerPermissions(msgspec.Struct, frozen=True, tag="set_trigger_permissions"):
    """A trigger may do something else from now on; everything without permissions."""

    trigger_id: TriggerId
    permissions: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class CreateToken(msgspec.Struct, frozen=True, tag="create_token"):
    """A new token."""

    token: Token


class RegenerateToken(msgspec.Struct, frozen=True, tag="regenerate_token"):
    """A token gets another text, and with it another time to live; the old text is void."""

    token_id: TokenId
    hash: bytes
    updated_ns: int
    expiry_ns: int | None = None


class DeleteToken(msgspec.Struct, frozen=True, tag="delete_token"):
    """A token opens nothing any more."""

    token_id: TokenId


class CreateLastCache(msgspec.Struct, frozen=True, tag="create_last_cache"):
    """A new cache of last rows."""

    cache: LastCache


class DeleteLastCache(msgspec.Struct, frozen=True, tag="delete_last_cache"):
    """A cache of last rows goes."""

    database_id: DatabaseId
    table: str
    name: str


class CreateDistinctCache(msgspec.Struct, frozen=True, tag="create_distinct_cache"):
    """A new cache of distinct values."""

    cache: DistinctCache


class DeleteDistinctCache(msgspec.Struct, frozen=True, tag="delete_distinct_cache"):
    """A cache of distinct values goes."""

    database_id: DatabaseId
    table: str
    name: str


CacheChange = CreateLastCache | DeleteLastCache | CreateDistinctCache | DeleteDistinctCache
CatalogChange = (
    CreateDatabase
    | DeleteDatabase
    | HideDatabase
    | CreateTable
    | DeleteTable
    | HideTable
    | DeleteHidden
    | SetRetention
    | CreateTrigger
    | DeleteTrigger
    | EnableTrigger
    | DisableTrigger
    | UpdateTrigger
    | SetTriggerPermissions
    | CreateToken
    | RegenerateToken
    | DeleteToken
    | CreateLastCache
    | DeleteLastCache
    | CreateDistinctCache
    | DeleteDistinctCache
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[CatalogChange] = msgspec.msgpack.Decoder(CatalogChange)


def encode_change(change: CatalogChange) -> bytes:
    """Bytes of `change` for the control part of a CATALOG frame."""
    return _encoder.encode(change)


def decode_change(content: bytes) -> CatalogChange:
    """The change encoded in `content`.

    Raises:
        msgspec.DecodeError: The bytes are not a change that this version knows.
    """
    return _decoder.decode(content)


def database_that_lost(change: CatalogChange) -> str | None:
    """The name of the database that is gone by `change`, or has lost a table; None for none."""
    match change:
        case DeleteDatabase(name=name):
            return name
        case HideDatabase(deleted=deleted) | HideTable(deleted=deleted):
            return deleted.database
        case DeleteTable(database=database):
            return database
        case _:
            return None
