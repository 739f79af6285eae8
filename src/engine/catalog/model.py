# Owns the structs of catalog objects. They are written to the log inside changes (changes.py):
# fields are only ever added, with a default. Tables and columns live in lp_core.SchemaIndex, not
# here.
"""Catalog objects."""

from enum import StrEnum

import msgspec

from engine.ids import DatabaseId, TokenId, TriggerId

# The database that shows things of all others; nothing can be written to it.
INTERNAL_DATABASE = "_internal"

_IDENTITY_PREFIX = "trigger:"


class ErrorBehavior(StrEnum):
    """What happens when a run of a trigger fails."""

    LOG = "log"
    RETRY = "retry"
    DISABLE = "disable"


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """A database; ``retention_ns`` None keeps rows for ever.

    Attributes:
        table_retention_ns: Retention of tables that have one of their own, shorter or longer.
    """

    id: DatabaseId
    name: str
    created_ns: int
    retention_ns: int | None = None
    # Left out of records where there is none, so that these are as they always were.
    table_retention_ns: dict[str, int] | msgspec.UnsetType = msgspec.UNSET

    def retention_of(self, table: str) -> int | None:
        """How long rows of `table` are kept; None for ever."""
        if isinstance(self.table_retention_ns, msgspec.UnsetType):
            return self.retention_ns
        return self.table_retention_ns.get(table, self.retention_ns)

    def has_own(self, table: str) -> bool:
        """Whether `table` has a retention of its own."""
        known = self.table_retention_ns
        return not isinstance(known, msgspec.UnsetType) and table in known


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """A database or a table that was deleted, and whose rows are kept for a while.

    Attributes:
        id: Of the database; a deleted table gets one of its own.
        name: The name it is shown under; the name that it had is free again.
        database: The name of the database when it was deleted.
        table: The name of the table; None for a database.
        hard_delete_ns: When its rows go; None for never.
    """

    id: DatabaseId
    name: str
    database: str
    table: str | None = None
    deleted_ns: int
    hard_delete_ns: int | None


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """When (``spec``, in canonical spelling) which plugin (``plugin_filename``) runs, and how."""

    id: TriggerId
    database_id: DatabaseId
    database: str
    name: str
    plugin_filename: str
    spec: str
    arguments: dict[str, str] | None = None
    run_async: bool = False
    error_behavior: ErrorBehavior = ErrorBehavior.LOG
    disabled: bool = False
    disabled_reason: str = ""
    allow_self: bool = False
    timeout_s: float | None = None
    memory_max_bytes: int | None = None
    # Runs at once when it is asynchronous, and rows of one call when it lags; None for the
    # server's setting.
    concurrency: int | None = None
    batch_rows: int | None = None
    created_ns: int = 0
    # Behind which position it begins; None for its own creation.
    start_position: int | None = None
    # SHA-256 of code that was fetched from the web; empty for code of the plugin directory.
    plugin_digest: str = ""
    # As those of a token; left out where there are none, which means everything: records are then
    # as they always were.
    permissions: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_fed_by_log(self) -> bool:
        """Whether it runs on what is written, and therefore has a cursor."""
        return self.spec == "all_tables" or self.spec.startswith("table:")

    @property
    def table(self) -> str | None:
        """The table of a trigger that is fed by the log; None for all tables."""
        return self.spec.removeprefix("table:") if self.spec.startswith("table:") else None

    @property
    def identity(self) -> str:
        """Text that names this trigger as the origin of a frame; never reused."""
        return identity_of(self.id)


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What lets a client in. Of the token itself only the SHA-512 of its text is kept."""

    id: TokenId
    name: str
    hash: bytes
    # As permissions.py reads them: ``*:*:*``, ``db:NAME:read,write`` or ``system:metrics:read``.
    permissions: tuple[str, ...]
    created_ns: int
    # From this moment on it opens nothing; None for never.
    expiry_ns: int | None = None
    updated_ns: int | None = None


class LastCache(msgspec.Struct, frozen=True, kw_only=True):
    """The last rows of each group of a table's rows, ready for queries.

    Attributes:
        key_columns: Rows that are equal in these make a group.
        value_columns: What is shown beside keys and time; None for all other columns, later ones
            included.
        count: Rows of a group.
        ttl_ns: Rows whose time is longer ago are not in it.
    """

    database_id: DatabaseId
    table: str
    name: str
    key_columns: tuple[str, ...]
    value_columns: tuple[str, ...] | None
    count: int
    ttl_ns: int


class DistinctCache(msgspec.Struct, frozen=True, kw_only=True):
    """The combinations of values that some columns of a table have.

    Attributes:
        columns: The columns, at least one.
        cardinality_max: So many combinations are kept, those with the latest rows.
        age_max_ns: Combinations without a row whose time is after this are not in it.
    """

    database_id: DatabaseId
    table: str
    name: str
    columns: tuple[str, ...]
    cardinality_max: int
    age_max_ns: int


def identity_of(trigger_id: TriggerId) -> str:
    """Text that names a trigger as the origin of a frame."""
    return f"{_IDENTITY_PREFIX}{trigger_id}"


def trigger_of(identity: str) -> TriggerId:
    """The id of the trigger that has this identity."""
    return TriggerId(int(identity.removeprefix(_IDENTITY_PREFIX)))
