# Owns the shape of parsed InfluxQL. Nodes are plain data; nothing here knows tables or SQL.
"""Nodes of InfluxQL statements."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Literal(msgspec.Struct, frozen=True):
    """A value: number, text or truth."""

    value: int | float | str | bool


class Duration(msgspec.Struct, frozen=True):
    """A span of time."""

    ns: int


class Now(msgspec.Struct, frozen=True):
    """``now()``."""


class Regex(msgspec.Struct, frozen=True):
    """A regular expression between slashes."""

    pattern: str


class Reference(msgspec.Struct, frozen=True):
    """A column by its name; ``cast`` is what follows ``::``."""

    name: str
    cast: str = ""


class Wildcard(msgspec.Struct, frozen=True):
    """``*``, of one kind with ``*::field`` or ``*::tag``."""

    kind: str = ""


class Call(msgspec.Struct, frozen=True):
    """A function with its arguments."""

    name: str
    arguments: tuple[Expression, ...]


class Binary(msgspec.Struct, frozen=True):
    """Two operands and what is between them."""

    operator: str
    left: Expression
    right: Expression


class Negation(msgspec.Struct, frozen=True):
    """Minus before an operand."""

    operand: Expression


Expression = Literal | Duration | Now | Regex | Reference | Wildcard | Call | Binary | Negation


class Source(msgspec.Struct, frozen=True):
    """A table, or those whose names match; with the database where one is given. Or a subquery."""

    name: str = ""
    regex: str | None = None
    database: str = ""
    policy: str = ""
    select: Select | None = None


class Field(msgspec.Struct, frozen=True):
    """One entry behind SELECT."""

    expression: Expression
    alias: str = ""


class FillKind(StrEnum):
    """What stands in empty intervals."""

    NULL = "null"
    NONE = "none"
    PREVIOUS = "previous"
    LINEAR = "linear"
    VALUE = "value"


class Fill(msgspec.Struct, frozen=True):
    """The fill clause."""

    kind: FillKind = FillKind.NULL
    value: float | int = 0


class Grouping(msgspec.Struct, frozen=True):
    """The GROUP BY clause; without an interval time is not grouped."""

    interval_ns: int | None = None
    offset_ns: int = 0
    tags: tuple[str, ...] = ()
    regexes: tuple[str, ...] = ()
    has_all_tags: bool = False
    # Whether the interval is that of the query around this one.
    is_inherited: bool = False


class Limits(msgspec.Struct, frozen=True):
    """Rows of each series, and series; None for all."""

    rows: int | None = None
    rows_skipped: int = 0
    series: int | None = None
    series_skipped: int = 0


class Select(msgspec.Struct, frozen=True):
    """A SELECT statement."""

    fields: tuple[Field, ...]
    sources: tuple[Source, ...]
    condition: Expression | None = None
    grouping: Grouping = Grouping()
    fill: Fill = Fill()
    is_descending: bool = False
    # Whether the direction was told.
    is_ordered: bool = False
    limits: Limits = Limits()
    # The time zone of intervals, of times without one, and of times in the answer; empty for UTC.
    zone: str = ""


class ShowKind(StrEnum):
    """What a SHOW statement lists."""

    DATABASES = "DATABASES"
    MEASUREMENTS = "MEASUREMENTS"
    TAG_KEYS = "TAG KEYS"
    TAG_VALUES = "TAG VALUES"
    FIELD_KEYS = "FIELD KEYS"
    RETENTION_POLICIES = "RETENTION POLICIES"
    SERIES = "SERIES"


class Show(msgspec.Struct, frozen=True):
    """A SHOW statement; ``keys`` and ``key_regex`` are those of WITH KEY."""

    kind: ShowKind
    database: str = ""
    policy: str = ""
    sources: tuple[Source, ...] = ()
    keys: tuple[str, ...] = ()
    key_regex: str | None = None
    is_key_negated: bool = False
    condition: Expression | None = None
    limits: Limits = Limits()
    # Not the list, but how many it has.
    is_cardinality: bool = False
    is_exact: bool = False


class CreateDatabase(msgspec.Struct, frozen=True):
    """CREATE DATABASE, which old senders begin with."""

    name: str


Statement = Select | Show | CreateDatabase
