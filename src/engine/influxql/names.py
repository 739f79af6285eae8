# Owns the matching of names by regular expressions: with the engine that SQL uses too, whose time
# grows with the text alone. Python's own would stop the whole server for a malicious pattern.
"""Names that match."""

from collections.abc import Iterable

import pyarrow
import pyarrow.compute

from engine.errors import QueryError


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Those of `names` in which `pattern` is found.

    Raises:
        QueryError: It is no regular expression.
    """
    candidates = list(names)
    column = pyarrow.array(candidates, pyarrow.utf8())
    try:
        found = pyarrow.compute.match_substring_regex(column, pattern).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise QueryError(f"invalid regular expression /{pattern}/: {error}") from error
    return [name for name, is_match in zip(candidates, found, strict=True) if is_match]
