# Owns the reading of JSON that clients send: whatever is wrong with it is said as their error.
"""JSON from clients."""

from typing import TypeVar

import msgspec

from engine.errors import RequestError

_Content = TypeVar("_Content")


def decoded(
    text: bytes | str, kind: type[_Content], what: str = "serde json error", *, hint: str = ""
) -> _Content:
    """`text` as `kind`; `what` begins the message where it is none.

    Raises:
        RequestError: It is not JSON, not UTF-8, of another shape, or nested without end.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{what}: {error}", hint=hint) from error
    except RecursionError as error:
        raise RequestError(f"{what}: it is nested too deeply", hint=hint) from error
