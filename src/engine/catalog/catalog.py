# Owns the current state of the catalog and the rules that a change must keep. It does no I/O:
# server.py logs a change first and applies it once it is durable.
"""Current catalog state, look-up and validation."""

import re

import msgspec

from engine.catalog.caches import CachesImage, CacheTable
from engine.catalog.changes import (
    CatalogChange,
    CreateDatabase,
    CreateDistinctCache,
    CreateLastCache,
    CreateTable,
    CreateToken,
    CreateTrigger,
    DeleteDatabase,
    DeleteDistinctCache,
    DeleteHidden,
    DeleteLastCache,
    DeleteTable,
    DeleteToken,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    FirstBackfill,
    HideDatabase,
    HideTable,
    RegenerateToken,
    SetRetention,
    SetTriggerPermissions,
    UpdateTrigger,
)
from engine.catalog.deleted import DeletedList, free_name
from engine.catalog.model import Database, Deleted, Trigger
from engine.catalog.tokens import TokensImage, TokenTable
from engine.errors import (
    AlreadyExistsError,
    DatabaseNotFoundError,
    InvalidNameError,
    TriggerNotFoundError,
)
from engine.ids import DatabaseId, TriggerId

DATABASE_NAME_BYTES_MAX = 511
TRIGGER_NAME_BYTES_MAX = 511

_DATABASE_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
_RETENTION_PART = re.compile(r"[A-Za-z0-9_-]+\Z")


def validate_database_name(name: str) -> None:
    """Check `name` against the naming rules (``db`` or ``db/retention_policy``).

    Raises:
        InvalidNameError: With the reason that clients of the reference system know.
    """
    if not name:
        raise InvalidNameError("db name cannot be empty")
    if len(name.encode("utf-8", "surrogatepass")) > DATABASE_NAME_BYTES_MAX:
        raise InvalidNameError(f"db name too long: max {DATABASE_NAME_BYTES_MAX}")
    if not (name[0].isascii() and name[0].isalnum()):
        raise InvalidNameError("db name did not start with a number or letter")
    database, slash, policy = name.partition("/")
    if slash and (not policy or "/" in policy):
        raise InvalidNameError(
            "db name with invalid retention policy, if providing a retention policy name, must be "
            "of form '<db_name>/<rp_name>'"
        )
    if not _DATABASE_PART.match(database) or (slash and not _RETENTION_PART.match(policy)):
        raise InvalidNameError(
            "invalid character in database or rp name: must be ASCII, containing only letters, "
            "numbers, underscores, or hyphens"
        )


def validate_trigger_name(name: str) -> None:
    """Check `name`: not empty, not too long, no control characters.

    Raises:
        InvalidNameError: With the reason.
    """
    if not name:
        raise InvalidNameError("trigger name cannot be empty")
    if len(name.encode("utf-8", "surrogatepass")) > TRIGGER_NAME_BYTES_MAX:
        raise InvalidNameError(f"trigger name too long: max {TRIGGER_NAME_BYTES_MAX} bytes")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in name):
        raise InvalidNameError("trigger name cannot contain control characters")


class CatalogImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of the catalog."""

    databases: tuple[Database, ...]
    triggers: tuple[Trigger, ...]
    next_database_id: int
    next_trigger_id: int
    tokens: TokensImage = TokensImage()
    # Left out where there is none, so that checkpoints are as they always were.
    deleted: tuple[Deleted, ...] | msgspec.UnsetType = msgspec.UNSET
    caches: CachesImage | msgspec.UnsetType = msgspec.UNSET


class Catalog:
    """Databases, triggers, caches and tokens as of the last applied change."""

    def __init__(self) -> None:
        self.tokens = TokenTable()
        self.deleted = DeletedList()
        self.caches = CacheTable()
        self._databases: dict[str, Database] = {}
        self._triggers: dict[TriggerId, Trigger] = {}
        self._next_database_id = 1
        self._next_trigger_id = 1

    def databases(self) -> list[Database]:
        """All databases by name."""
        return sorted(self._databases.values(), key=lambda database: database.name)

    def has_database(self, name: str) -> bool:
        """Whether a database of that name exists."""
        return name in self._databases

    def database(self, name: str) -> Database:
        """The database of that name.

        Raises:
            DatabaseNotFoundError: There is none.
        """
        found = self._databases.get(name)
        if found is None:
            raise DatabaseNotFoundError(f"Database not found {name}")
        return found

    def triggers(self, database: str | None = None) -> list[Trigger]:
        """Triggers of `database`, or of all, in order of creation."""
        # Queries ask from other threads: copy in one step before looking at each.
        return [
            trigger
            for trigger in list(self._triggers.values())
            if database is None or trigger.database == database
        ]

    def trigger(self, database: str, name: str) -> Trigger:
        """The trigger `name` of `database`.

        Raises:
            DatabaseNotFoundError: The database does not exist.
            TriggerNotFoundError: The trigger does not exist in it.
        """
        self.database(database)
        for trigger in self._triggers.values():
            if trigger.database == database and trigger.name == name:
                return trigger
        raise TriggerNotFoundError(f"the requested resource was not found: {name}")

    def trigger_of_request(self, path: str) -> Trigger | None:
        """The trigger that requests below ``/api/v3/engine/`` with this path are for, or None."""
        spec = f"request:{path}"
        return next((trigger for trigger in self._triggers.values() if trigger.spec == spec), None)

    def trigger_by_id(self, trigger_id: TriggerId) -> Trigger | None:
        """The trigger with that id, or None when it is gone."""
        return self._triggers.get(trigger_id)

    def new_database(
        self, name: str, *, created_ns: int, retention_ns: int | None
    ) -> CreateDatabase:
        """The change that creates database `name`.

        Raises:
            InvalidNameError: The name breaks the rules.
            AlreadyExistsError: It exists.
        """
        validate_database_name(name)
        if name in self._databases:
            raise AlreadyExistsError(
                "attempted to create a resource that already exists",
                hint=f"there is a database '{name}'",
            )
        self.deleted.refuse(name)
        return CreateDatabase(
            Database(
                id=DatabaseId(self._next_database_id),
                name=name,
                created_ns=created_ns,
                retention_ns=retention_ns,
            )
        )

    def new_retention(self, name: str, table: str | None, retention_ns: int | None) -> SetRetention:
        """The change that sets how long rows of a database, or of a table of it, are kept.

        Raises:
            DatabaseNotFoundError: The database does not exist.
        """
        return SetRetention(self.database(name).id, retention_ns, table)

    def hiding_of_database(
        self, name: str, *, deleted_ns: int, hard_delete_ns: int | None
    ) -> HideDatabase:
        """The change that deletes database `name`, but keeps its rows until `hard_delete_ns`.

        Raises:
            DatabaseNotFoundError: The database does not exist.
        """
        return HideDatabase(
            Deleted(
                id=self.database(name).id,
                name=free_name(name, deleted_ns, self._is_taken),
                database=name,
                deleted_ns=deleted_ns,
                hard_delete_ns=hard_delete_ns,
            )
        )

    def hiding_of_table(
        self, database: str, table: str, *, deleted_ns: int, hard_delete_ns: int | None
    ) -> HideTable:
        """The change that deletes `table`, which must exist, but keeps its rows for a while.

        Raises:
            DatabaseNotFoundError: The database does not exist.
        """

        def is_taken(name: str) -> bool:
            return self.deleted.named(name, database=database) is not None

        return HideTable(
            self.database(database).id,
            Deleted(
                id=DatabaseId(self._next_database_id),
                name=free_name(table, deleted_ns, is_taken),
                database=database,
                table=table,
                deleted_ns=deleted_ns,
                hard_delete_ns=hard_delete_ns,
            ),
        )

    def _is_taken(self, name: str) -> bool:
        return name in self._databases or self.deleted.named(name) is not None

    def new_trigger(self, draft: Trigger, backfill: FirstBackfill | None = None) -> CreateTrigger:
        """The change that creates the trigger of `draft`, whose ids are filled in here.

        Raises:
            InvalidNameError: The name breaks the rules.
            DatabaseNotFoundError: The database does not exist.
            AlreadyExistsError: The name exists in the database, or the request path on the server.
        """
        validate_trigger_name(draft.name)
        database = self.database(draft.database)
        for other in self._triggers.values():
            if other.database_id == database.id and other.name == draft.name:
                raise AlreadyExistsError(
                    "attempted to create a resource that already exists",
                    hint=f"database '{draft.database}' has a trigger '{draft.name}'",
                )
            if draft.spec.startswith("request:") and other.spec == draft.spec:
                raise AlreadyExistsError(
                    f"request path is taken by trigger '{other.name}' of '{other.database}': "
                    f"{draft.spec}",
                    hint="all databases of a server share the request paths: choose another",
                )
        return CreateTrigger(
            msgspec.structs.replace(
                draft, id=TriggerId(self._next_trigger_id), database_id=database.id
            ),
            msgspec.UNSET if backfill is None else backfill,
        )

    def apply(self, change: CatalogChange) -> None:
        """Take over a durable change; one about an object that is gone already has no effect."""
        match change:
            case CreateDatabase(database=database):
                self._databases[database.name] = database
                self._next_database_id = max(self._next_database_id, database.id + 1)
            case DeleteDatabase(database_id=database_id):
                self._remove(database_id)
            case HideDatabase(deleted=deleted):
                self._remove(deleted.id)
                self.deleted.add(deleted)
            case CreateTable():
                pass  # tables are the store's
            case DeleteTable(database_id=database_id, table=table):
                self._lose_table(database_id, table)
            case HideTable(database_id=database_id, deleted=deleted):
                assert deleted.table is not None
                self._lose_table(database_id, deleted.table)
                self.deleted.add(deleted)
                self._next_database_id = max(self._next_database_id, deleted.id + 1)
            case DeleteHidden(id=deleted_id):
                self.deleted.remove(deleted_id)
            case SetRetention():
                self._set_retention(change)
            case CreateTrigger(trigger=trigger):
                self._triggers[trigger.id] = trigger
                self._next_trigger_id = max(self._next_trigger_id, trigger.id + 1)
            case DeleteTrigger(trigger_id=trigger_id):
                self._triggers.pop(trigger_id, None)
            case EnableTrigger(trigger_id=trigger_id):
                self._set_disabled(trigger_id, disabled=False, reason="")
            case DisableTrigger(trigger_id=trigger_id, reason=reason):
                self._set_disabled(trigger_id, disabled=True, reason=reason)
            case UpdateTrigger(trigger_id=trigger_id, plugin_digest=digest):
                known = self._triggers.get(trigger_id)
                if known is not None:
                    self._triggers[trigger_id] = msgspec.structs.replace(
                        known, plugin_digest=digest
                    )
            case SetTriggerPermissions(trigger_id=trigger_id, permissions=permissions):
                known = self._triggers.get(trigger_id)
                if known is not None:
                    self._triggers[trigger_id] = msgspec.structs.replace(
                        known, permissions=permissions
                    )
            case CreateToken() | RegenerateToken() | DeleteToken():
                self.tokens.apply(change)
            case (
                CreateLastCache()
                | DeleteLastCache()
                | CreateDistinctCache()
                | DeleteDistinctCache()
            ):
                self.caches.apply(change)

    def image(self) -> CatalogImage:
        """What a checkpoint keeps."""
        return CatalogImage(
            databases=tuple(self._databases.values()),
            triggers=tuple(self._triggers.values()),
            next_database_id=self._next_database_id,
            next_trigger_id=self._next_trigger_id,
            tokens=self.tokens.image(),
            deleted=tuple(self.deleted.all()) or msgspec.UNSET,
            caches=self.caches.image() or msgspec.UNSET,
        )

    def restore(self, image: CatalogImage) -> None:
        """Take over what a checkpoint has kept."""
        self._databases = {database.name: database for database in image.databases}
        self._triggers = {trigger.id: trigger for trigger in image.triggers}
        self._next_database_id = image.next_database_id
        self._next_trigger_id = image.next_trigger_id
        self.tokens.restore(image.tokens)
        if not isinstance(image.deleted, msgspec.UnsetType):
            self.deleted.restore(image.deleted)
        self.caches.restore(
            CachesImage() if isinstance(image.caches, msgspec.UnsetType) else image.caches
        )

    def _remove(self, database_id: DatabaseId) -> None:
        self._databases = {
            name: database
            for name, database in self._databases.items()
            if database.id != database_id
        }
        self._triggers = {
            trigger_id: trigger
            for trigger_id, trigger in self._triggers.items()
            if trigger.database_id != database_id
        }
        self.caches.drop(database_id)

    def _lose_table(self, database_id: DatabaseId, table: str) -> None:
        self._set_retention(SetRetention(database_id, None, table))
        self.caches.drop(database_id, table)

    def _set_retention(self, change: SetRetention) -> None:
        for database in self._databases.values():
            if database.id != change.database_id:
                continue
            if change.table is None:
                changed = msgspec.structs.replace(database, retention_ns=change.retention_ns)
            else:
                known = database.table_retention_ns
                tables = {} if isinstance(known, msgspec.UnsetType) else dict(known)
                tables.pop(change.table, None)
                if change.retention_ns is not None:
                    tables[change.table] = change.retention_ns
                changed = msgspec.structs.replace(
                    database, table_retention_ns=tables or msgspec.UNSET
                )
            self._databases[database.name] = changed
            return

    def _set_disabled(self, trigger_id: TriggerId, *, disabled: bool, reason: str) -> None:
        trigger = self._triggers.get(trigger_id)
        if trigger is not None:
            self._triggers[trigger_id] = msgspec.structs.replace(
                trigger, disabled=disabled, disabled_reason=reason
            )
