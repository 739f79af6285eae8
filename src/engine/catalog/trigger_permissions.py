# Owns what the permissions of a trigger mean: which ones it can be given, and the refusal of what
# they do not allow. They are texts as those of tokens. Whoever does something for a plugin
# (dispatcher, runs, dry runs) asks here, in the server: what a plugin's process says of itself
# counts for nothing.
"""Permissions of triggers."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import msgspec

from engine.catalog.catalog import DATABASE_NAME_BYTES_MAX, validate_database_name
from engine.catalog.permissions import (
    ADMIN_PERMISSION,
    ANY_DATABASE,
    METRICS_PERMISSION,
    Action,
    Rights,
    canonical_permission,
)
from engine.errors import RequestError, TriggerRightsError

# Of a trigger that was given none.
EVERYTHING = (ADMIN_PERMISSION,)


def chosen_permissions(
    texts: Sequence[str] | None, database: str, *, is_own_only: bool
) -> tuple[str, ...]:
    """The permissions that `texts` ask for; of a trigger of `database`.

    Without texts everything, or its own database where `is_own_only`; with none of them nothing.

    Raises:
        RequestError: One of them is not the permission of a database, nor of everything.
        InvalidNameError: No database can have that name.
    """
    if texts is None and is_own_only:
        validate_database_name(database)
        texts = [f"db:{database}:{','.join(Action)}"]
    if texts is None:
        return EVERYTHING
    actions: dict[str, set[str]] = {}
    for text in texts:
        if text == ADMIN_PERMISSION:
            continue
        permission = canonical_permission(text)
        if permission == METRICS_PERMISSION:
            raise RequestError(
                f"a trigger cannot be given '{permission}'", hint="only rights on databases"
            )
        _, name, given = permission.split(":")
        if name != ANY_DATABASE:
            validate_database_name(name)
        actions.setdefault(name, set()).update(given.split(","))
    if ADMIN_PERMISSION in texts:
        return EVERYTHING
    return tuple(
        canonical_permission(f"db:{name}:{','.join(actions[name])}") for name in sorted(actions)
    )


def stored_permissions(permissions: tuple[str, ...]) -> tuple[str, ...] | msgspec.UnsetType:
    """`permissions` as the catalog keeps them."""
    return msgspec.UNSET if permissions == EVERYTHING else permissions


class Holder(Protocol):
    """A trigger, as far as it matters here."""

    @property
    def permissions(self) -> tuple[str, ...] | msgspec.UnsetType:
        """As they are stored."""


def permissions_of(trigger: Holder) -> tuple[str, ...]:
    """What `trigger` may do."""
    return EVERYTHING if isinstance(trigger.permissions, msgspec.UnsetType) else trigger.permissions


def require(permissions: tuple[str, ...], trigger: str, action: Action, database: str) -> None:
    """The trigger of that name wants `action` on `database`: go on only if it may do that.

    Raises:
        TriggerRightsError: Its `permissions` do not allow it.
    """
    if not _rights(permissions).allow(action, database):
        # A plugin may take anything for a name, of any length.
        cut = len(database) > DATABASE_NAME_BYTES_MAX
        shown = database[:DATABASE_NAME_BYTES_MAX] + "…" * cut
        raise TriggerRightsError(
            f"trigger '{trigger}' has no right to {action} database '{shown}'",
            hint=f"it would need --database-rights {shown}:{action}",
        )


@lru_cache(maxsize=1024)
def _rights(permissions: tuple[str, ...]) -> Rights:
    return Rights(permissions)
