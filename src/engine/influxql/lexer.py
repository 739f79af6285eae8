# Owns the words of InfluxQL. What they mean is decided in parser.py.
"""Cutting InfluxQL into tokens."""

import re
from enum import StrEnum

import msgspec

from engine.errors import QueryError

# The largest time and duration, as everywhere: 64 bits of nanoseconds.
_NS_MAX = 2**63 - 1

UNITS_NS = {
    "ns": 1,
    "u": 1_000,
    "µ": 1_000,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}

# Behind these a slash begins a regular expression; behind anything else it divides.
_BEFORE_REGEX = frozenset({"SELECT", "FROM", "BY", "=~", "!~", ",", "(", "=", "DISTINCT", "."})


class TokenKind(StrEnum):
    """What a token is."""

    # A bare word, which may be a keyword, and a name in double quotes, which is none.
    WORD = "word"
    NAME = "name"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    DURATION = "duration"
    REGEX = "regex"
    PARAMETER = "parameter"
    SYMBOL = "symbol"
    END = "end"


class Token(msgspec.Struct, frozen=True):
    """One token: its text without quotes, and where it begins."""

    kind: TokenKind
    text: str
    offset: int


_UNIT = "ns|us|ms|u|µ|s|m|h|d|w"
_PATTERN = re.compile(
    rf"""
    (?P<space>(?:\s+|--[^\n]*|/\*.*?\*/)+)
  | (?P<duration>(?:\d+(?:{_UNIT}))+(?![\w.]))
  | (?P<number>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
  | (?P<integer>\d+)
  | (?P<word>[^\W\d]\w*)
  | (?P<name>"(?:[^"\\\n]|\\.)*")
  | (?P<string>'(?:[^'\\\n]|\\.)*')
  | (?P<parameter>\$(?:\w+|"(?:[^"\\\n]|\\.)*"))
  | (?P<symbol>::|=~|!~|!=|<>|<=|>=|[-+*/%&|^()=<>,.;:])
    """,
    re.VERBOSE | re.DOTALL,
)
_REGEX = re.compile(r"/((?:[^/\\\n]|\\.)*)/")
# Longer ones are outside of what any type holds.
_NUMBERS = frozenset({"duration", "number", "integer"})
_NUMBER_CHARACTERS_MAX = 400
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "\\": "\\", '"': '"', "'": "'"}
_DURATION = re.compile(rf"(?:\d+(?:{_UNIT}))+")
_DURATION_PART = re.compile(rf"(\d+)({_UNIT})")


def tokens_of(text: str, most: int) -> list[Token]:
    """The tokens of `text`, with one at its end; at `most` so many.

    Raises:
        QueryError: Something in it is no token, or there are more.
    """
    found: list[Token] = []
    offset = 0
    while offset < len(text):
        regex = _REGEX.match(text, offset) if text[offset] == "/" else None
        if regex is not None and _may_be_regex(found) and not text.startswith("/*", offset):
            found.append(Token(TokenKind.REGEX, regex[1].replace("\\/", "/"), offset))
            offset = regex.end()
        else:
            match = _PATTERN.match(text, offset)
            if match is None:
                raise syntax_error(f"unexpected character '{text[offset]}'", offset)
            kind = match.lastgroup
            assert kind is not None
            if kind in _NUMBERS and len(match[0]) > _NUMBER_CHARACTERS_MAX:
                reason = f"a number is longer than {_NUMBER_CHARACTERS_MAX} digits"
                raise syntax_error(reason, offset)
            if kind != "space":
                found.append(Token(TokenKind(kind), _content(kind, match[0]), offset))
            offset = match.end()
        if len(found) > most:
            raise QueryError(
                f"the query has more than {most} words",
                hint="use a regular expression instead of a list, or send several queries",
            )
    found.append(Token(TokenKind.END, "", len(text)))
    return found


def duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as ``1h30m``.

    Raises:
        QueryError: It is none, or does not fit into 64 bits.
    """
    if len(text) > _NUMBER_CHARACTERS_MAX or not _DURATION.fullmatch(text):
        raise QueryError(f"error parsing query: '{text}' is not a duration")
    total = sum(int(count) * UNITS_NS[unit] for count, unit in _DURATION_PART.findall(text))
    if total > _NS_MAX:
        raise QueryError(f"error parsing query: duration '{text}' is too long")
    return total


def syntax_error(reason: str, offset: int) -> QueryError:
    """The error for a text that does not follow the grammar."""
    return QueryError(f"error parsing query: {reason} at char {offset + 1}")


def _may_be_regex(before: list[Token]) -> bool:
    if not before:
        return False
    last = before[-1]
    text = last.text.upper() if last.kind is TokenKind.WORD else last.text
    return last.kind in (TokenKind.WORD, TokenKind.SYMBOL) and text in _BEFORE_REGEX


def _content(kind: str, text: str) -> str:
    if kind == "parameter":
        kind, text = "name" if text[1] == '"' else "word", text[1:]
    if kind in ("name", "string"):
        return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), text[1:-1])
    return text
