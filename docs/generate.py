"""Writes the generated part of http_api.md: `make docs`. A test fails while the two differ."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from engine.http.app import routes
from engine.http.route_description import JsonBody, RawBody
from engine.http.routing import Route

PAGE = Path(__file__).with_name("http_api.md")
START = "<!-- routes: made by `make docs` from the routing table -->\n"
END = "<!-- end of routes -->\n"


class AnyService:
    """Stands for the services of the routes, none of which is called here."""

    def __getattr__(self, name: str) -> "AnyService":
        return self


def described(table: list[Route]) -> str:
    """All routes as a table, and the fields of their bodies."""
    lines = ["| route | right | parameters, body | answer |", "|---|---|---|---|"]
    for route in table:
        methods = ", ".join(route.methods)
        path = route.path.replace("/*", "/PATH")
        answer = f"{route.answer.status} {route.answer.text}".strip()
        takes = "; ".join(part for part in (_parameters(route), _body(route)) if part)
        lines.append(
            f"| `{methods} {path}`<br>{route.summary} | {route.right} | {takes} | {answer} |"
        )
    bodies = {route.body.kind for route in table if isinstance(route.body, JsonBody)}
    lines += ["", "Bodies of JSON (a field with `?` may be left out):", ""]
    for kind in sorted(bodies, key=lambda kind: kind.__name__):
        lines.append(f"- `{kind.__name__}`: {_fields(kind)}")
    return "\n".join(lines) + "\n"


def _parameters(route: Route) -> str:
    shown = []
    for parameter in route.parameters:
        text = f"`{parameter.name}`{'' if parameter.required else '?'}"
        if parameter.choices:
            text += " = " + " ".join(parameter.choices)
        shown.append(f"{text} ({parameter.text})" if parameter.text else text)
    return "; ".join(shown)


def _body(route: Route) -> str:
    match route.body:
        case JsonBody(kind=kind, may_be_parameters=may_be_parameters):
            return f"JSON `{kind.__name__}`" + (" or its fields in the URL" * may_be_parameters)
        case RawBody(text=text):
            return text
        case _:
            return ""


def _fields(kind: type[msgspec.Struct]) -> str:
    schemas, components = msgspec.json.schema_components([kind], ref_template="{name}")
    del schemas
    properties: dict[str, Any] = components[kind.__name__]["properties"]
    required = components[kind.__name__].get("required", [])
    shown = []
    for name, schema in properties.items():
        text = f"`{name}`{'' if name in required else '?'} {_type(schema)}"
        if schema.get("default") not in (None, {}):
            text += f" = {msgspec.json.encode(schema['default']).decode()}"
        shown.append(text)
    return ", ".join(shown)


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "$ref" in schema:
        return f"`{schema['$ref']}`"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("type", "any"))


def generated(page: str) -> str:
    """`page` with its generated part renewed."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + START + described(routes(AnyService())) + END + after  # type: ignore[arg-type]


if __name__ == "__main__":
    content = generated(PAGE.read_text())
    if sys.argv[1:] == ["--check"]:
        sys.exit(content != PAGE.read_text())
    PAGE.write_text(content)
