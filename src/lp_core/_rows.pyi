from lp_core._batch import TableBatch

def rows_of(batch: TableBatch) -> list[dict[str, str | int | float | bool]]:
    """Return the rows of a batch as new dicts, in the order in which they were written.

    A row has its tags first, then its fields, then ``time`` in nanoseconds; a column that the row
    does not carry is absent from its dict.
    """
