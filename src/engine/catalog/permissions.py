# Owns what a permission text means: who may do what. The texts are stored in tokens and shown to
# users; everything else asks the `Rights` made of them.
"""Permissions of tokens."""

from collections.abc import Iterable
from enum import StrEnum

from engine.catalog.model import INTERNAL_DATABASE
from engine.errors import RequestError

ADMIN_PERMISSION = "*:*:*"
METRICS_PERMISSION = "system:metrics:read"
# Stands for every database, but not for the internal one, which shows things of all.
ANY_DATABASE = "*"

_HINT = (
    "write db:NAME:read, db:NAME:write or db:NAME:read,write (NAME may be * for all databases), or "
    f"{METRICS_PERMISSION}"
)


class Action(StrEnum):
    """What can be done with the rows of a database."""

    READ = "read"
    WRITE = "write"


class Rights:
    """What the bearer of a token may do."""

    __slots__ = ("_databases", "is_admin", "may_read_metrics")

    def __init__(self, permissions: Iterable[str]) -> None:
        """Understand `permissions`, which `canonical_permission` has seen."""
        self.is_admin = False
        self.may_read_metrics = False
        self._databases: dict[str, frozenset[str]] = {}
        for permission in permissions:
            if permission == ADMIN_PERMISSION:
                self.is_admin = self.may_read_metrics = True
            elif permission == METRICS_PERMISSION:
                self.may_read_metrics = True
            else:
                _, name, actions = permission.split(":")
                known = self._databases.get(name, frozenset())
                self._databases[name] = known | set(actions.split(","))

    def allow(self, action: Action, database: str) -> bool:
        """Whether `action` on `database` is permitted."""
        if self.is_admin:
            return True
        actions = self._databases.get(database)
        if actions is not None and action in actions:
            return True
        every = self._databases.get(ANY_DATABASE)
        return every is not None and action in every and database != INTERNAL_DATABASE

    def allow_somewhere(self, action: Action) -> bool:
        """Whether `action` is permitted on any database at all."""
        return self.is_admin or any(action in actions for actions in self._databases.values())


ALL_RIGHTS = Rights([ADMIN_PERMISSION])


def canonical_permission(text: str) -> str:
    """`text` in the form in which it is stored: no blanks, actions without repetition, in order.

    Raises:
        RequestError: It is not the permission of a database, or of the metrics.
    """
    if text.strip() == METRICS_PERMISSION:
        return METRICS_PERMISSION
    parts = [part.strip() for part in text.split(":")]
    if len(parts) != 3 or parts[0] != "db" or not parts[1]:
        raise RequestError(f"'{text}' is not a permission", hint=_HINT)
    given = {action.strip() for action in parts[2].split(",")}
    unknown = sorted(given - {action.value for action in Action})
    if unknown:
        raise RequestError(f"'{text}': no such action: '{unknown[0]}'", hint=_HINT)
    actions = ",".join(action.value for action in Action if action.value in given)
    return f"db:{parts[1]}:{actions}"
