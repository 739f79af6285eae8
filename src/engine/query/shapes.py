# Owns the step from a text to its shape: the same text with parameters in place of the values that
# its conditions compare with. Dashboards ask one question with other times and hosts again and
# again; by its shape it is parsed and translated once. Works on the text alone, and only where that
# is plain: whatever is unusual has no shape.
"""Shapes of queries."""

import re

from engine.query.slots import is_number_text

# Quoted names, comments, escapes and parameters of the user's own make a text unusual.
_UNUSUAL = re.compile(r'["$\\`;]|--|/\*|\'\'')
# What is compared with a text, up to where the condition surely ends.
_COMPARED = re.compile(
    r"(?P<before>\b\w+\s*(?:>=|<=|=|<|>)\s*)'(?P<value>[^']*)'(?=\s*(?:$|\)|\b(?:AND|OR|GROUP|ORDER"
    r"|LIMIT)\b))",
    re.IGNORECASE | re.ASCII,
)
_CLAUSE = re.compile(
    r"\b(SELECT|(?<!DISTINCT )FROM|WHERE|GROUP|HAVING|ORDER|LIMIT|QUALIFY|ON|CASE)\b|[()]",
    re.IGNORECASE,
)
_TEXT = re.compile(r"'[^']*'")
# No user's parameter, for a text with one has no shape.
_PREFIX = "headrace_value_"


def shape_of(sql: str) -> tuple[str, dict[str, object]] | None:
    """The text with parameters in place of values, and the values by parameter.

    None for a text that has no such values, or is not plain. The two mean the same.
    """
    if _UNUSUAL.search(sql):
        return None
    # As long as it was, so that places stay; words in texts are no clauses.
    bare = _TEXT.sub(lambda text: "'" + "_" * (len(text[0]) - 2) + "'", sql)
    clauses = _clauses(bare)
    values: dict[str, object] = {}
    parts: list[str] = []
    end = 0
    for compared in _COMPARED.finditer(bare):
        start = compared.start()
        clause = next((word for place, word in reversed(clauses) if place < start), "")
        # A number may stand in a text, where a number is wanted.
        if clause != "WHERE" or is_number_text(sql[slice(*compared.span("value"))]):
            continue
        name = f"{_PREFIX}{len(values)}"
        begin, after = compared.span("value")
        values[name] = sql[begin:after]
        parts += [sql[end : begin - 1], f"${name}"]
        end = after + 1
    return ("".join([*parts, sql[end:]]), values) if values else None


def _clauses(bare: str) -> list[tuple[int, str]]:
    """The clause that begins at each place; all is SELECT within brackets of a SELECT list.

    What stands there names a column of the answer, and must be as the user wrote it.
    """
    clauses: list[tuple[int, str]] = []
    outer: list[tuple[str, bool]] = []
    clause, is_list = "", False
    for found in _CLAUSE.finditer(bare):
        if found[0] == "(":
            outer.append((clause, is_list))
            is_list = is_list or clause == "SELECT"
        elif found[0] == ")":
            clause, is_list = outer.pop() if outer else (clause, is_list)
        else:
            clause = found[1].upper()
        clauses.append((found.start(), "SELECT" if is_list else clause))
    return clauses
