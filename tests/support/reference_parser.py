# Owns the slow, obvious parser that the fast one is compared with. It works on str, character by
# character, shares no code with lp_core and is written after the rules, not the implementation.
# Tolerant choices: a CR at the end of a logical line is dropped, spaces after the fields pass.
"""Reference parser of line protocol, used as the oracle of property tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

TEXT_BYTES_MAX = 1 << 20
INT64_MIN, INT64_MAX, UINT64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
NS_PER_UNIT = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
RESERVED_COLUMNS = ("time", "__chunk_order")

INTEGER = re.compile(r"(-?[0-9]+)i")
UNSIGNED = re.compile(r"([0-9]+)u")
FLOAT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
TIMESTAMP = re.compile(r" +(-?[0-9]+) *")
BOOLEANS = ("true", "True", "TRUE", "t", "T", "false", "False", "FALSE", "f", "F")

Value = float | int | str | bool


@dataclass(frozen=True)
class Point:
    """One accepted line; ``time`` is in nanoseconds, None when the line has no timestamp."""

    line: int
    nth: int
    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, str, Value], ...]
    time: int | None


@dataclass(frozen=True)
class Rejected:
    """One refused line, or the whole body when ``line`` is 0."""

    line: int
    nth: int
    why: str


@dataclass
class Result:
    """What a body holds, in order."""

    points: list[Point] = field(default_factory=list)
    errors: list[Rejected] = field(default_factory=list)


class LineRefusedError(Exception):
    """A line is not acceptable; ``why`` is the category."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NoMatchError(Exception):
    """The text at hand is not of the wanted form; another form may still fit."""


def parse(body: bytes, precision: str = "ns") -> Result:
    """Parse a body with every check that a write into an empty database makes."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return Result(errors=[Rejected(0, 0, "utf8")])
    result = Result()
    columns: dict[str, dict[str, str]] = {}
    for nth, (line_number, line) in enumerate(logical_lines(text), start=1):
        try:
            measurement, tags, fields, time = parse_line(line)
            new_columns = check_columns(columns.get(measurement, {}), tags, fields)
            scaled = None if time is None else scale_time(time, precision)
        except LineRefusedError as refusal:
            result.errors.append(Rejected(line_number, nth, refusal.why))
            continue
        columns.setdefault(measurement, {}).update(new_columns)
        result.points.append(
            Point(line_number, nth, measurement, tuple(tags), tuple(fields), scaled)
        )
    return result


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (physical line number, text) of every line that is neither blank nor a comment."""
    for start, line in cut_lines(text):
        bare = line.removesuffix("\r")
        kept = bare
        while True:
            kept = kept.lstrip(" \t\n")
            if not kept.startswith("#"):
                break
            _, _, kept = kept.partition("\n")
        if kept:
            offset = start + len(bare) - len(kept)
            yield text.count("\n", 0, offset) + 1, kept


def cut_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (offset, text) of every piece between line feeds that end a line."""
    start = 0
    escaped = in_fields = quoted = False
    equals = commas = 0
    for offset, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "\n" and not quoted:
            yield start, text[start:offset]
            start = offset + 1
            in_fields = False
            equals = commas = 0
        elif not in_fields:
            in_fields = character == " "
        elif character == '"':
            if equals > commas:
                quoted = not quoted
        elif not quoted:
            equals += character == "="
            commas += character == ","
    yield start, text[start:]


def parse_line(
    line: str,
) -> tuple[str, list[tuple[str, str]], list[tuple[str, str, Value]], int | None]:
    """Return measurement, tags, fields and unscaled timestamp of one logical line."""
    measurement, rest = take_name(line, " \t\n\0,", ", \\", "measurement")
    tags: list[tuple[str, str]] = []
    while rest.startswith(","):
        key, rest = take_name(rest[1:], " \t\n=", ",= \\", "tag-key")
        if not rest.startswith("="):
            raise LineRefusedError("tag-malformed")
        value, rest = take_name(rest[1:], " \t\n,", ",= \\", "tag-value")
        tags.append((key, value))
    if not rest.startswith(" "):
        raise LineRefusedError("missing-space")
    fields, rest = take_fields(rest.lstrip(" "))
    time = None
    match = TIMESTAMP.match(rest)
    if match:
        time = int(match[1])
        if not INT64_MIN <= time <= INT64_MAX:
            raise LineRefusedError("time-range")
        rest = rest[match.end() :]
    if rest.strip(" "):
        raise LineRefusedError("trailing")
    return measurement, tags, fields, time


def take_name(text: str, ends: str, escapable: str, why: str) -> tuple[str, str]:
    """Return the unescaped name at the start of the text, and what follows it."""
    name: list[str] = []
    offset = 0
    while offset < len(text) and text[offset] not in ends:
        if text[offset] != "\\":
            name.append(text[offset])
            offset += 1
            continue
        escaped = text[offset + 1 : offset + 2]
        name.append(escaped if escaped and escaped in escapable else "\\" + escaped)
        offset += 2
    joined = "".join(name)
    if not joined:
        raise LineRefusedError(why)
    refuse_too_long(joined)
    if joined.endswith("\\"):
        raise LineRefusedError("trailing-backslash")
    return joined, text[offset:]


def take_fields(text: str) -> tuple[list[tuple[str, str, Value]], str]:
    """Return the fields at the start of the text, and what follows them."""
    try:
        first, rest = take_field(text)
    except NoMatchError:
        raise LineRefusedError("no-fields") from None
    fields = [first]
    while rest.startswith(","):
        try:
            following, after = take_field(rest[1:])
        except NoMatchError:
            # The comma after the only field goes with it; any later one stays behind.
            return fields, rest[1:] if len(fields) == 1 else rest
        fields.append(following)
        rest = after
    return fields, rest


def take_field(text: str) -> tuple[tuple[str, str, Value], str]:
    """Return (key, type, value) of the field at the start of the text, and what follows it."""
    try:
        key, rest = take_name(text, " \t\n=", ",= \\", "field-key")
    except LineRefusedError as refusal:
        if refusal.why == "field-key":
            raise NoMatchError from None
        raise
    if not rest.startswith("="):
        raise NoMatchError
    kind, value, rest = take_value(rest[1:])
    return (key, kind, value), rest


def take_value(text: str) -> tuple[str, Value, str]:
    """Return type and value at the start of the text, and what follows them."""
    if match := INTEGER.match(text):
        integer = int(match[1])
        if not INT64_MIN <= integer <= INT64_MAX:
            raise LineRefusedError("int-range")
        return "int", integer, text[match.end() :]
    if match := UNSIGNED.match(text):
        unsigned = int(match[1])
        if unsigned > UINT64_MAX:
            raise LineRefusedError("uint-range")
        return "uint", unsigned, text[match.end() :]
    if match := FLOAT.match(text):
        return "float", float(match[0]), text[match.end() :]
    if text.startswith('"'):
        string, rest = take_string(text[1:])
        return "string", string, rest
    for word in BOOLEANS:
        if text.startswith(word):
            return "bool", word[0] in "tT", text[len(word) :]
    raise NoMatchError


def take_string(text: str) -> tuple[str, str]:
    """Return the string up to its closing quote, and what follows the quote."""
    string: list[str] = []
    offset = 0
    while offset < len(text):
        character = text[offset]
        if character == '"':
            joined = "".join(string)
            refuse_too_long(joined)
            return joined, text[offset + 1 :]
        if character == "\\" and text[offset + 1 : offset + 2] in ('"', "\\"):
            offset += 1
            character = text[offset]
        string.append(character)
        offset += 1
    raise NoMatchError


def refuse_too_long(text: str) -> None:
    if len(text.encode("utf-8")) > TEXT_BYTES_MAX:
        raise LineRefusedError("too-long")


def check_columns(
    known: dict[str, str], tags: list[tuple[str, str]], fields: list[tuple[str, str, Value]]
) -> dict[str, str]:
    """Return the columns that the line needs, by name, or refuse the line."""
    wanted: dict[str, str] = {}
    for key, _ in tags:
        if key in RESERVED_COLUMNS:
            raise LineRefusedError("reserved-column")
        if known.get(key, "tag") != "tag":
            raise LineRefusedError("type-conflict")
        if key in wanted:
            raise LineRefusedError("duplicate-tag")
        wanted[key] = "tag"
    for key, kind, _ in fields:
        if key in RESERVED_COLUMNS:
            raise LineRefusedError("reserved-column")
        if known.get(key, kind) != kind or wanted.get(key, kind) != kind:
            raise LineRefusedError("type-conflict")
        if key in wanted:
            raise LineRefusedError("duplicate-field")
        wanted[key] = kind
    return wanted


def scale_time(time: int, precision: str) -> int:
    """Return the timestamp in nanoseconds."""
    if precision == "auto":
        precision = guess_precision(time)
    scaled = time * NS_PER_UNIT[precision]
    if not INT64_MIN <= scaled <= INT64_MAX:
        raise LineRefusedError("time-scale")
    return scaled


def guess_precision(time: int) -> str:
    magnitude = abs(time) // 1_000_000_000
    for unit, limit in (("s", 5), ("ms", 5_000), ("us", 5_000_000)):
        if magnitude < limit:
            return unit
    return "ns"


def truncate_time(time_ns: int, precision: str) -> int:
    """Return the ingest time as a line without timestamp gets it."""
    unit_ns = 1 if precision == "auto" else NS_PER_UNIT[precision]
    return time_ns // unit_ns * unit_ns
