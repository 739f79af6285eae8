# Owns the form in which Arrow tables go over the wire: no dictionaries, and batches that clients
# with the usual limit of messages take.
"""Tables as they are sent."""

from collections.abc import Iterator
from typing import Any

import pyarrow

# Go clients, Grafana's among them, refuse messages above 4 MiB unless told otherwise.
BATCH_BYTES_MAX = 2 * 1024 * 1024


def plain_type(data_type: Any) -> Any:
    """The type of a column as it is sent: of a dictionary, that of its values."""
    return data_type.value_type if pyarrow.types.is_dictionary(data_type) else data_type


def plain_schema(schema: Any) -> Any:
    """The columns as they are sent."""
    return pyarrow.schema(
        [
            pyarrow.field(field.name, plain_type(field.type), field.nullable, field.metadata)
            for field in schema
        ]
    )


def plain(table: Any) -> Any:
    """The table as it is sent."""
    columns = [
        column.cast(plain_type(column.type)) if plain_type(column.type) != column.type else column
        for column in table.columns
    ]
    return pyarrow.table(columns, schema=plain_schema(table.schema))


def batches(table: Any) -> Iterator[Any]:
    """The rows in batches of at most `BATCH_BYTES_MAX`, unless a single row is larger."""
    for batch in table.to_batches():
        yield from _halved(batch)


def _halved(batch: Any) -> Iterator[Any]:
    if batch.num_rows <= 1 or batch.nbytes <= BATCH_BYTES_MAX:
        yield batch
        return
    # Rows may differ much in size, so parts are looked at again.
    parts = -(-batch.nbytes // BATCH_BYTES_MAX)
    rows = -(-batch.num_rows // parts)
    rows = min(rows, batch.num_rows - 1)
    for start in range(0, batch.num_rows, rows):
        yield from _halved(batch.slice(start, rows))
