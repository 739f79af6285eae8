# Owns the type of a table's schema as callers see it: TableBatch.schema and SchemaIndex.columns.
"""The columns of one table."""

from typing import TypeAlias

from lp_core.enums import ColumnType

# Pairs of column name and type, in order of first appearance.
Schema: TypeAlias = tuple[tuple[str, ColumnType], ...]
