# Owns the names of the rights that routes need, and the question of a handler whether the client of
# its request may touch a database. Who the client is, auth.py has found out before.
"""Rights of routes and requests."""

from enum import StrEnum

from engine.catalog.permissions import Action, Rights
from engine.errors import ForbiddenError


class Right(StrEnum):
    """What a client must be allowed to do to use a route."""

    # Everything.
    ADMIN = "admin"
    # Read or write the database that the request is about; the handler says which one that is.
    READ = "database read"
    WRITE = "database write"
    # As READ; one statement of InfluxQL, CREATE DATABASE, needs the right to write instead.
    INFLUXQL = "database read (to create it: write)"
    METRICS = "metrics"
    # Any valid token; the handler shows each what it may see.
    ANY = "any"
    # Nothing, not even a token.
    NONE = "none"


_ACTIONS = {Right.READ: Action.READ, Right.WRITE: Action.WRITE, Right.INFLUXQL: Action.READ}


class Access:
    """What the client of one request may do on the route that it has chosen."""

    __slots__ = ("_rights", "expiry_ns", "is_checked", "right", "version")

    def __init__(
        self, rights: Rights, right: Right, *, version: int = 0, expiry_ns: int | None = None
    ) -> None:
        """`rights` of the client meet the `right` that the route needs.

        They are those of the tokens' `version`, and end at `expiry_ns`.

        Raises:
            ForbiddenError: They do not suffice, whatever the database.
        """
        self._rights = rights
        self.right = right
        self.version = version
        self.expiry_ns = expiry_ns
        # Whether the handler has asked about its database. The application does not send the answer
        # of one that should have and did not.
        self.is_checked = right not in _ACTIONS
        if rights.is_admin or right in (Right.ANY, Right.NONE):
            return
        if right is Right.METRICS:
            is_allowed = rights.may_read_metrics
        else:
            is_allowed = right is not Right.ADMIN and (
                rights.allow_somewhere(_ACTIONS[right])
                or (right is Right.INFLUXQL and rights.allow_somewhere(Action.WRITE))
            )
        if not is_allowed:
            raise _forbidden(f"this route needs the right: {right}")

    def require(self, database: str) -> None:
        """The request is about `database`: go on only if the client may do that.

        Raises:
            ForbiddenError: It may not.
        """
        self.is_checked = True
        action = _ACTIONS[self.right]
        if not self._rights.allow(action, database):
            raise _forbidden(f"the token has no right to {action} database '{database}'")

    def none_required(self) -> None:
        """What is asked is about no database."""
        self.is_checked = True

    def may(self, action: Action, database: str) -> bool:
        """Whether the client may do `action` on `database`."""
        return self._rights.allow(action, database)

    def may_see(self, database: str) -> bool:
        """Whether the client may know of `database` at all."""
        return any(self._rights.allow(action, database) for action in Action)

    def may_read(self, database: str) -> bool:
        """Whether the client may read `database`."""
        return self._rights.allow(Action.READ, database)


def _forbidden(hint: str) -> ForbiddenError:
    return ForbiddenError("unauthorized to perform requested action with the token", hint=hint)
