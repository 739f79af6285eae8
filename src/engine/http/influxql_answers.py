# Owns the step from a statement of InfluxQL and a client's rights to its answer. Called by the HTTP
# routes of both versions and by the Flight listener.
"""Answers to clients that ask InfluxQL."""

import asyncio
from typing import Any

import msgspec

from engine.catalog.permissions import Action
from engine.errors import ForbiddenError, QueryError
from engine.http.access import Access
from engine.http.services import Services
from engine.influxql import tree
from engine.influxql.engine import databases_of
from engine.influxql.rendering import table
from engine.influxql.results import Series

# Longer texts are parsed in threads, so that the loop goes on.
_INLINE_CHARACTERS_MAX = 4_096


class InfluxqlQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """One statement.

    Attributes:
        statement: The statement.
        text: As it was sent, for ``system.queries``.
        database: The one that is meant where the statement names none.
        policy: Retention policy of the same.
        may_create: Whether ``CREATE DATABASE`` is allowed in this request.
    """

    statement: tree.Statement
    text: str
    database: str
    policy: str = ""
    may_create: bool = False


class InfluxqlAnswers:
    """Answers statements to clients that may ask them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def parsed(self, text: str, values: dict[str, Any]) -> list[tree.Statement]:
        """The statements of `text`.

        Raises:
            QueryError: They cannot be understood.
        """
        parse = self._services.influxql.parsed
        if len(text) <= _INLINE_CHARACTERS_MAX:
            return parse(text, values)
        return await asyncio.get_running_loop().run_in_executor(None, parse, text, values)

    async def series(self, access: Access, question: InfluxqlQuestion) -> list[Series]:
        """The answer to one statement.

        Raises:
            ForbiddenError: The client may not ask it.
            DatabaseNotFoundError, QueryError, WalError: As they say.
        """
        statement, database, policy = question.statement, question.database, question.policy
        _permit(access, statement, database, policy)
        services = self._services
        match statement:
            case tree.CreateDatabase(name=name):
                if not question.may_create:
                    raise QueryError("CREATE DATABASE must be sent by POST")
                await services.catalog_writer.ensure_database(name)
                return []
            case tree.Show(kind=tree.ShowKind.DATABASES):
                names = [one.name for one in services.catalog.databases()]
                rows = [[name] for name in names if access.may_see(name)]
                return [Series("databases", ["name"], rows)] if rows else []
            case _:
                return await services.queries.run(
                    database,
                    question.text,
                    "influxql",
                    lambda: services.influxql.series(statement, database, policy),
                )

    async def table(
        self,
        access: Access,
        text: str,
        values: dict[str, Any],
        database: str,
        *,
        may_create: bool = False,
    ) -> Any:
        """The answer to the one statement of `text` as a ``pyarrow.Table``, as version 3 has it.

        Raises:
            ForbiddenError: The client may not ask it.
            DatabaseNotFoundError, QueryError, WalError: As they say.
        """
        statements = await self.parsed(text, values)
        if len(statements) > 1:
            raise QueryError("must provide only one InfluxQl statement per query")
        (statement,) = statements
        question = InfluxqlQuestion(
            statement=statement, text=text, database=database, may_create=may_create
        )
        series = await self.series(access, question)
        if isinstance(statement, tree.Show) and statement.kind is tree.ShowKind.DATABASES:
            deleted = [
                one.name
                for one in self._services.catalog.deleted.all()
                if one.table is None and access.may_see(one.database)
            ]
            series = _as_version_3(series, deleted)
        return await asyncio.get_running_loop().run_in_executor(None, table, series)


def _permit(access: Access, statement: tree.Statement, database: str, policy: str) -> None:
    """Let the client ask `statement`.

    Raises:
        ForbiddenError: It may not.
        QueryError: The statement needs a database, and none is named.
    """
    access.none_required()
    for name in databases_of(statement, database, policy):
        access.require(name)
    if isinstance(statement, tree.CreateDatabase) and not access.may(Action.WRITE, statement.name):
        raise ForbiddenError(
            "unauthorized to perform requested action with the token",
            hint=f"the token has no right to write database '{statement.name}'",
        )


def _as_version_3(databases: list[Series], deleted: list[str]) -> list[Series]:
    rows = [[row[0], False] for one in databases for row in one.values]
    rows += [[name, True] for name in deleted]
    return [Series("databases", ["iox::database", "deleted"], rows)] if rows else []
