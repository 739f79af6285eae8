# Owns the statuses of Flight that errors become, as http/error_responses.py owns those of HTTP.
"""Errors as Flight clients see them."""

from typing import Any

from pyarrow import flight

from engine.errors import (
    AuthError,
    BackPressureError,
    CatalogError,
    DatabaseNotFoundError,
    EngineError,
    MalformedCredentialsError,
    QueryCancelledError,
    QueryError,
    QueryNotSupportedError,
    QueryResourceError,
    QueryTimeoutError,
    RequestError,
    TooManyFailuresError,
    UnauthenticatedError,
    WalError,
)
from engine.http.bodies import ShuttingDownError


class _BareError(Exception):
    """An error of which Arrow tells the client the text, but no traceback.

    pyarrow has statuses for its own errors and, by their kind, for some of Python's. To the latter
    (and to all in GetSchema, where the former become UNKNOWN) it adds the whole traceback, with
    paths and lines of our source, unless it cannot be written. This makes sure that it cannot.
    """

    @property
    def __cause__(self) -> Any:  # type: ignore[override]  # it is not to be written
        """Never there to be written."""
        raise AttributeError("errors for Flight clients have no traceback")

    def __str__(self) -> str:
        """The text."""
        return str(self.args[0])


# Named after the statuses that they become, which clients are shown.


class InvalidArgument(_BareError, ValueError):  # noqa: N818  # as above
    """Status INVALID_ARGUMENT."""


class NotFound(_BareError, KeyError):  # noqa: N818  # as above
    """Status NOT_FOUND."""


class Unimplemented(_BareError, NotImplementedError):  # noqa: N818  # as above
    """Status UNIMPLEMENTED."""


class Unauthenticated(_BareError, flight.FlightUnauthenticatedError):  # type: ignore[misc]  # noqa: N818
    """Status UNAUTHENTICATED."""


class PermissionDenied(_BareError, flight.FlightUnauthorizedError):  # type: ignore[misc]  # noqa: N818
    """Status PERMISSION_DENIED."""


class DeadlineExceeded(_BareError, flight.FlightTimedOutError):  # type: ignore[misc]  # noqa: N818
    """Status DEADLINE_EXCEEDED."""


class Cancelled(_BareError, flight.FlightCancelledError):  # type: ignore[misc]  # noqa: N818
    """Status CANCELLED."""


class Unavailable(_BareError, flight.FlightUnavailableError):  # type: ignore[misc]  # noqa: N818
    """Status UNAVAILABLE: clients try again."""


class Failed(_BareError, flight.FlightServerError):  # type: ignore[misc]  # noqa: N818
    """Status UNKNOWN: clients do not try again."""


class Internal(_BareError, flight.FlightInternalError):  # type: ignore[misc]  # noqa: N818
    """Status INTERNAL: an error of ours."""


# The first class that matches decides: subclasses stand before their bases.
_KINDS: list[tuple[type[EngineError], type[_BareError]]] = [
    (UnauthenticatedError, Unauthenticated),
    (MalformedCredentialsError, Unauthenticated),
    (TooManyFailuresError, Unavailable),
    (AuthError, PermissionDenied),
    (DatabaseNotFoundError, NotFound),
    (QueryNotSupportedError, Unimplemented),
    (QueryTimeoutError, DeadlineExceeded),
    (QueryCancelledError, Cancelled),
    # pyarrow has no RESOURCE_EXHAUSTED.
    (QueryResourceError, Failed),
    (QueryError, InvalidArgument),
    (RequestError, InvalidArgument),
    (CatalogError, InvalidArgument),
    (WalError, Unavailable),
    (BackPressureError, Unavailable),
    (ShuttingDownError, Unavailable),
]


def failure_of(error: EngineError) -> Exception:
    """`error` as what a method of the Flight service raises."""
    kind = next((kind for source, kind in _KINDS if isinstance(error, source)), Failed)
    return kind(f"{error.message} ({error.hint})" if error.hint else error.message)
