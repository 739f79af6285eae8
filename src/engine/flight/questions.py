# Owns the reading of what clients ask over Flight: tickets of JSON, as the official clients of
# version 3 send them, statements of Flight SQL, and the handles of prepared ones. Runs nothing.
"""Questions of Flight clients."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from engine.errors import RequestError
from engine.http.json_text import decoded

# Names of the header, and of the member of a JSON ticket, that name the database; where several
# are given they must agree.
DATABASE_HEADERS = ("database", "bucket", "bucket-name", "iox-namespace-name")
_TICKET_DATABASE = ("database", "namespace_name", "bucket", "bucket-name")


class Language(StrEnum):
    """Languages of questions."""

    SQL = "sql"
    INFLUXQL = "influxql"


class Question(msgspec.Struct, frozen=True):
    """A question about one database."""

    database: str
    text: str
    language: Language = Language.SQL
    params: dict[str, Any] = {}


class Prepared(msgspec.Struct, frozen=True):
    """What the handle of a prepared statement holds: the handle is the statement.

    So a server keeps nothing of it between two calls, however many clients prepare and never close,
    and a handle is worth no more than the right to send its text.
    """

    query: str
    params: dict[str, Any] = {}

    @property
    def handle(self) -> bytes:
        """The handle."""
        return msgspec.json.encode(self)


def read_handle(handle: bytes) -> Prepared:
    """The statement that a handle stands for.

    Raises:
        RequestError: It is not one of ours.
    """
    try:
        return msgspec.json.decode(handle, type=Prepared)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestError(
            "the handle of the prepared statement is not one of this server"
        ) from None


def is_json(ticket: bytes) -> bool:
    """Whether a ticket is one of JSON, not a message of Flight SQL."""
    return ticket.lstrip()[:1] == b"{"


def read_ticket(ticket: bytes, headers: Mapping[str, Sequence[str | bytes]]) -> Question:
    """The question of a ticket of JSON; its database may also stand in the headers.

    Raises:
        RequestError: It cannot be understood.
    """
    members = decoded(ticket, dict[str, Any], "the ticket is not a JSON object")
    named = {members[name] for name in _TICKET_DATABASE if isinstance(members.get(name), str)}
    database = _one(named, "in the ticket") or database_of(headers)
    text = members.get("sql_query", members.get("query"))
    if not isinstance(text, str):
        raise RequestError("the ticket has no text 'sql_query'")
    language = members.get("query_type", Language.SQL)
    if language not in tuple(Language):
        raise RequestError(f"unknown query_type '{language}'", hint="use sql or influxql")
    params = members.get("params") or {}
    if not isinstance(params, dict):
        raise RequestError("'params' in the ticket is not an object")
    return Question(database, text, Language(language), params)


def database_of(headers: Mapping[str, Sequence[str | bytes]]) -> str:
    """The database that the headers of a call name.

    Raises:
        RequestError: They name none, or several.
    """
    named = {
        value if isinstance(value, str) else value.decode("utf-8", "replace")
        for name in DATABASE_HEADERS
        for value in headers.get(name, ())
    }
    database = _one(named, "in the headers")
    if not database:
        raise RequestError(
            "no 'database' header in request", hint="send the metadata 'database: NAME'"
        )
    return database


def _one(named: set[str], place: str) -> str:
    names = sorted(named - {""})
    if len(names) > 1:
        raise RequestError(f"several databases are named {place}: {', '.join(names)}")
    return names[0] if names else ""
