# Owns the translation of regular expressions: functions, flags and groups. The reference's engine
# and DuckDB's (RE2) read nearly the same language.
"""Regular expressions in queries."""

import re

from sqlglot import exp

from engine.errors import QueryError, QueryNotSupportedError
from engine.query.macros import MATCH_GROUPS_MAX
from engine.query.operators import call

_GROUP = re.compile(r"\$\{?(\d)\}?")
_FLAGS = frozenset("imsU")
# A bracket that is not escaped and opens a group with a number or a name.
_OPENED = re.compile(r"\\.|\[(?:\\.|\^?\]?(?:\\.|[^\]\\])*)\]|\((?!\?)|\(\?P?<", re.DOTALL)


def flagged(pattern: exp.Expr, flags: exp.Expr | None) -> exp.Expr:
    """The pattern with its flags in front.

    Raises:
        QueryNotSupportedError: A flag is not known, or the flags are not constant.
    """
    if flags is None:
        return pattern
    letters = _letters(flags)
    if not letters:
        return pattern
    prefix = f"(?{letters})"
    if isinstance(pattern, exp.Literal):
        return exp.Literal.string(prefix + pattern.name)
    return call("concat", exp.Literal.string(prefix), pattern)


def _letters(flags: exp.Expr) -> str:
    if not isinstance(flags, exp.Literal) or not flags.is_string:
        raise QueryNotSupportedError("flags of a regular expression must be a constant text")
    unknown = set(flags.name) - _FLAGS
    if unknown:
        raise QueryNotSupportedError(
            f"the flag '{min(unknown)}' of a regular expression is not supported",
            hint="i, m, s, U, and g in regexp_replace",
        )
    return "".join(sorted(set(flags.name)))


def like(text: exp.Expr, pattern: exp.Expr, flags: exp.Expr | None = None) -> exp.Expr:
    """``regexp_like``."""
    return call("regexp_matches", text, flagged(pattern, flags))


def count(
    text: exp.Expr,
    pattern: exp.Expr,
    start: exp.Expr | None = None,
    flags: exp.Expr | None = None,
) -> exp.Expr:
    """``regexp_count``."""
    if start is not None:
        text = call("substr", text, start)
    return call("len", call("regexp_extract_all", text, flagged(pattern, flags)))


def position(text: exp.Expr, pattern: exp.Expr) -> exp.Expr:
    """``regexp_instr``: where the first match begins, or 0."""
    if not isinstance(pattern, exp.Literal):
        raise QueryNotSupportedError("the pattern of regexp_instr must be a constant text")
    # What stands before the first match, and the match.
    before = exp.Literal.string(f"(?s)^(.*?)(?-s:{pattern.name})")
    return call("headrace_position", text, before)


def matched(text: exp.Expr, pattern: exp.Expr, flags: exp.Expr | None = None) -> exp.Expr:
    """``regexp_match``: the groups of the first match, or all of it if there are none."""
    if not isinstance(pattern, exp.Literal):
        raise QueryNotSupportedError("the pattern of regexp_match must be a constant text")
    groups = sum(match.group(0)[0] == "(" for match in _OPENED.finditer(pattern.name))
    if groups > MATCH_GROUPS_MAX:
        raise QueryNotSupportedError(f"regexp_match takes {MATCH_GROUPS_MAX} groups at most")
    return call(f"headrace_match_{groups}", text, flagged(pattern, flags))


def replaced(
    text: exp.Expr, pattern: exp.Expr, new: exp.Expr, flags: exp.Expr | None = None
) -> exp.Expr:
    """``regexp_replace``; only the flag ``g`` replaces more than the first match."""
    if isinstance(new, exp.Literal):
        # Both $1 and \1 name a group for users, only the latter does for DuckDB.
        new = exp.Literal.string(_GROUP.sub(r"\\\1", new.name))
    arguments = [text, pattern, new]
    if flags is not None:
        if not isinstance(flags, exp.Literal) or not flags.is_string:
            raise QueryError("flags of regexp_replace must be a constant text")
        others = exp.Literal.string(flags.name.replace("g", ""))
        arguments[1] = flagged(pattern, others)
        if "g" in flags.name:
            arguments.append(exp.Literal.string("g"))
    return call("regexp_replace", *arguments)
