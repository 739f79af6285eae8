# Owns the words in which a route says what it takes and gives. openapi.py and the reference in
# docs/ are made of them.
"""Descriptions of parameters, bodies and answers."""

import msgspec


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the URL."""

    name: str
    text: str = ""
    required: bool = False
    # A type of JSON Schema.
    kind: str = "string"
    choices: tuple[str, ...] = ()


class JsonBody(msgspec.Struct, frozen=True):
    """A body of JSON with the fields of `kind`."""

    kind: type[msgspec.Struct]
    # Whether the same fields may come as parameters of the URL, without any body.
    may_be_parameters: bool = False


class RawBody(msgspec.Struct, frozen=True):
    """Any other body."""

    media_type: str
    text: str
    required: bool = True


class Answer(msgspec.Struct, frozen=True):
    """The answer when all goes well."""

    status: int = 200
    text: str = ""
    media_types: tuple[str, ...] = ()


DATABASE = Parameter("db", "database", required=True)
SOME_DATABASE = Parameter("db", "only this database")
FORMAT = Parameter(
    "format",
    "form of the answer; without it the Accept header decides",
    choices=("json", "jsonl", "csv", "pretty", "parquet"),
)
TABLE_TYPES = (
    "application/json",
    "application/jsonl",
    "text/csv",
    "text/plain",
    "application/vnd.apache.parquet",
)
