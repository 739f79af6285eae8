# Owns reading the shared vectors for the tests of line protocol and of the builder.
"""The shared vectors as Python objects."""

import base64
import json
from typing import Any

from tests.support.shared import require_shared

Vector = dict[str, Any]


def load_vectors(name: str) -> list[Vector]:
    """Return the vectors of one file, without the uncertain ones, or skip the running test."""
    path = require_shared() / "vectors" / name
    with path.open(encoding="utf-8") as lines:
        vectors = [json.loads(line) for line in lines]
    return [vector for vector in vectors if not vector.get("uncertain")]


def body_of(vector: Vector) -> bytes:
    """Return the request body of a line protocol vector."""
    if "input_b64" in vector:
        return base64.b64decode(vector["input_b64"])
    body = vector["input"]
    for token, (character, count) in vector.get("expand", {}).items():
        body = body.replace(token, character * count)
    return str(body).encode("utf-8")


def expanded_points(vector: Vector) -> list[Vector]:
    """Return the expected points with the placeholders of long texts filled in."""
    text = json.dumps(vector["points"])
    for token, (character, count) in vector.get("expand", {}).items():
        text = text.replace(token, character * count)
    points: list[Vector] = json.loads(text)
    return points


def rendered_value(kind: str, value: float | int | str | bool) -> str:
    """Return a field value as the vectors spell it."""
    if kind == "bool":
        return "true" if value else "false"
    return repr(value) if kind == "float" else str(value)
