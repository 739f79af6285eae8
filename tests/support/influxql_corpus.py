# Owns the data and the statements by which answers to InfluxQL are compared with those of InfluxDB
# 1.x: three tables of a few dozen rows, statements of dashboards and shells written by hand, and any
# number put together at random. The answers are in tests/corpus/influxql.
"""Statements of InfluxQL to compare answers by."""

import random
from collections.abc import Iterator

T0_S = 1_735_689_600  # 2025-01-01T00:00:00Z
_SPRING_S = 1_743_292_800  # 2025-03-30T00:00:00Z, an hour before clocks go forward in Berlin
_AUTUMN_S = 1_761_436_800  # 2025-10-26T00:00:00Z, an hour before they go back

# (table, tags, fields, seconds); numbers are multiples of a quarter, so that sums are exact.
Row = tuple[str, dict[str, str], dict[str, object], int]


def rows() -> list[Row]:
    """The rows, in the order of time within each series."""
    found: list[Row] = []
    for number in range(24):
        at_s = T0_S + number * 400 + (number % 3) * 7
        host = "abc"[number % 3]
        region = {"a": "eu", "b": "us"}.get(host)
        tags = {"host": host, **({"region": region} if region else {})}
        fields: dict[str, object] = {"usage": (number * 7 % 12) / 4}
        if number % 4:
            fields["cores"] = number * 5 % 8
        if number % 5 == 0:
            fields |= {"note": f"n{number % 2}", "up": number % 2 == 0}
        if number in (9, 10, 11):
            del fields["usage"]
            fields["cores"] = number
        found.append(("cpu", tags, fields, at_s))
    for number in range(12):
        fields = {"free": 100 - number * 2.5, "used": number * number}
        found.append(("mem", {"host": "ab"[number % 2]}, fields, T0_S + number * 600))
    for number in range(60):
        start_s = _SPRING_S if number < 30 else _AUTUMN_S
        at_s = start_s - 43_200 + number % 30 * 3600
        found.append(("clock", {}, {"tick": 1, "level": number % 7 / 2}, at_s))
    return found


def lines() -> str:
    """The rows as line protocol, times in seconds."""
    return "\n".join(_line(row) for row in rows())


def _line(row: Row) -> str:
    table, tags, fields, at_s = row
    key = ",".join([table, *(f"{name}={value}" for name, value in tags.items())])
    return f"{key} {','.join(f'{name}={_value(value)}' for name, value in fields.items())} {at_s}"


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return f"{value}i"
        case str():
            return f'"{value}"'
        case _:
            return str(value)


_RANGE = "time >= '2025-01-01T00:00:00Z' AND time < '2025-01-01T03:00:00Z'"
_FIELDS = {"cpu": ("usage", "cores"), "mem": ("free", "used"), "clock": ("tick", "level")}
_TAGS = {"cpu": ("host", "region"), "mem": ("host",), "clock": ()}
_PLAIN = ["count", "sum", "mean", "median", "spread", "min", "max"]
_AGGREGATES = [*_PLAIN, "stddev", "first", "last"]
_STEPS = ["derivative", "non_negative_derivative", "difference", "non_negative_difference"]
_STEPS += ["cumulative_sum", "elapsed"]
_FILLS = ["", "", "fill(none)", "fill(null)", "fill(previous)", "fill(linear)", "fill(7)"]


class Statements:
    """Statements at random, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __iter__(self) -> Iterator[str]:
        while True:
            yield self.statement()

    def statement(self) -> str:
        """One statement."""
        chance = self._random.random()
        if chance < 0.35:
            return self._nested()
        table = self._random.choice(["cpu", "cpu", "mem"])
        return self._select(table)[0]

    def _pick(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _select(self, table: str, *, is_inner: bool = False) -> tuple[str, list[str], list[str]]:
        """A statement, the columns that it gives, and the tags that it groups by."""
        kinds = ["raw", "aggregate", "aggregate", "interval", "interval", "steps"]
        # Version 1 mixes series up where a subquery fills, or goes from row to row, by tags.
        kind = self._pick(*(kinds[:-1] if is_inner else kinds))
        groups = [tag for tag in _TAGS[table] if self._random.random() < 0.4]
        condition = self._condition(table)
        if kind == "raw":
            return self._raw(table, groups, condition, is_inner=is_inner)
        interval = self._pick("10m", "30m", "45m", "1h") if kind != "aggregate" else ""
        columns, names = self._calls(table, kind, is_inner=is_inner)
        fill = self._pick(*_FILLS) if interval and not is_inner else ""
        if interval:
            offset = "" if is_inner else self._pick("", "", ", 5m")
            groups = [f"time({interval}{offset})", *groups]
            condition = " AND ".join(part for part in (condition, _RANGE) if part)
        text = self._assembled(columns, table, condition, groups, fill, is_inner=is_inner)
        return text, names, [group for group in groups if not group.startswith("time")]

    def _raw(
        self, table: str, groups: list[str], condition: str, *, is_inner: bool
    ) -> tuple[str, list[str], list[str]]:
        fields = list(_FIELDS[table])
        self._random.shuffle(fields)
        names = fields[: self._random.randint(1, 2)]
        columns = list(names)
        if self._random.random() < 0.3:
            operator = self._pick("+", "-", "*", *([] if is_inner else ["/"]))
            columns.append(f"{names[0]} {operator} {self._pick('2', '0.5')}")
            columns[-1] += " AS x"
            names = [*names, "x"]
        text = self._assembled(columns, table, condition, groups, "", is_inner=is_inner)
        return text, names, groups

    def _calls(self, table: str, kind: str, *, is_inner: bool) -> tuple[list[str], list[str]]:
        columns, names = [], []
        for index in range(self._random.randint(1, 2)):
            field = self._pick(*_FIELDS[table])
            call = f"{self._pick(*(_PLAIN if is_inner else _AGGREGATES))}({field})"
            if kind == "interval" and self._random.random() < 0.2:
                call = f"percentile({field}, {self._pick('5', '50', '90', '100')})"
            if kind == "steps":
                call = f"{self._pick(*_STEPS)}({call})"
                if self._random.random() < 0.15:
                    call = f"moving_average(mean({field}), {self._pick('2', '3')})"
            columns.append(f"{call} AS c{index}")
            names.append(f"c{index}")
        if len(columns) == 2 and self._random.random() < 0.2:
            both = " + ".join(column.split(" AS ")[0] for column in columns)
            return [f"{both} AS c0"], ["c0"]
        return columns, names

    def _condition(self, table: str) -> str:
        numeric = self._pick(*_FIELDS[table])
        parts = [f"{numeric} {self._pick('>', '<', '>=', '!=')} {self._pick('1', '2', '5', '0.5')}"]
        if _TAGS[table]:
            tag = self._pick(*_TAGS[table])
            parts += [f"{tag} = '{self._pick('a', 'b', 'eu', '')}'", f"{tag} =~ /a|u/"]
            parts.append(f"{tag} != '{self._pick('a', '')}'")
        chosen = [part for part in parts if self._random.random() < 0.2]
        return f"({self._pick(' AND ', ' OR ').join(chosen)})" if chosen else ""

    def _assembled(
        self,
        columns: list[str],
        table: str,
        condition: str,
        groups: list[str],
        fill: str,
        *,
        is_inner: bool,
    ) -> str:
        text = f"SELECT {', '.join(columns)} FROM {table}"
        text += f" WHERE {condition}" if condition else ""
        text += f" GROUP BY {', '.join(groups)}" if groups else ""
        text += f" {fill}" if fill else ""
        if not is_inner:
            # Backwards version 1 picks others of equal values, and gives areas below zero.
            is_odd = any(word in text for word in ("mode", "integral", "percentile"))
            text += "" if is_odd else self._pick("", "", " ORDER BY time DESC")
        is_alone = not (is_inner and groups) and len(columns) == 1 and columns[0].count("(") < 2
        # Of several columns version 1 counts the rows of each on its own.
        return text + (self._pick("", "", " LIMIT 3", " LIMIT 2 OFFSET 1") * is_alone)

    def _nested(self) -> str:
        table = self._pick("cpu", "mem")
        inner, names, tags = self._select(table, is_inner=True)
        if self._random.random() < 0.2:
            inner = f"SELECT {', '.join(names)} FROM ({inner})"
            inner += f" GROUP BY {', '.join(tags)}" if tags else ""
        groups = [tag for tag in tags if self._random.random() < 0.5]
        name = self._pick(*names)
        condition = self._pick("", "", f"{name} > 1", _RANGE)
        columns = [f"{self._pick(*_PLAIN)}({name}) AS y"]
        kind = self._pick("raw", "aggregate", "aggregate", "interval")
        if kind == "raw":
            columns = [*names, *(tag for tag in tags if self._random.random() < 0.3)]
        elif kind == "interval":
            groups = [f"time({self._pick('30m', '1h')})", *groups]
            condition = _RANGE
        fill = self._pick(*_FILLS) if kind == "interval" else ""
        return self._assembled(columns, f"({inner})", condition, groups, fill, is_inner=True)
