# Owns the ways in which a client can name its token: the Authorization header in three schemes, and
# the password parameter of version 1. Says nothing about whether the token is worth anything.
"""Tokens in requests."""

import base64

from engine.errors import MalformedCredentialsError, RequestError
from engine.http.asgi import Request
from engine.http.forms import form_of, is_form

# Longer ones are not looked at: ours have 92 characters.
CREDENTIALS_CHARACTERS_MAX = 1024
# Bytes of a form that are read of somebody unknown, to look for a token.
_FORM_BYTES_MAX = 16 * 1024


def token_of_header(header: str) -> str:
    """The token that an Authorization header carries.

    Raises:
        MalformedCredentialsError: It has none of the known forms.
    """
    words = header.split(" ")
    if len(words) != 2 or not words[1] or len(header) > CREDENTIALS_CHARACTERS_MAX:
        raise _malformed()
    match words[0].lower():
        case "bearer" | "token":
            return words[1]
        case "basic":
            return _password(words[1])
        case _:
            raise _malformed()


def password_parameter(request: Request) -> str | None:
    """The ``p`` parameter of the URL, which is a token; None without it."""
    if "p=" not in request.query_string:
        return None
    return request.query_parameters().get("p")


async def password_in_form(request: Request) -> str | None:
    """The ``p`` field of a short form in the body; None without it.

    Raises:
        EngineError: The body does not come.
    """
    content_type = request.headers.get("content-type", "")
    declared = request.declared
    if not declared or declared > _FORM_BYTES_MAX or not is_form(content_type):
        return None
    if "content-encoding" in request.headers:
        return None
    try:
        return form_of(await request.keep_body(), content_type).get("p")
    except RequestError:
        # What is wrong with it is told to those who may ask.
        return None


def _password(encoded: str) -> str:
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        raise _malformed() from None
    _, colon, password = decoded.partition(":")
    if not colon:
        raise _malformed()
    return password


def _malformed() -> MalformedCredentialsError:
    return MalformedCredentialsError(
        "Authorization header was malformed, the request was not in the form of "
        "'Authorization: <auth-scheme> <token>', supported auth-schemes are Bearer, Token and Basic"
    )
