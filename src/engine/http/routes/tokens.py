# Owns the routes of tokens. The text of a token leaves the server once, in the answer that creates
# it.
"""Token routes."""

import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from engine.catalog.catalog import validate_database_name
from engine.catalog.model import Token
from engine.catalog.permissions import (
    ADMIN_PERMISSION,
    ANY_DATABASE,
    METRICS_PERMISSION,
    canonical_permission,
)
from engine.catalog.tokens import OPERATOR_NAME, TOKEN_RANDOM_BYTES, hash_of, new_secret
from engine.errors import AlreadyExistsError, EndpointDisabledError, RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response, json_response
from engine.http.route_description import FORMAT, TABLE_TYPES, Answer, JsonBody, Parameter
from engine.http.routes.configure import read_json, table_response
from engine.http.routes.query import pick_format
from engine.http.routing import Route
from engine.http.services import Services

PATH = "/api/v3/configure/token"

COLUMNS = ("token_id", "name", "hash", "created_at", "updated_at", "expiry", "permissions")

_SECONDS_MAX = 100 * 366 * 86_400
_Seconds = Annotated[int, msgspec.Meta(ge=1, le=_SECONDS_MAX)]


class AdminTokenBody(msgspec.Struct, frozen=True):
    """POST /api/v3/configure/token/named_admin."""

    token_name: str
    expiry_secs: _Seconds | None = None


class TokenBody(msgspec.Struct, frozen=True):
    """POST /api/v3/configure/token."""

    token_name: str
    permissions: list[str]
    expiry_secs: _Seconds | None = None


def _time(time_ns: int | None) -> str | None:
    if time_ns is None:
        return None
    moment = datetime.fromtimestamp(time_ns / 1e9, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _row(token: Token) -> dict[str, Any]:
    return {
        "token_id": token.id,
        "name": token.name,
        "hash": token.hash.hex(),
        "created_at": _time(token.created_ns),
        "updated_at": _time(token.updated_ns),
        "expiry": _time(token.expiry_ns),
        "permissions": ", ".join(token.permissions),
    }


def _created(token: Token, secret: str) -> Response:
    content = {
        "id": token.id,
        "name": token.name,
        "token": secret,
        "hash": token.hash.hex(),
        "created_at": _time(token.created_ns),
        "expiry": _time(token.expiry_ns),
        "permissions": list(token.permissions),
    }
    answer = json_response(content, 201)
    answer.headers.append(("cache-control", "no-store"))
    return answer


def _checked_permissions(texts: list[str]) -> list[str]:
    permissions = list(dict.fromkeys(canonical_permission(text) for text in texts))
    if not permissions:
        raise RequestError("a token needs at least one permission")
    for permission in permissions:
        name = permission.split(":")[1]
        if permission != METRICS_PERMISSION and name != ANY_DATABASE:
            validate_database_name(name)
    return permissions


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    writer = services.catalog_writer
    tokens = services.catalog.tokens

    def refuse_without_auth() -> None:
        if services.config.without_auth:
            raise EndpointDisabledError("endpoint disabled, started without auth")

    async def create(name: str, permissions: list[str], expiry_secs: int | None = None) -> Response:
        secret = new_secret(secrets.token_bytes(TOKEN_RANDOM_BYTES))
        expiry_ns = (
            None if expiry_secs is None else services.clock.now_ns() + expiry_secs * 1_000_000_000
        )
        token = await writer.create_token(
            name, digest=hash_of(secret), permissions=permissions, expiry_ns=expiry_ns
        )
        return _created(token, secret)

    async def create_operator(request: Request) -> Response:
        refuse_without_auth()
        if any(token.name == OPERATOR_NAME for token in tokens.all()):
            raise AlreadyExistsError(
                f"token name already exists, {OPERATOR_NAME}",
                hint="headrace create token --admin --regenerate makes a new one and voids it",
            )
        return await create(OPERATOR_NAME, [ADMIN_PERMISSION])

    async def regenerate_operator(request: Request) -> Response:
        refuse_without_auth()
        secret = new_secret(secrets.token_bytes(TOKEN_RANDOM_BYTES))
        token = await writer.regenerate_token(OPERATOR_NAME, digest=hash_of(secret))
        return _created(token, secret)

    async def create_admin(request: Request) -> Response:
        refuse_without_auth()
        body = await read_json(request, AdminTokenBody)
        if not tokens.has_admin and body.expiry_secs is not None:
            raise RequestError(
                "the first admin token cannot expire: nobody could administer the server then",
                hint="create it without expiry, and others with one",
            )
        return await create(body.token_name, [ADMIN_PERMISSION], body.expiry_secs)

    async def create_token(request: Request) -> Response:
        refuse_without_auth()
        body = await read_json(request, TokenBody)
        permissions = _checked_permissions(body.permissions)
        return await create(body.token_name, permissions, body.expiry_secs)

    async def list_tokens(request: Request) -> Response:
        result_format = pick_format(
            request.query_parameters().get("format"), request.headers.get("accept", "")
        )
        return table_response(COLUMNS, [_row(token) for token in tokens.all()], result_format)

    async def delete_token(request: Request) -> Response:
        refuse_without_auth()
        name = request.query_parameters().get("token_name")
        if name is None:
            raise RequestError("missing query parameter 'token_name'")
        await writer.delete_token(name)
        return Response(200)

    created = Answer(201, "the token, with its text", ("application/json",))
    return [
        Route(
            ("POST",),
            f"{PATH}/admin",
            create_operator,
            "Create the admin token",
            Right.ADMIN,
            answer=created,
        ),
        Route(
            ("POST",),
            f"{PATH}/admin/regenerate",
            regenerate_operator,
            "Give the admin token a new text",
            Right.ADMIN,
            answer=created,
        ),
        Route(
            ("POST",),
            f"{PATH}/named_admin",
            create_admin,
            "Create a further admin token",
            Right.ADMIN,
            body=JsonBody(AdminTokenBody),
            answer=created,
        ),
        Route(
            ("POST",),
            PATH,
            create_token,
            "Create a token for databases",
            Right.ADMIN,
            body=JsonBody(TokenBody),
            answer=created,
        ),
        Route(
            ("GET",),
            PATH,
            list_tokens,
            "List tokens, without their texts",
            Right.ADMIN,
            parameters=(FORMAT,),
            answer=Answer(200, "a table", TABLE_TYPES),
        ),
        Route(
            ("DELETE",),
            PATH,
            delete_token,
            "Delete a token",
            Right.ADMIN,
            parameters=(Parameter("token_name", required=True),),
        ),
    ]
