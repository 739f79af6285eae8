# Owns the reading of forms in bodies, urlencoded or in parts, as version 1's clients send their
# questions. What the parameters mean is said by the routes.
"""Forms in bodies of requests."""

import re
from urllib.parse import parse_qsl

from engine.errors import RequestError

URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"

_PARAMETERS_MAX = 100
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:[^\r\n]*;\s*name=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)


def media_type(content_type: str) -> str:
    """The type that a Content-Type header names, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_form(content_type: str) -> bool:
    """Whether a body of that type is a form."""
    return media_type(content_type) in (URLENCODED, _MULTIPART)


def form_of(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a form, and the files of one in parts.

    Raises:
        RequestError: It is none, or has too many fields.
    """
    if media_type(content_type) == URLENCODED:
        return _urlencoded(body)
    return _multipart(body, content_type)


def _urlencoded(body: bytes) -> dict[str, str]:
    """Of a repeated name the last."""
    text = text_of(body)
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_PARAMETERS_MAX)
    except ValueError as error:
        raise _too_many() from error
    return dict(fields)


def _multipart(body: bytes, content_type: str) -> dict[str, str]:
    """Of a repeated name the first."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise RequestError("the form says no boundary of its parts")
    line = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1", "replace")
    parts = (b"\r\n" + body).split(line, _PARAMETERS_MAX + 2)
    if len(parts) > _PARAMETERS_MAX + 2:
        raise _too_many()
    # Before the first boundary and behind the last, which ends with two hyphens, stands nothing.
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise RequestError("the form ends before its last part does")
    fields: dict[str, str] = {}
    for part in parts[1:-1]:
        head, blank, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not blank or name is None:
            raise RequestError("a part of the form has no name")
        fields.setdefault(text_of(name[1] or name[2] or b""), text_of(content))
    return fields


def text_of(body: bytes) -> str:
    """`body` as text.

    Raises:
        RequestError: It is not UTF-8.
    """
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is not UTF-8: {error}") from error


def _too_many() -> RequestError:
    return RequestError(f"the form has more than {_PARAMETERS_MAX} parameters")
