# Owns the routes of secrets. Their values come in, and never go out.
"""Secrets over HTTP."""

import asyncio

import msgspec

from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.route_description import FORMAT, TABLE_TYPES, Answer, JsonBody
from engine.http.routes.configure import read_json, read_query_or_json, table_response
from engine.http.routes.query import pick_format
from engine.http.routing import Route
from engine.http.services import Services

PATH = "/api/v3/configure/secret"


class SecretBody(msgspec.Struct, frozen=True):
    """POST: a secret and its value."""

    name: str
    value: str


class SecretNameBody(msgspec.Struct, frozen=True):
    """DELETE: names a secret."""

    name: str


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    secrets = services.secrets

    async def list_secrets(request: Request) -> Response:
        name = request.query_parameters().get("format")
        result_format = pick_format(name, request.headers.get("accept", ""))
        rows = [{"name": name} for name in secrets.names()]
        return table_response(("name",), rows, result_format)

    async def put_secret(request: Request) -> Response:
        body = await read_json(request, SecretBody)
        await asyncio.to_thread(secrets.put, body.name, body.value)
        return Response(200)

    async def delete_secret(request: Request) -> Response:
        body = await read_query_or_json(request, SecretNameBody)
        await asyncio.to_thread(secrets.delete, body.name)
        return Response(200)

    return [
        Route(
            ("GET",),
            PATH,
            list_secrets,
            "List the names of secrets",
            Right.ADMIN,
            parameters=(FORMAT,),
            answer=Answer(200, "a table", TABLE_TYPES),
        ),
        Route(
            ("POST",),
            PATH,
            put_secret,
            "Store a secret, which trigger arguments may name",
            Right.ADMIN,
            body=JsonBody(SecretBody),
        ),
        Route(
            ("DELETE",),
            PATH,
            delete_secret,
            "Delete a secret",
            Right.ADMIN,
            body=JsonBody(SecretNameBody, may_be_parameters=True),
        ),
    ]
