# Owns the answers to Flight SQL's questions about the server and its tables, each with the columns
# that FlightSql.proto prescribes. Called in the threads of queries.
"""Tables about the server and its tables."""

import re
from collections.abc import Callable
from typing import Any

import pyarrow

import engine
from engine.flight.messages import GetDbSchemas, GetSqlInfo, GetTables
from engine.flight.plain import plain_schema
from engine.query import catalog_tables
from engine.query.views import QueryCatalog, columns_of
from engine.store.parquet_file import ARROW_TYPES

CATALOG = "public"

_TEXT = pyarrow.utf8()
_CATALOGS = pyarrow.schema([pyarrow.field("catalog_name", _TEXT, nullable=False)])
_DB_SCHEMAS = pyarrow.schema(
    [pyarrow.field("catalog_name", _TEXT), pyarrow.field("db_schema_name", _TEXT, nullable=False)]
)
_TABLE_TYPES = pyarrow.schema([pyarrow.field("table_type", _TEXT, nullable=False)])
_TABLES = pyarrow.schema(
    [
        pyarrow.field("catalog_name", _TEXT),
        pyarrow.field("db_schema_name", _TEXT),
        pyarrow.field("table_name", _TEXT, nullable=False),
        pyarrow.field("table_type", _TEXT, nullable=False),
    ]
)
_TABLE_SCHEMA = pyarrow.field("table_schema", pyarrow.binary(), nullable=False)

# The values of GetSqlInfo are of one of these types; the index says which.
_STRING, _BOOL, _BIGINT, _INT32 = 0, 1, 2, 3
_INFO_VALUE = pyarrow.dense_union(
    [
        pyarrow.field("string_value", _TEXT),
        pyarrow.field("bool_value", pyarrow.bool_()),
        pyarrow.field("bigint_value", pyarrow.int64()),
        pyarrow.field("int32_bitmask", pyarrow.int32()),
        pyarrow.field("string_list", pyarrow.list_(_TEXT)),
        pyarrow.field(
            "int32_to_int32_list_map", pyarrow.map_(pyarrow.int32(), pyarrow.list_(pyarrow.int32()))
        ),
    ]
)
_INFO = pyarrow.schema(
    [
        pyarrow.field("info_name", pyarrow.uint32(), nullable=False),
        pyarrow.field("value", _INFO_VALUE, nullable=False),
    ]
)

# Codes of FlightSql.proto's SqlInfo: 0 to 8 are about the server, from 500 on about its SQL.
_FACTS: dict[int, tuple[int, object]] = {
    0: (_STRING, "Headrace"),
    1: (_STRING, engine.__version__),
    2: (_STRING, pyarrow.__version__),
    3: (_BOOL, True),  # read-only
    4: (_BOOL, True),  # SQL
    5: (_BOOL, False),  # Substrait
    8: (_INT32, 0),  # no transactions
    9: (_BOOL, False),  # no CancelQuery: a call is cancelled instead
    500: (_BOOL, False),  # no DDL for catalogs
    501: (_BOOL, False),  # nor for schemas
    502: (_BOOL, False),  # nor for tables
    503: (_INT32, 3),  # names without quotes are taken in lower case
    504: (_STRING, '"'),
    505: (_INT32, 1),  # names in quotes are taken as they are
    563: (_BOOL, False),  # no transactions
}


def catalogs() -> Any:
    """The one catalog; what others call so is a database here, which a header names."""
    return pyarrow.table([[CATALOG]], schema=_CATALOGS)


def table_types() -> Any:
    """Tables of users, and those of the server."""
    return pyarrow.table([["BASE TABLE", "VIEW"]], schema=_TABLE_TYPES)


def db_schemas(command: GetDbSchemas) -> Any:
    """The schemas that `command` asks for."""
    matches = _like(command.schema_pattern)
    names = ("information_schema", "iox", "system")
    found = [name for name in names if _is_ours(command.catalog) and matches(name)]
    return pyarrow.table([[CATALOG] * len(found), found], schema=_DB_SCHEMAS)


def tables(catalog: QueryCatalog, database: str, command: GetTables) -> Any:
    """The tables of `database` that `command` asks for, with their columns if it does."""
    is_schema, is_table = _like(command.schema_pattern), _like(command.table_pattern)
    rows = [
        (row["table_schema"], row["table_name"], row["table_type"])
        for row in catalog_tables.show_tables(catalog, database).to_pylist()
        if _is_ours(command.catalog)
        and is_schema(row["table_schema"])
        and is_table(row["table_name"])
        and (not command.table_types or row["table_type"] in command.table_types)
    ]
    rows.sort()
    columns: list[list[Any]] = [
        [CATALOG] * len(rows),
        *([row[i] for row in rows] for i in range(3)),
    ]
    if not command.include_schema:
        return pyarrow.table(columns, schema=_TABLES)
    described = [_schema_of(catalog, database, schema, name) for schema, name, _ in rows]
    # A table that was dropped in between is gone.
    kept = [index for index, schema in enumerate(described) if schema is not None]
    columns = [[column[index] for index in kept] for column in (*columns, described)]
    return pyarrow.table(columns, schema=_TABLES.append(_TABLE_SCHEMA))


def sql_info(command: GetSqlInfo) -> Any:
    """What `command` asks for of what is known."""
    codes = [code for code in _FACTS if not command.codes or code in command.codes]
    kinds = [_FACTS[code][0] for code in codes]
    children = [
        pyarrow.array([_FACTS[code][1] for code in codes if _FACTS[code][0] == index], field.type)
        for index, field in enumerate(_INFO_VALUE)
    ]
    offsets = [kinds[:place].count(kind) for place, kind in enumerate(kinds)]
    value = pyarrow.UnionArray.from_dense(
        pyarrow.array(kinds, pyarrow.int8()),
        pyarrow.array(offsets, pyarrow.int32()),
        children,
        [field.name for field in _INFO_VALUE],
    )
    return pyarrow.table([pyarrow.array(codes, pyarrow.uint32()), value], schema=_INFO)


def _schema_of(catalog: QueryCatalog, database: str, schema: str, name: str) -> bytes | None:
    if schema == "iox":
        snapshot = catalog.snapshot(database, name)
        if snapshot is None:
            return None
        fields = [
            pyarrow.field(column, ARROW_TYPES[kind], nullable=column != "time")
            for column, kind in columns_of(snapshot)
        ]
        found = pyarrow.schema(fields)
    else:
        source = (
            catalog_tables.system_table if schema == "system" else catalog_tables.information_schema
        )
        table = source(catalog, database, name)
        if table is None:
            return None
        found = table.schema
    content: bytes = plain_schema(found).serialize().to_pybytes()
    return content


def _is_ours(catalog: str | None) -> bool:
    return catalog in (None, CATALOG)


def _like(pattern: str | None) -> Callable[[str], bool]:
    """Whether a name is like an SQL pattern, in which % is any text and _ any one character."""
    if pattern is None:
        return lambda _: True
    parts = (".*" if sign == "%" else "." if sign == "_" else re.escape(sign) for sign in pattern)
    compiled = re.compile("".join(parts), re.DOTALL)
    return lambda name: compiled.fullmatch(name) is not None
