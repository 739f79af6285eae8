# Owns what queries can ask about tables instead of about rows: SHOW TABLES, SHOW COLUMNS and the
# information_schema, in the reference system's words.
"""Tables about tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow

from engine.query.dialect import TableName
from engine.query.functions import AGGREGATES, PLAIN, SPECIAL, WINDOWS
from engine.query.kinds import ARROW_NAME_OF_COLUMN, ARROW_NAME_OF_KIND, Kind
from engine.query.system_tables import system_table_names
from engine.query.views import QueryCatalog, columns_of
from lp_core.enums import ColumnType

_TEXT = pyarrow.utf8()
_NUMBER = pyarrow.uint64()
_INFORMATION_SCHEMA_VIEWS = (
    "columns",
    "df_settings",
    "parameters",
    "routines",
    "schemata",
    "tables",
    "views",
)

_TABLES = pyarrow.schema(
    [(name, _TEXT) for name in ("table_catalog", "table_schema", "table_name", "table_type")]
)
_COLUMNS = pyarrow.schema(
    [
        ("table_catalog", _TEXT),
        ("table_schema", _TEXT),
        ("table_name", _TEXT),
        ("column_name", _TEXT),
        ("ordinal_position", _NUMBER),
        ("column_default", _TEXT),
        ("is_nullable", _TEXT),
        ("data_type", _TEXT),
        ("character_maximum_length", _NUMBER),
        ("character_octet_length", _NUMBER),
        ("numeric_precision", _NUMBER),
        ("numeric_precision_radix", _NUMBER),
        ("numeric_scale", _NUMBER),
        ("datetime_precision", _NUMBER),
        ("interval_type", _TEXT),
    ]
)
_SCHEMATA = pyarrow.schema(
    [
        (name, _TEXT)
        for name in (
            "catalog_name",
            "schema_name",
            "schema_owner",
            "default_character_set_catalog",
            "default_character_set_schema",
            "default_character_set_name",
            "sql_path",
        )
    ]
)
_VIEWS = pyarrow.schema(
    [(name, _TEXT) for name in ("table_catalog", "table_schema", "table_name", "definition")]
)
_SETTINGS = pyarrow.schema([(name, _TEXT) for name in ("name", "value", "description")])
_ROUTINES = pyarrow.schema(
    [
        (name, _TEXT)
        for name in (
            "specific_catalog",
            "specific_schema",
            "specific_name",
            "routine_catalog",
            "routine_schema",
            "routine_name",
            "routine_type",
            "data_type",
            "function_type",
            "description",
            "syntax_example",
        )
    ]
)
_PARAMETERS = pyarrow.schema(
    [
        ("specific_catalog", _TEXT),
        ("specific_schema", _TEXT),
        ("specific_name", _TEXT),
        ("ordinal_position", _NUMBER),
        ("parameter_mode", _TEXT),
        ("parameter_name", _TEXT),
        ("data_type", _TEXT),
        ("parameter_default", _TEXT),
        ("is_variadic", pyarrow.bool_()),
    ]
)
_SCHEMA = pyarrow.schema([(name, _TEXT) for name in ("measurement", "key", "data_type")])
_LINE_PROTOCOL_NAMES = {
    ColumnType.TAG: "tag",
    ColumnType.INT64: "integer",
    ColumnType.UINT64: "uinteger",
    ColumnType.FLOAT64: "float",
    ColumnType.BOOL: "boolean",
    ColumnType.STRING: "string",
    ColumnType.TIME: "time",
}
_NUMERIC = {"Float64": (24, 2, None), "Int64": (64, 10, 0), "UInt64": (64, 10, 0)}


def show_tables(catalog: QueryCatalog, database: str) -> Any:
    """The answer to ``SHOW TABLES``: user tables first, sorted by name."""
    rows = [("iox", name, "BASE TABLE") for name in sorted(catalog.table_names(database))]
    # Clients take every BASE TABLE for one of theirs, so the server's own are called views.
    names = sorted({"influxdb_schema", *system_table_names(database)})
    rows += [("system", name, "VIEW") for name in names]
    rows += [("information_schema", name, "VIEW") for name in _INFORMATION_SCHEMA_VIEWS]
    return _table(
        _TABLES,
        [
            dict(zip(_TABLES.names, ("public", schema, name, kind), strict=True))
            for schema, name, kind in rows
        ],
    )


def show_columns(catalog: QueryCatalog, database: str, table: TableName) -> Any | None:
    """The answer to ``SHOW COLUMNS FROM table``, or None when there is no such table."""
    if table.schema == "iox":
        snapshot = catalog.snapshot(database, table.name)
        if snapshot is None:
            return None
        rows = [
            _column_row(table, number, name, ARROW_NAME_OF_COLUMN[kind])
            for number, (name, kind) in enumerate(columns_of(snapshot))
        ]
    else:
        if table.schema == "system":
            shown = system_table(catalog, database, table.name)
        else:
            shown = information_schema(catalog, database, table.name)
        if shown is None:
            return None
        rows = [
            _column_row(table, number, field.name, _arrow_name(field.type))
            for number, field in enumerate(shown.schema)
        ]
    names = ["table_catalog", "table_schema", "table_name", "column_name", "data_type"]
    return _table(_COLUMNS, rows).select([*names, "is_nullable"])


def information_schema(catalog: QueryCatalog, database: str, name: str) -> Any | None:
    """A table of the ``information_schema``, or None when there is none of that name."""
    if name == "tables":
        return show_tables(catalog, database)
    if name == "columns":
        return _all_columns(catalog, database)
    if name == "schemata":
        names = ("information_schema", "iox", "system")
        schemas = [{"catalog_name": "public", "schema_name": schema} for schema in names]
        return _table(_SCHEMATA, schemas)
    if name == "routines":
        return _routines()
    if name == "df_settings":
        # The one that clients ask for.
        zone = {"name": "datafusion.execution.time_zone", "value": "+00:00"}
        return _table(_SETTINGS, [zone])
    empty = {"views": _VIEWS, "parameters": _PARAMETERS}.get(name)
    return None if empty is None else empty.empty_table()


def system_table(catalog: QueryCatalog, database: str, name: str) -> Any | None:
    """A table of the ``system`` schema, or None when there is none of that name."""
    if name == "influxdb_schema":
        return influxdb_schema(catalog, database)
    return catalog.system_table(database, name)


def influxdb_schema(catalog: QueryCatalog, database: str) -> Any:
    """``system.influxdb_schema``: every column of every user table in line protocol's words."""
    rows: list[dict[str, object]] = []
    for name in sorted(catalog.table_names(database)):
        snapshot = catalog.snapshot(database, name)
        if snapshot is not None:
            rows.extend(
                {"measurement": name, "key": column, "data_type": _LINE_PROTOCOL_NAMES[kind]}
                for column, kind in columns_of(snapshot)
            )
    return _table(_SCHEMA, rows)


def _routines() -> Any:
    rows = []
    for name in sorted({*PLAIN, *SPECIAL}):
        is_aggregate = name in AGGREGATES
        kind = PLAIN[name].kind if name in PLAIN else SPECIAL[name]
        rows.append(
            {
                "specific_catalog": "public",
                "specific_schema": "iox",
                "specific_name": name,
                "routine_catalog": "public",
                "routine_schema": "iox",
                "routine_name": name,
                "routine_type": "FUNCTION",
                "data_type": None if kind is None else ARROW_NAME_OF_KIND.get(kind),
                "function_type": "AGGREGATE"
                if is_aggregate
                else ("WINDOW" if name in WINDOWS else "SCALAR"),
            }
        )
    return _table(_ROUTINES, rows)


def kinds_of_schema(schema: Any) -> tuple[tuple[str, Kind], ...]:
    """The columns of any Arrow table with their kinds."""
    return tuple((field.name, _kind(field.type)) for field in schema)


def _all_columns(catalog: QueryCatalog, database: str) -> Any:
    # User tables only: a column of a system table must not pass for one of a user's table.
    rows: list[dict[str, object]] = []
    for name in sorted(catalog.table_names(database)):
        snapshot = catalog.snapshot(database, name)
        if snapshot is not None:
            table = TableName("iox", name)
            rows.extend(
                _column_row(table, number, column, ARROW_NAME_OF_COLUMN[kind])
                for number, (column, kind) in enumerate(columns_of(snapshot))
            )
    return _table(_COLUMNS, rows)


def _column_row(table: TableName, number: int, column: str, type_name: str) -> dict[str, object]:
    precision, radix, scale = _NUMERIC.get(type_name, (None, None, None))
    return {
        "table_catalog": "public",
        "table_schema": table.schema,
        "table_name": table.name,
        "column_name": column,
        "ordinal_position": number,
        "is_nullable": "NO" if column == "time" and table.schema == "iox" else "YES",
        "data_type": type_name,
        "character_octet_length": 2**31 - 1 if type_name == "Utf8" else None,
        "numeric_precision": precision,
        "numeric_precision_radix": radix,
        "numeric_scale": scale,
    }


def _table(schema: Any, rows: Sequence[Mapping[str, object]]) -> Any:
    return pyarrow.Table.from_pylist(rows, schema)


def _kind(data_type: Any) -> Kind:
    types = pyarrow.types
    for matches, kind in (
        (types.is_dictionary, Kind.TAG),
        (types.is_string, Kind.TEXT),
        (types.is_signed_integer, Kind.INTEGER),
        (types.is_unsigned_integer, Kind.UNSIGNED),
        (types.is_floating, Kind.FLOAT),
        (types.is_boolean, Kind.BOOLEAN),
        (types.is_timestamp, Kind.TIME),
    ):
        if matches(data_type):
            return kind
    return Kind.OTHER


def _arrow_name(data_type: Any) -> str:
    types = pyarrow.types
    if types.is_timestamp(data_type):
        return f"Timestamp({data_type.unit})"
    if types.is_duration(data_type):
        return f"Duration({data_type.unit})"
    known = {"string": "Utf8", "bool": "Boolean", "double": "Float64", "uint64": "UInt64"}
    return known.get(str(data_type), str(data_type).capitalize())
