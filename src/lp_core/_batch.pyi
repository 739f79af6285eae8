from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, TypeVar, final, overload

from lp_core.schema import Schema

_Default = TypeVar("_Default")

@final
class TableBatch:
    """Rows of one table as immutable columns, which pyarrow and polars read without copying."""

    @property
    def name(self) -> str:
        """Name of the table."""
    @property
    def num_rows(self) -> int:
        """Number of rows, at least 1."""
    @property
    def min_time_ns(self) -> int:
        """Least time of a row, nanoseconds since the epoch."""
    @property
    def max_time_ns(self) -> int:
        """Greatest time of a row, nanoseconds since the epoch."""
    @property
    def schema(self) -> Schema:
        """Name and type of each column in order of first appearance; ``time`` is the last."""
    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dicts, without what is null."""
    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object:
        """Return an ``arrow_schema`` capsule (Arrow PyCapsule interface)."""
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Return ``arrow_schema`` and ``arrow_array`` capsules of a struct array.

        Tags are ``dictionary<int32, utf8>``, ``time`` is ``timestamp[ns]`` and never null.
        ``requested_schema`` is ignored, as the interface allows.
        """

@final
class WriteBatch(Mapping[str, TableBatch]):
    """The tables of one request, read-only, in order of first appearance."""

    @property
    def num_rows(self) -> int:
        """Rows of all tables."""
    def __getitem__(self, name: str, /) -> TableBatch: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __contains__(self, name: object, /) -> bool: ...
    @overload
    def get(self, key: str, default: None = None) -> TableBatch | None: ...
    @overload
    def get(self, key: str, default: _Default) -> TableBatch | _Default: ...
    def keys(self) -> KeysView[str]: ...
    def values(self) -> ValuesView[TableBatch]: ...
    def items(self) -> ItemsView[str, TableBatch]: ...
