# Owns the event loop's side of Flight: who the caller is, what it may ask, and the answer as an
# Arrow table. service.py calls it from threads of gRPC.
"""Answers to Flight clients."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from engine.errors import DatabaseNotFoundError, RequestError
from engine.flight import about
from engine.flight.messages import (
    Command,
    CreatePrepared,
    GetCatalogs,
    GetDbSchemas,
    GetSqlInfo,
    GetTables,
    GetTableTypes,
    PreparedQuery,
    StatementQuery,
    prepared_result,
    read_command,
)
from engine.flight.parameters import parameter_schema
from engine.flight.plain import plain, plain_schema
from engine.flight.questions import (
    Language,
    Prepared,
    Question,
    database_of,
    is_json,
    read_handle,
    read_ticket,
)
from engine.http.access import Access
from engine.http.auth import Gatekeeper
from engine.http.influxql_answers import InfluxqlAnswers
from engine.http.services import Services
from engine.query.views import QueryCatalog

Headers = Mapping[str, Sequence[str | bytes]]

_NO_SCHEMA = b""


class Caller(msgspec.Struct, frozen=True):
    """The other end of a call.

    Attributes:
        headers: What it sent.
        address: Where it is.
        admitted: Told that its token is good; raises BackPressureError where there are too many.
    """

    headers: Headers
    address: str
    admitted: Callable[[], None]

    def header(self, name: str) -> str | None:
        """The last value of a header that is text."""
        values = [value for value in self.headers.get(name, ()) if isinstance(value, str)]
        return values[-1] if values else None


class FlightDesk:
    """Answers the questions of callers, each with the rights of its token."""

    def __init__(self, services: Services, gatekeeper: Gatekeeper, catalog: QueryCatalog) -> None:
        self._queries = services.queries
        self._influxql = InfluxqlAnswers(services)
        self._gatekeeper = gatekeeper
        self._catalog = catalog

    async def rows(self, caller: Caller, ticket: bytes) -> Any:
        """The answer to a ticket as a ``pyarrow.Table``.

        Raises:
            AuthError, RequestError, QueryError, DatabaseNotFoundError: As they say.
        """
        access = await self._admit(caller)
        if is_json(ticket):
            return plain(await self._answer(access, read_ticket(ticket, caller.headers)))
        command = read_command(ticket)
        if isinstance(command, GetTables):
            database = self._database(access, caller)
            return await self._queries.run(
                database,
                "GetTables",
                "flightsql",
                lambda: about.tables(self._catalog, database, command),
            )
        known = _known(command)
        if known is not None:
            access.none_required()
            return known
        question = _question(command, caller)
        return plain(await self._answer(access, question, "flightsql"))

    async def check(self, caller: Caller, ticket: bytes) -> None:
        """Whether a ticket would be answered, as far as can be said without asking.

        Raises:
            AuthError, RequestError, QueryError, DatabaseNotFoundError: It would not.
        """
        access = await self._admit(caller)
        if is_json(ticket):
            access.require(read_ticket(ticket, caller.headers).database)
            return
        command = read_command(ticket)
        if _known(command) is None:
            self._database(access, caller)
            if not isinstance(command, GetTables):
                _question(command, caller)

    async def schema(self, caller: Caller, ticket: bytes) -> Any:
        """The ``pyarrow.Schema`` of the answer to a ticket.

        Raises:
            AuthError, RequestError, QueryError, DatabaseNotFoundError: As they say.
        """
        access = await self._admit(caller)
        is_sql = is_json(ticket)
        question = None
        if is_sql:
            question = read_ticket(ticket, caller.headers)
        else:
            command = read_command(ticket)
            if isinstance(command, StatementQuery | PreparedQuery):
                question = _question(command, caller)
        if question is None or question.language is not Language.SQL:
            # These take no time.
            return (await self.rows(caller, ticket)).schema
        access.require(question.database)
        _, found = await self._queries.plan(question.database, question.text)
        if found is None:
            raise RequestError(
                "the columns of the answer depend on the values of its placeholders",
                hint="ask with the values",
            )
        return plain_schema(found)

    async def prepare(self, caller: Caller, command: CreatePrepared) -> bytes:
        """The result of preparing a statement.

        Raises:
            AuthError, RequestError, QueryError, DatabaseNotFoundError: As they say.
        """
        access = await self._admit(caller)
        database = self._database(access, caller)
        names, found = await self._queries.plan(database, command.query)
        answer = _NO_SCHEMA if found is None else plain_schema(found).serialize().to_pybytes()
        wanted = parameter_schema(names).serialize().to_pybytes() if names else _NO_SCHEMA
        return prepared_result(Prepared(command.query).handle, answer, wanted)

    async def placeholders(self, caller: Caller, statement: Prepared) -> tuple[str, ...]:
        """The names of a prepared statement's placeholders.

        Raises:
            AuthError, RequestError, QueryError, DatabaseNotFoundError: As they say.
        """
        access = await self._admit(caller)
        database = self._database(access, caller)
        names, _ = await self._queries.plan(database, statement.query)
        return names

    async def admit(self, caller: Caller) -> None:
        """Let nobody pass who has no token for anything.

        Raises:
            AuthError: The caller is nobody.
        """
        (await self._admit(caller)).none_required()

    def count_forbidden(self) -> None:
        """A valid token did not permit what was asked."""
        self._gatekeeper.count_forbidden()

    async def _admit(self, caller: Caller) -> Access:
        access = await self._gatekeeper.admit_call(
            caller.header("authorization"), caller.header("origin"), caller.address
        )
        caller.admitted()
        return access

    def _database(self, access: Access, caller: Caller) -> str:
        database = database_of(caller.headers)
        access.require(database)
        if not self._catalog.has_database(database):
            raise DatabaseNotFoundError(f"query error: database not found: {database}")
        return database

    async def _answer(self, access: Access, question: Question, query_type: str = "sql") -> Any:
        if question.language is Language.INFLUXQL:
            return await self._influxql.table(
                access, question.text, question.params, question.database
            )
        access.require(question.database)
        return await self._queries.table(
            question.database,
            question.text,
            question.params,
            query_type=query_type,
        )


def _known(command: Command) -> Any | None:
    """The answer that is the same for everybody, or None."""
    match command:
        case GetCatalogs():
            return about.catalogs()
        case GetDbSchemas():
            return about.db_schemas(command)
        case GetTableTypes():
            return about.table_types()
        case GetSqlInfo():
            return about.sql_info(command)
        case _:
            return None


def _question(command: Command, caller: Caller) -> Question:
    match command:
        case StatementQuery(query=query):
            return Question(database_of(caller.headers), query)
        case PreparedQuery(handle=handle):
            statement = read_handle(handle)
            return Question(database_of(caller.headers), statement.query, params=statement.params)
        case _:
            raise RequestError("this message of Flight SQL asks for no rows")
