# The only place that turns errors into HTTP statuses and bodies. Bodies are always valid JSON:
# {"error", "data"?, "code", "hint"}, a superset of what clients of the reference system read.
"""Errors as HTTP answers."""

import errno
import logging
from typing import Any

from engine.disk_reserve import RETRY_S as NO_ROOM_RETRY_S
from engine.errors import (
    AlreadyDeletedError,
    AlreadyExistsError,
    AuthError,
    BackPressureError,
    BackupFailedError,
    BackupLimitError,
    BackupNotFoundError,
    BodyTooLargeError,
    CacheNotFoundError,
    CacheTableNotFoundError,
    CatalogError,
    ConfigError,
    DatabaseNotFoundError,
    DeadLetterNotFoundError,
    DiskFullError,
    EndpointDisabledError,
    EngineError,
    FileDamagedError,
    InvalidNameError,
    LastAdminTokenError,
    MalformedCredentialsError,
    PackageInstallError,
    PackagesDisabledError,
    PartialWriteError,
    PluginCrashedError,
    PluginError,
    PluginFetchError,
    PluginTimeoutError,
    QueryError,
    QueryNotSupportedError,
    QueryResourceError,
    QueryTimeoutError,
    RequestError,
    TableMissingError,
    TokenNotFoundError,
    TooManyFailuresError,
    TriggerEnabledError,
    TriggerNotFoundError,
    UnauthenticatedError,
    WalError,
    WriteError,
)
from engine.http.answer_headers import error_header
from engine.http.asgi import Response, UnsupportedMediaTypeError, json_response
from engine.http.bodies import ClientGoneError, ReceiveTimeoutError, ShuttingDownError

logger = logging.getLogger(__name__)

# The first class that matches decides: subclasses stand before their bases.
_STATUSES: list[tuple[type[EngineError], int]] = [
    (DatabaseNotFoundError, 404),
    (TriggerNotFoundError, 404),
    (TableMissingError, 404),
    (CacheNotFoundError, 404),
    (CacheTableNotFoundError, 404),
    (DeadLetterNotFoundError, 404),
    (TokenNotFoundError, 404),
    (BackupNotFoundError, 404),
    (BackupLimitError, 409),
    (BackupFailedError, 503),
    (LastAdminTokenError, 405),
    (AlreadyExistsError, 409),
    (AlreadyDeletedError, 409),
    (TriggerEnabledError, 409),
    (InvalidNameError, 400),
    (CatalogError, 400),
    (BodyTooLargeError, 413),
    (DiskFullError, 507),
    (BackPressureError, 503),
    (WriteError, 400),
    (WalError, 503),
    (UnsupportedMediaTypeError, 415),
    (RequestError, 400),
    (ReceiveTimeoutError, 408),
    (ShuttingDownError, 503),
    (ClientGoneError, 400),
    (QueryNotSupportedError, 405),
    (QueryTimeoutError, 408),
    (QueryResourceError, 503),
    (FileDamagedError, 503),
    (QueryError, 400),
    (PluginTimeoutError, 504),
    (PluginCrashedError, 500),
    (PluginFetchError, 502),
    (PackageInstallError, 422),
    (PackagesDisabledError, 403),
    (PluginError, 400),
    (UnauthenticatedError, 401),
    (MalformedCredentialsError, 400),
    (TooManyFailuresError, 429),
    (EndpointDisabledError, 405),
    (AuthError, 403),
    (ConfigError, 400),
]


def status_of(error: EngineError) -> int:
    """HTTP status for `error`."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def error_response(error: EngineError) -> Response:
    """`error` as an answer."""
    body: dict[str, Any] = {"error": error.message}
    if isinstance(error, PartialWriteError):
        # The reference answers with one object where nothing was stored, with a list where the rest
        # was.
        body["data"] = error.lines if error.stored else error.lines[0]
    body["code"] = error.code
    body["hint"] = error.hint
    response = json_response(body, status_of(error), error_code=error.code)
    return _completed(response, error, error.message)


def _completed(response: Response, error: EngineError, message: str) -> Response:
    response.headers.append(error_header(message))
    if isinstance(error, BackPressureError):
        response.headers.append(("retry-after", str(error.retry_after_s)))
    elif isinstance(error, WalError | ShuttingDownError | TooManyFailuresError):
        response.headers.append(("retry-after", "5"))
    elif isinstance(error, UnauthenticatedError):
        # Not Basic: a browser would ask its user for a name and a password.
        response.headers.append(("www-authenticate", 'Bearer realm="headrace"'))
    return response


def v2_error_response(error: EngineError) -> Response:
    """`error` in the shape that v2 write clients read."""
    status = status_of(error)
    names = {
        400: "invalid",
        401: "unauthorized",
        403: "forbidden",
        404: "not found",
        413: "request too large",
        503: "unavailable",
        507: "insufficient storage",
    }
    message = error.message
    if isinstance(error, PartialWriteError):
        message = (
            f"write buffer error: line protocol parse failed: {error.lines[0]['error_message']}"
        )
    body: dict[str, Any] = {"code": names.get(status, "internal error"), "message": message}
    if isinstance(error, PartialWriteError):
        body["line"] = error.lines[0]["line_number"]
    # What clients of the other versions look for.
    body |= {"error": message, "hint": error.hint}
    return _completed(json_response(body, status, error_code=error.code), error, message)


def disk_full(error: Exception) -> DiskFullError | None:
    """What the client is told when a file could not be written for want of room; None otherwise."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return DiskFullError(
        f"there is no room on the disk: {error.strerror}",
        retry_after_s=NO_ROOM_RETRY_S,
        hint="free space, and send it again",
    )


def not_found_response(hint: str) -> Response:
    """The answer to a path that nothing answers."""
    body = {"error": "not found", "code": "not_found", "hint": hint}
    return json_response(body, 404, error_code="not_found")


def internal_error_response() -> Response:
    """The answer to an error of our own; details go to the log alone."""
    return json_response(
        {
            "error": "internal error",
            "code": "internal_error",
            "hint": "the server's log has the details; please report it",
        },
        500,
        error_code="internal_error",
    )
