# Owns the OpenAPI description, made of the routing table so that the two cannot differ.
"""The OpenAPI description of the API."""

from collections.abc import Sequence
from typing import Any

import msgspec

import engine
from engine.http.access import Right
from engine.http.asgi import Request, Response, json_response
from engine.http.bodies import LARGE_BODIES, SMALL_BODIES
from engine.http.route_description import Answer, JsonBody, Parameter, RawBody
from engine.http.routing import Route

PATH = "/openapi.json"


_REFUSAL = {
    "description": "a refusal",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
}


class ErrorBody(msgspec.Struct):
    """What every refusal says."""

    error: str
    code: str
    hint: str
    data: list[dict[str, Any]] | dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


def route(table: Sequence[Route]) -> Route:
    """The route that describes `table`, which may still grow."""
    made: list[dict[str, Any]] = []

    async def describe(request: Request) -> Response:
        if not made:
            made.append(description(table))
        return json_response(made[0])

    return Route(
        ("GET",),
        PATH,
        describe,
        "This API in OpenAPI's words",
        Right.ANY,
        answer=Answer(200, "OpenAPI 3.1", ("application/json",)),
    )


def description(table: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of `table`."""
    kinds = {one.body.kind for one in table if isinstance(one.body, JsonBody)} | {ErrorBody}
    _, components = msgspec.json.schema_components(
        sorted(kinds, key=lambda kind: kind.__name__), ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for one in table:
        path = one.path.replace("/*", "/{path}")
        for method in one.methods:
            paths.setdefault(path, {})[method.lower()] = _operation(one, method)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Headrace", "version": engine.__version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(one: Route, method: str) -> dict[str, Any]:
    words = [word for word in one.path.replace("*", "path").split("/") if word]
    operation: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *words]),
        "summary": one.summary,
        "x-right": str(one.right),
        "security": [] if one.right is Right.NONE else [{"bearer": []}, {"basic": []}],
        "responses": {
            str(one.answer.status): _answer(one.answer),
            "default": _REFUSAL,
        },
    }
    parameters = [_parameter(parameter) for parameter in one.parameters_for(method)]
    if one.path.endswith("/*"):
        parameters.append(
            {"name": "path", "in": "path", "required": True, "schema": {"type": "string"}}
        )
    if parameters:
        operation["parameters"] = parameters
    body = _body(one) if method not in ("GET", "HEAD") else None
    if body is not None:
        operation["requestBody"] = body
        setting = LARGE_BODIES if one.has_large_body else SMALL_BODIES
        refusal = f"the body is larger than the server's {setting}"
        operation["responses"]["413"] = {**_REFUSAL, "description": refusal}
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.kind}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    shown = {"name": parameter.name, "in": "query", "required": parameter.required}
    if parameter.text:
        shown["description"] = parameter.text
    return {**shown, "schema": schema}


def _body(one: Route) -> dict[str, Any] | None:
    match one.body:
        case JsonBody(kind=kind, may_be_parameters=may_be_parameters):
            schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
            content = {"application/json": {"schema": schema}}
            return {"required": not may_be_parameters, "content": content}
        case RawBody(media_type=media_type, text=text, required=required):
            schema_of_text = {media_type: {"schema": {"type": "string"}}}
            return {"required": required, "description": text, "content": schema_of_text}
        case _:
            return None


def _answer(answer: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": answer.text or "done"}
    if answer.media_types:
        shown["content"] = {media_type: {} for media_type in answer.media_types}
    return shown
