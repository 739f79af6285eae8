# Owns the messages of Flight SQL that the server understands, with the field numbers of
# FlightSql.proto. Each travels in a google.protobuf.Any, which says by name what it is.
"""Messages of Flight SQL."""

from collections.abc import Callable

import msgspec

from engine.errors import QueryNotSupportedError, RequestError
from engine.flight import protobuf
from engine.flight.protobuf import Fields

_URL_PREFIX = "type.googleapis.com/"
_PACKAGE = "arrow.flight.protocol.sql."

# Fields of google.protobuf.Any.
_ANY_URL, _ANY_VALUE = 1, 2


class StatementQuery(msgspec.Struct, frozen=True):
    """Run `query`."""

    query: str


class PreparedQuery(msgspec.Struct, frozen=True):
    """Run the statement that `handle` stands for, or give it values."""

    handle: bytes


class GetCatalogs(msgspec.Struct, frozen=True):
    """Which catalogs there are."""


class GetDbSchemas(msgspec.Struct, frozen=True):
    """Which schemas there are, in `catalog`, of names like `schema_pattern`."""

    catalog: str | None = None
    schema_pattern: str | None = None


class GetTables(msgspec.Struct, frozen=True):
    """Which tables there are, of `table_types` if any are named."""

    catalog: str | None = None
    schema_pattern: str | None = None
    table_pattern: str | None = None
    table_types: tuple[str, ...] = ()
    include_schema: bool = False


class GetTableTypes(msgspec.Struct, frozen=True):
    """Which types of tables there are."""


class GetSqlInfo(msgspec.Struct, frozen=True):
    """What the server is and can do; all of it when no `codes` are named."""

    codes: tuple[int, ...] = ()


class CreatePrepared(msgspec.Struct, frozen=True):
    """Prepare `query`."""

    query: str


class ClosePrepared(msgspec.Struct, frozen=True):
    """Forget the statement of `handle`."""

    handle: bytes


Command = (
    StatementQuery
    | PreparedQuery
    | GetCatalogs
    | GetDbSchemas
    | GetTables
    | GetTableTypes
    | GetSqlInfo
    | CreatePrepared
    | ClosePrepared
)


def _get_tables(fields: Fields) -> GetTables:
    return GetTables(
        fields.optional_text(1),
        fields.optional_text(2),
        fields.optional_text(3),
        fields.texts(4),
        bool(fields.number(5)),
    )


_READERS: dict[str, Callable[[Fields], Command]] = {
    "CommandStatementQuery": lambda fields: StatementQuery(fields.text(1)),
    "CommandPreparedStatementQuery": lambda fields: PreparedQuery(fields.content(1)),
    "CommandGetCatalogs": lambda _: GetCatalogs(),
    "CommandGetDbSchemas": lambda fields: GetDbSchemas(
        fields.optional_text(1), fields.optional_text(2)
    ),
    "CommandGetTables": _get_tables,
    "CommandGetTableTypes": lambda _: GetTableTypes(),
    "CommandGetSqlInfo": lambda fields: GetSqlInfo(fields.numbers(1)),
    "ActionCreatePreparedStatementRequest": lambda fields: CreatePrepared(fields.text(1)),
    "ActionClosePreparedStatementRequest": lambda fields: ClosePrepared(fields.content(1)),
}


def read_command(data: bytes) -> Command:
    """The message in an Any.

    Raises:
        RequestError: It cannot be read.
        QueryNotSupportedError: It is one that the server does not know.
    """
    fields = protobuf.read(data)
    try:
        url = fields.text(_ANY_URL)
    except RequestError:
        url = ""
    if not url.startswith(_URL_PREFIX):
        raise RequestError(
            "the ticket is neither JSON nor a message of Flight SQL",
            hint='send {"database": "NAME", "sql_query": "SELECT …", "query_type": "sql"}',
        )
    name = url.removeprefix(_URL_PREFIX)
    reader = _READERS.get(name.removeprefix(_PACKAGE)) if name.startswith(_PACKAGE) else None
    if reader is None:
        raise QueryNotSupportedError(f"Flight SQL's {name.removeprefix(_PACKAGE)} is not supported")
    return reader(protobuf.read(fields.content(_ANY_VALUE)))


def prepared_result(handle: bytes, answer_schema: bytes, parameter_schema: bytes) -> bytes:
    """An ActionCreatePreparedStatementResult, in its Any; empty schemas are left out."""
    return _any(
        "ActionCreatePreparedStatementResult",
        protobuf.write(
            [(1, handle), (2, answer_schema or None), (3, parameter_schema or None)],
        ),
    )


def bound_result(handle: bytes) -> bytes:
    """A DoPutPreparedStatementResult: the handle that stands for the statement with its values."""
    return protobuf.write([(1, handle)])


def flight_info(descriptor: bytes, ticket: bytes) -> bytes:
    """A FlightInfo that says nothing of columns and rows: `ticket` gets them, from whom it came.

    Written here because older versions of pyarrow cannot make one without a schema.
    """
    endpoint = protobuf.write([(1, protobuf.write([(1, ticket)]))])
    return protobuf.write([(2, descriptor), (3, endpoint), (4, -1), (5, -1)])


def _any(name: str, message: bytes) -> bytes:
    return protobuf.write(
        [(_ANY_URL, f"{_URL_PREFIX}{_PACKAGE}{name}"), (_ANY_VALUE, message or None)]
    )
