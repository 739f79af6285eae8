# Owns the values of prepared statements: from a row of Arrow, as clients send them, to the values
# of placeholders that queries take.
"""Values of placeholders."""

from collections.abc import Sequence
from typing import Any

import pyarrow

from engine.errors import RequestError


def parameter_schema(names: Sequence[str]) -> Any:
    """The placeholders as a ``pyarrow.Schema``; SQL says nothing of their types."""
    return pyarrow.schema([pyarrow.field(name, pyarrow.null()) for name in names])


def values_of(batch: Any, names: Sequence[str]) -> dict[str, Any]:
    """The values in the one row of `batch` for the placeholders `names`.

    Columns that are all named like placeholders are taken by name, others in their order.

    Raises:
        RequestError: Rows or columns are too many or too few, or of a type that has no text.
    """
    if batch.num_rows != 1:
        raise RequestError(
            f"{batch.num_rows} rows of parameters were sent",
            hint="send one; a query is answered once",
        )
    found = [name.removeprefix("$") for name in batch.schema.names]
    if len(found) != len(names):
        raise RequestError(
            f"the statement has {len(names)} placeholders, and {len(found)} values were sent"
        )
    if set(found) != set(names):
        found = list(names)
    return {
        name: _value(column[0], name) for name, column in zip(found, batch.columns, strict=True)
    }


def _value(scalar: Any, name: str) -> Any:
    types = pyarrow.types
    kind = scalar.type
    if types.is_dictionary(kind):
        return _value(scalar.value, name)
    if not scalar.is_valid:
        return None
    if types.is_timestamp(kind):
        # As text: Python's times are too coarse.
        instant = scalar.cast(pyarrow.timestamp("ns"))
        return str(instant.cast(pyarrow.utf8()))
    if types.is_date(kind):
        return str(scalar)
    if types.is_decimal(kind):
        return float(scalar.as_py())
    value = scalar.as_py()
    if isinstance(value, bool | int | float | str):
        return value
    raise RequestError(
        f"the value of ${name} is of type {kind}", hint="send a text, number, truth value or time"
    )
