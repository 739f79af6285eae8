# Owns how the return value of a request plugin becomes an HTTP response: Flask's conventions, wider
# where the reference fails (bytes, None, real Flask objects). Runs in the worker.
"""Responses of request plugins."""

import json
import re
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

from engine.plugins.channel import Response

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BYTES_TYPES = (bytes, bytearray, memoryview)
# The server frames the message itself; a plugin's own value could only be wrong.
_FRAMING_HEADERS = frozenset(("connection", "content-length", "keep-alive", "transfer-encoding"))
_STATUSES_WITHOUT_BODY = frozenset((204, 304))


class StreamedResponse(NamedTuple):
    """A response whose body comes piece by piece."""

    status: int
    headers: list[tuple[str, str]]
    pieces: Generator[bytes, None, None]


_Body = bytes | Generator[bytes, None, None]


def to_response(value: Any) -> Response | StreamedResponse:
    """Builds the response for what a plugin returned.

    Accepted are str, bytes, dict, list, None, a generator or other iterator of text or bytes
    (streamed), another iterable of them (joined), an object with ``status_code``, ``headers`` and
    ``get_data()`` as Flask's, and tuples of any of these as ``(body, status)``, ``(body,
    headers)`` and ``(body, status, headers)``.

    Raises:
        TypeError: The value, or a part of it, has no meaning as a response.
        ValueError: The status or a header is not valid HTTP.
    """
    if isinstance(value, tuple) and 1 <= len(value) <= 3:
        return _from_tuple(value)
    status, headers, body = _from_value(value, in_tuple=False)
    return _finished(status, headers, body)


def _from_tuple(parts: tuple[Any, ...]) -> Response | StreamedResponse:
    status, headers, body = _from_value(parts[0], in_tuple=True)
    extra: list[tuple[str, str]] = []
    if len(parts) >= 2:
        if _is_headers(parts[1]):
            extra += _header_items(parts[1])
        elif parts[1] is not None:
            status = _status(parts[1])
    if len(parts) == 3 and parts[2] is not None:
        if not _is_headers(parts[2]):
            raise TypeError(f"expected a dictionary in header item, got {type(parts[2]).__name__}")
        extra += _header_items(parts[2])
    return _finished(status, _merged(headers, extra), body)


def _from_value(value: Any, *, in_tuple: bool) -> tuple[int, list[tuple[str, str]], _Body]:
    if _is_response_object(value):
        headers = _merged([], _header_items(value.headers))
        if getattr(value, "is_streamed", False) and callable(getattr(value, "iter_encoded", None)):
            return _status(value.status_code), headers, _encoded(value.iter_encoded())
        data = value.get_data()
        body = data.encode() if isinstance(data, str) else bytes(data)
        return _status(value.status_code), headers, body
    if isinstance(value, str):
        return 200, _content_type("text/html"), value.encode()
    if isinstance(value, dict | list):
        return 200, _content_type("application/json"), json.dumps(value).encode()
    if isinstance(value, _BYTES_TYPES):
        return 200, _content_type("application/octet-stream"), bytes(value)
    if value is None:
        return 204, [], b""
    if isinstance(value, Iterator):
        return 200, _content_type("text/html"), _encoded(value)
    if isinstance(value, Iterable):
        return 200, _content_type("text/html"), b"".join(_encoded(value))
    if in_tuple:
        return 200, _content_type("text/plain"), str(value).encode()
    raise TypeError(f"Unsupported return type from Python function: {type(value).__name__}")


def _is_response_object(value: Any) -> bool:
    return (
        hasattr(value, "status_code")
        and hasattr(value, "headers")
        and callable(getattr(value, "get_data", None))
    )


def _encoded(items: Iterable[Any]) -> Generator[bytes, None, None]:
    try:
        for item in items:
            if isinstance(item, str):
                yield item.encode()
            elif isinstance(item, _BYTES_TYPES):
                yield bytes(item)
            else:
                raise TypeError(
                    "an iterable response must yield str or bytes, it yielded "
                    f"{type(item).__name__}"
                )
    finally:
        # When the client leaves early the plugin's generator shall clean up now, as in Flask.
        close = getattr(items, "close", None)
        if callable(close):
            close()


def _status(value: Any) -> int:
    text = value.split(" ", 1)[0] if isinstance(value, str) else value  # "404 NOT FOUND"
    if isinstance(text, bool):
        raise TypeError("the status of a response must be a number, not bool")
    try:
        status = int(text)
    except (TypeError, ValueError):
        raise TypeError(f"the status of a response must be a number, not {value!r}") from None
    if not 200 <= status <= 999:
        raise ValueError(f"the status of a response must be between 200 and 999, not {status}")
    return status


def _is_headers(value: Any) -> bool:
    return isinstance(value, dict | list) or callable(getattr(value, "items", None))


def _header_items(headers: Any) -> list[tuple[str, str]]:
    items = headers.items() if callable(getattr(headers, "items", None)) else headers
    checked = []
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise TypeError(f"headers must be a dictionary or (name, value) pairs, got {item!r}")
        checked.append(_checked_header(*item))
    return checked


def _checked_header(name: Any, value: Any) -> tuple[str, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"header {name!r} must be a str, not {type(value).__name__}")
    value = value.strip()
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"header name {name!r} is not valid in HTTP")
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]", value):
        raise ValueError(f"the value of header {name!r} has characters that HTTP does not allow")
    return name, value


def _merged(headers: list[tuple[str, str]], extra: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Later headers replace earlier ones of the same name; repeats within ``extra`` stay."""
    replaced = {name.lower() for name, _ in extra}
    return [item for item in headers if item[0].lower() not in replaced] + extra


def _finished(
    status: int, headers: list[tuple[str, str]], body: _Body
) -> Response | StreamedResponse:
    kept = [item for item in headers if item[0].lower() not in _FRAMING_HEADERS]
    if not isinstance(body, bytes):
        if status not in _STATUSES_WITHOUT_BODY:
            return StreamedResponse(status, kept, body)
        body.close()
        body = b""
    return Response(status, kept, b"" if status in _STATUSES_WITHOUT_BODY else body)


def _content_type(content_type: str) -> list[tuple[str, str]]:
    return [("content-type", content_type)]
