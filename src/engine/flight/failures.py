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

    pyarrow knows statuses for its own errors and, by their kind, for some of Python's. To the
    latter it adds the whole traceback, with paths and lines of our source, unless the traceback
    cannot be written. This makes sure that it cannot.
    """

    @property
    def __cause__(self) -> Any:  # type: ignore[override]  # it is not to be written
        """Never there to be written."""
        raise AttributeError("errors for Flight clients have no traceback")

    def __str__(self) -> str:
        """The text."""
        return str(self.args[0])


class InvalidArgument(_BareError, ValueError):  # noqa: N818  # named after the status that it becomes
    """Status INVALID_ARGUMENT."""


class NotFound(_BareError, KeyError):  # noqa: N818  # named after the status that it becomes
    """Status NOT_FOUND."""


class Unimplemented(_BareError, NotImplementedError):  # noqa: N818  # named after the status
    """Status UNIMPLEMENTED."""


# The first class that matches decides: subclasses stand before their bases.
_KINDS: list[tuple[type[EngineError], type[Exception]]] = [
    (UnauthenticatedError, flight.FlightUnauthenticatedError),
    (MalformedCredentialsError, flight.FlightUnauthenticatedError),
    (TooManyFailuresError, flight.FlightUnavailableError),
    (AuthError, flight.FlightUnauthorizedError),
    (DatabaseNotFoundError, NotFound),
    (QueryNotSupportedError, Unimplemented),
    (QueryTimeoutError, flight.FlightTimedOutError),
    (QueryCancelledError, flight.FlightCancelledError),
    # There is no RESOURCE_EXHAUSTED in pyarrow; UNKNOWN is not tried again by clients.
    (QueryResourceError, flight.FlightServerError),
    (QueryError, InvalidArgument),
    (RequestError, InvalidArgument),
    (CatalogError, InvalidArgument),
    (WalError, flight.FlightUnavailableError),
    (BackPressureError, flight.FlightUnavailableError),
    (ShuttingDownError, flight.FlightUnavailableError),
]


def failure_of(error: EngineError) -> Exception:
    """`error` as what a method of the Flight service raises."""
    kind = next(
        (kind for source, kind in _KINDS if isinstance(error, source)), flight.FlightServerError
    )
    return kind(f"{error.message} ({error.hint})" if error.hint else error.message)
