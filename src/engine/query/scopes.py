# Owns name resolution: which table or subquery a name in FROM means, which columns that gives, and
# of which kind each expression of a query therefore is. Reads syntax trees, never changes them.
"""Sources, columns and kinds of a query."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlglot import exp

from engine.errors import QueryError
from engine.query.dialect import TableName
from engine.query.functions import INTERNAL, PLAIN, SPECIAL
from engine.query.kinds import Kind
from engine.query.zones import UTC, arrow_timestamp, zone_name

Columns = Mapping[str, Kind]


class DerivedColumns(dict[str, Kind]):
    """The columns of a query, of which some may be times with a zone.

    Attributes:
        zones: The zones of those that have one.
    """

    def __init__(self, kinds: Mapping[str, Kind] | None = None) -> None:
        super().__init__(kinds or {})
        self.zones: dict[str, str] = {}


_BOOLEAN_NODES = (
    exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.In,
    exp.Between, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Like, exp.ILike, exp.SimilarTo,
    exp.RegexpLike, exp.RegexpILike, exp.Exists, exp.Boolean,
)  # fmt: skip
_TEXT_NODES = (exp.DPipe, exp.Concat, exp.Substring, exp.Trim, exp.Overlay)
_SAME_NODES = (
    exp.Paren, exp.Alias, exp.Neg, exp.Filter, exp.Window, exp.IgnoreNulls, exp.RespectNulls,
    exp.WithinGroup, exp.Order, exp.Distinct, exp.BitwiseNot,
)  # fmt: skip
# The second argument tells the zone of the result.
_KEEP_ZONE = frozenset(
    (
        "date_bin",
        "date_bin_gapfill",
        "date_bin_wallclock",
        "date_bin_wallclock_gapfill",
        "date_trunc",
        "datetrunc",
    )
)
_TIME_TYPES = frozenset(
    {
        exp.DataType.Type.TIMESTAMP,
        exp.DataType.Type.TIMESTAMPTZ,
        exp.DataType.Type.TIMESTAMPNTZ,
        exp.DataType.Type.TIMESTAMP_NS,
    }
)
_KIND_OF_TYPE = {
    exp.DataType.Type.FLOAT: Kind.FLOAT,
    exp.DataType.Type.DOUBLE: Kind.FLOAT,
    exp.DataType.Type.DECIMAL: Kind.FLOAT,
    exp.DataType.Type.BOOLEAN: Kind.BOOLEAN,
    exp.DataType.Type.CHAR: Kind.TEXT,
    exp.DataType.Type.VARCHAR: Kind.TEXT,
    exp.DataType.Type.TEXT: Kind.TEXT,
    exp.DataType.Type.DATE: Kind.DATE,
    exp.DataType.Type.INTERVAL: Kind.INTERVAL,
    exp.DataType.Type.UBIGINT: Kind.UNSIGNED,
    **dict.fromkeys(_TIME_TYPES, Kind.TIME),
}


class Source(NamedTuple):
    """One thing that a query selects from."""

    alias: str
    columns: Columns


class Resolution:
    """The names of one query, resolved against the columns of its tables.

    Args:
        query: A checked query with folded names.
        columns_of: Gives the columns of a table; called once per mention.

    Attributes:
        tables: Every mention of a stored (or system) table, in order.
        columns: What the query gives.
    """

    def __init__(self, query: exp.Query, columns_of: Callable[[TableName], Columns]) -> None:
        self.tables: list[tuple[exp.Table, TableName]] = []
        self._columns_of = columns_of
        self._sources: dict[int, list[Source]] = {}
        self._aliases: dict[int, dict[str, exp.Expr]] = {}
        # The node is kept with its kind: an id may be given to another node once it is gone.
        self._kinds: dict[int, tuple[exp.Expr, Kind]] = {}
        self._zones: dict[int, tuple[exp.Expr, str | None]] = {}
        self.columns = self._query(query, {})

    def kind(self, node: exp.Expr | None) -> Kind:
        """The kind of an expression."""
        if node is None:
            return Kind.OTHER
        known = self._kinds.get(id(node))
        if known is not None:
            return known[1]
        self._kinds[id(node)] = (node, Kind.OTHER)  # ends circles such as a AS b, b AS a
        kind = self._infer(node)
        self._kinds[id(node)] = (node, kind)
        return kind

    def set_kind(self, node: exp.Expr, kind: Kind) -> None:
        """Note the kind of an expression that was put into the tree later."""
        self._kinds[id(node)] = (node, kind)

    def zone(self, node: exp.Expr | None) -> str | None:
        """The zone of the type of an expression, if it is a time with a zone."""
        if node is None:
            return None
        known = self._zones.get(id(node))
        if known is not None:
            return known[1]
        self._zones[id(node)] = (node, None)
        zone = self._infer_zone(node)
        self._zones[id(node)] = (node, zone)
        return zone

    def carry(self, made: exp.Expr, node: exp.Expr) -> None:
        """Note that ``made`` takes the place of ``node``, with its kind and zone."""
        if self.kind(made) is Kind.OTHER:
            self.set_kind(made, self.kind(node))
        self._zones[id(made)] = (made, self.zone(node))

    def names_column(self, node: exp.Column) -> bool:
        """Whether a name means a column of something in FROM, or an alias in SELECT."""
        select = nearest = node.find_ancestor(exp.Select)
        while select is not None:
            for source in self.sources(select):
                if _lookup(source.columns, node.name) is not None:
                    return True
            select = select.find_ancestor(exp.Select)
        return nearest is not None and node.name in self._aliased(nearest)

    def sources(self, select: exp.Select) -> list[Source]:
        """What a SELECT selects from."""
        return self._sources.get(id(select), [])

    def _query(self, query: exp.Expr, outer: dict[str, Columns]) -> Columns:
        ctes = self._with(query, outer)
        if isinstance(query, exp.SetOperation):
            columns = self._query(query.this, ctes)
            self._query(query.expression, ctes)
            self._nested(query, ctes, skip=("with_", "this", "expression"))
            return columns
        if isinstance(query, exp.Subquery):
            columns = self._query(query.this, ctes)
            self._nested(query, ctes, skip=("with_", "this", "alias"))
            return columns
        if not isinstance(query, exp.Select):
            raise QueryError("Error during planning: unexpected form of a subquery")
        return self._select(query, ctes)

    def _with(self, query: exp.Expr, outer: dict[str, Columns]) -> dict[str, Columns]:
        clause = query.args.get("with_")
        if clause is None:
            return outer
        ctes = dict(outer)
        for cte in clause.expressions:
            # A recursive table may name itself; its columns are known only after its first part.
            visible = {**ctes, cte.alias: {}} if clause.args.get("recursive") else ctes
            ctes[cte.alias] = _renamed(self._query(cte.this, visible), cte.args.get("alias"))
        return ctes

    def _select(self, select: exp.Select, ctes: dict[str, Columns]) -> Columns:
        sources: list[Source] = []
        self._sources[id(select)] = sources
        clause = select.args.get("from_")
        if clause is not None:
            sources.extend(self._relation(clause.this, ctes))
        sources.extend(self._joins(select, ctes))
        self._nested(select, ctes, skip=("with_", "from_", "joins"))
        columns = DerivedColumns()
        for projection in select.expressions:
            if isinstance(projection, exp.Star):
                shown = sources
            elif isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
                shown = [source for source in sources if source.alias == projection.table]
            else:
                columns[projection.alias_or_name] = self._output_kind(projection)
                zone = self.zone(projection)
                if zone is not None:
                    columns.zones[projection.alias_or_name] = zone
                continue
            for source in shown:
                columns.update(source.columns)
                columns.zones.update(zones_of(source.columns))
        return columns

    def _output_kind(self, node: exp.Expr) -> Kind:
        inner = node.this if isinstance(node, exp.Alias) else node
        # As a column a text literal is text, whatever it would be beside something else.
        is_text = isinstance(inner, exp.Literal) and inner.is_string
        return Kind.TEXT if is_text else self.kind(inner)

    def _joins(self, node: exp.Expr, ctes: dict[str, Columns]) -> Iterator[Source]:
        for join in node.args.get("joins") or []:
            yield from self._relation(join.this, ctes)
            self._nested(join, ctes, skip=("this",))

    def _relation(self, node: exp.Expr, ctes: dict[str, Columns]) -> Iterator[Source]:
        alias = node.args.get("alias")
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            yield Source(node.alias_or_name, _renamed(self._table(node, ctes), alias))
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            yield from self._relation(node.this, ctes)
        elif isinstance(node, exp.Subquery):
            yield Source(node.alias, _renamed(self._query(node, ctes), alias))
            yield from self._joins(node, ctes)
            return
        else:
            self._nested(node, ctes, skip=("alias", "joins"))
            names = alias.columns if alias is not None else []
            kinds = [Kind.OTHER for _ in names]
            if isinstance(node, exp.Values) and isinstance(node.expressions[0], exp.Tuple):
                kinds = [self._output_kind(item) for item in node.expressions[0].expressions]
            columns = DerivedColumns(
                {name.name: kind for name, kind in zip(names, kinds, strict=False)}
            )
            if kinds and isinstance(node, exp.Values):
                found = zip(names, map(self.zone, node.expressions[0].expressions), strict=False)
                columns.zones = {name.name: zone for name, zone in found if zone is not None}
            yield Source(node.alias, columns)
        yield from self._joins(node, ctes)

    def _table(self, node: exp.Table, ctes: dict[str, Columns]) -> Columns:
        if not node.db and node.name in ctes:
            return ctes[node.name]
        if node.catalog and node.catalog != "public":
            raise QueryError(f"Error during planning: catalog '{node.catalog}' not found")
        table = TableName(node.db or "iox", node.name)
        self.tables.append((node, table))
        return self._columns_of(table)

    def _nested(self, node: exp.Expr, ctes: dict[str, Columns], skip: tuple[str, ...] = ()) -> None:
        for key, value in node.args.items():
            if key in skip:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, exp.Query):
                    self._query(child, ctes)
                elif isinstance(child, exp.Expr):
                    self._nested(child, ctes)

    def _infer(self, node: exp.Expr) -> Kind:
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, exp.Literal):
            return _literal(node)
        if isinstance(node, exp.Anonymous):
            return self._function(node)
        if isinstance(node, (exp.Cast, exp.TryCast)):
            return kind_of_type(node.to)
        if isinstance(node, exp.Extract):
            return Kind.FLOAT if node.name.lower() == "epoch" else Kind.INTEGER
        for kind, classes in _FIXED_KINDS:
            if isinstance(node, classes):
                return kind
        if isinstance(node, _SAME_NODES):
            inner = node.expressions[:1] if isinstance(node, exp.Distinct) else [node.this]
            return self.kind(inner[0] if inner else None)
        if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)):
            return self._arithmetic(node)
        if isinstance(node, (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor)):
            return self.kind(node.this)
        if isinstance(node, exp.Case):
            return self._case(node)
        if isinstance(node, exp.Bracket):
            return self._bracket(node)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select):
            return self.kind(node.this.expressions[0])
        return Kind.OTHER

    def _column(self, node: exp.Column) -> Kind:
        select = node.find_ancestor(exp.Select)
        nearest = select
        while select is not None:
            for source in self.sources(select):
                if node.table in ("", source.alias):
                    kind = _lookup(source.columns, node.name)
                    if kind is not None:
                        return kind
            select = select.find_ancestor(exp.Select)
        if nearest is not None and not node.table:
            return self.kind(self._aliased(nearest).get(node.name))
        return Kind.OTHER

    def _infer_zone(self, node: exp.Expr) -> str | None:
        if isinstance(node, exp.Column):
            return self._column_zone(node)
        if isinstance(node, exp.Anonymous):
            return self._function_zone(node)
        if isinstance(node, exp.AtTimeZone):
            return zone_name(node.args["zone"], "AT TIME ZONE")
        if isinstance(node, _SAME_NODES):
            inner = node.expressions[:1] if isinstance(node, exp.Distinct) else [node.this]
            return self.zone(inner[0] if inner else None)
        if isinstance(node, (exp.Add, exp.Sub)):
            return self.zone(node.this) or self.zone(node.expression)
        if isinstance(node, exp.Case):
            parts = [branch.args.get("true") for branch in node.args.get("ifs") or []]
            return self._first_zone([*parts, node.args.get("default")])
        if isinstance(node, exp.Bracket) and isinstance(node.this, exp.Anonymous):
            is_time = node.this.name.lower().startswith("selector_")
            return self._first_zone(node.this.expressions[1:2]) if is_time else None
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select):
            return self.zone(node.this.expressions[0])
        return None

    def _first_zone(self, nodes: Iterable[exp.Expr | None]) -> str | None:
        return next((zone for zone in map(self.zone, nodes) if zone is not None), None)

    def _column_zone(self, node: exp.Column) -> str | None:
        select = nearest = node.find_ancestor(exp.Select)
        while select is not None:
            for source in self.sources(select):
                if node.table in ("", source.alias) and node.name in source.columns:
                    return zones_of(source.columns).get(node.name)
            select = select.find_ancestor(exp.Select)
        if nearest is not None and not node.table:
            return self.zone(self._aliased(nearest).get(node.name))
        return None

    def _function_zone(self, node: exp.Anonymous) -> str | None:
        name, arguments = node.name.lower(), node.expressions
        if name == "tz":
            return zone_name(arguments[1], "tz") if len(arguments) > 1 else UTC
        if name == "from_unixtime" and len(arguments) > 1:
            return zone_name(arguments[1], "from_unixtime")
        if name == "arrow_cast" and len(arguments) == 2:
            return arrow_timestamp(arguments[1].name)[1]
        if name in _KEEP_ZONE:
            return self._first_zone(arguments[1:2])
        function = PLAIN.get(name)
        if (function is not None and function.kind is None) or SPECIAL.get(name, name) is None:
            return self._first_zone(arguments)
        return None

    def _aliased(self, select: exp.Select) -> dict[str, exp.Expr]:
        aliased = self._aliases.get(id(select))
        if aliased is None:
            # Of equal names the first counts.
            aliased = {
                projection.alias: projection.this
                for projection in reversed(select.expressions)
                if isinstance(projection, exp.Alias)
            }
            self._aliases[id(select)] = aliased
        return aliased

    def _function(self, node: exp.Anonymous) -> Kind:
        name = node.name.lower()
        arguments = node.expressions
        if name in INTERNAL:
            return INTERNAL[name]
        kind = PLAIN[name].kind if name in PLAIN else SPECIAL.get(name, Kind.OTHER)
        if name == "arrow_cast" and len(arguments) == 2:
            return kind_of_arrow_name(arguments[1].name)
        if name in ("date_part", "datepart") and arguments and arguments[0].name == "epoch":
            return Kind.FLOAT
        if kind is not None:
            return kind
        kinds = [self.kind(argument) for argument in arguments]
        return next((kind for kind in kinds if kind is not Kind.OTHER), Kind.OTHER)

    def _arithmetic(self, node: Any) -> Kind:
        left, right = self.kind(node.this), self.kind(node.expression)
        both = (left, right)
        if isinstance(node, exp.Sub) and left is Kind.TIME and right is Kind.TIME:
            return Kind.INTERVAL
        if isinstance(node, (exp.Add, exp.Sub)) and (Kind.TIME in both or Kind.DATE in both):
            return Kind.TIME
        if Kind.INTERVAL in both:
            return Kind.INTERVAL
        if Kind.FLOAT in both:
            return Kind.FLOAT
        if left.is_whole and right.is_whole:
            return Kind.UNSIGNED if left is right is Kind.UNSIGNED else Kind.INTEGER
        return Kind.OTHER

    def _case(self, node: exp.Case) -> Kind:
        results = [branch.args.get("true") for branch in node.args.get("ifs") or []]
        results.append(node.args.get("default"))
        kinds = {self.kind(result) for result in results if result is not None}
        kinds -= {Kind.OTHER}
        return kinds.pop() if len(kinds) == 1 else Kind.OTHER

    def _bracket(self, node: exp.Bracket) -> Kind:
        inner = node.this
        if isinstance(inner, exp.Anonymous) and inner.name.lower().startswith("selector_"):
            wanted = 1 if node.expressions[0].name == "time" else 0
            if len(inner.expressions) == 2:
                return self.kind(inner.expressions[wanted])
        return Kind.OTHER


_FIXED_KINDS: tuple[tuple[Kind, tuple[type, ...]], ...] = (
    (Kind.BOOLEAN, _BOOLEAN_NODES),
    (Kind.TEXT, _TEXT_NODES),
    (Kind.INTERVAL, (exp.Interval,)),
    (Kind.TIME, (exp.CurrentTimestamp, exp.AtTimeZone)),
    (Kind.DATE, (exp.CurrentDate,)),
    (Kind.INTEGER, (exp.StrPosition,)),
)


def kind_of_type(data_type: exp.DataType) -> Kind:
    """The kind of values of an SQL type."""
    kind = _KIND_OF_TYPE.get(data_type.this)
    if kind is None:
        whole = data_type.this in exp.DataType.INTEGER_TYPES
        kind = Kind.INTEGER if whole else Kind.OTHER
    return kind


def kind_of_arrow_name(name: str) -> Kind:
    """The kind of values of an Arrow type that is given by name, as in ``arrow_cast``."""
    for prefix, kind in (
        ("UInt64", Kind.UNSIGNED),
        ("UInt", Kind.INTEGER),
        ("Int", Kind.INTEGER if not name.startswith("Interval") else Kind.INTERVAL),
        ("Float", Kind.FLOAT),
        ("Timestamp", Kind.TIME),
        ("Date", Kind.DATE),
        ("Boolean", Kind.BOOLEAN),
    ):
        if name.startswith(prefix):
            return kind
    return Kind.TEXT if "Utf8" in name else Kind.OTHER


def _literal(node: exp.Literal) -> Kind:
    if node.is_string:
        # A text literal takes the type of what it meets, so it has none of its own.
        return Kind.OTHER
    return Kind.FLOAT if any(sign in node.name for sign in ".eE") else Kind.INTEGER


def _lookup(columns: Columns, name: str) -> Kind | None:
    kind = columns.get(name)
    if kind is None and columns:
        folded = name.lower()
        kind = next((kind for key, kind in columns.items() if key.lower() == folded), None)
    return kind


def zones_of(columns: Columns) -> Mapping[str, str]:
    """The zones of those columns that are times with a zone."""
    return columns.zones if isinstance(columns, DerivedColumns) else {}


def _renamed(columns: Columns, alias: exp.TableAlias | None) -> Columns:
    names = [name.name for name in alias.columns] if alias is not None else []
    if not names:
        return columns
    old_names = list(columns)
    new_names = dict(zip(old_names, names, strict=False))
    renamed = DerivedColumns({new_names.get(name, name): columns[name] for name in old_names})
    renamed.zones = {new_names.get(name, name): zone for name, zone in zones_of(columns).items()}
    return renamed
