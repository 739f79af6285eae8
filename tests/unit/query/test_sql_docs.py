# docs/sql.md says what becomes of every function of the reference; it may say nothing else than what
# the server does.
import re
from pathlib import Path

import pytest

from engine.errors import QueryNotSupportedError
from engine.query.dialect import ParseLimits, parse_statement
from engine.query.executor import QueryConfig
from engine.query.functions import AGGREGATES, COUNTS, PLAIN, REFUSED, SPECIAL, WINDOWS
from engine.query.sandbox import check_query
from tests.unit.query.test_corpus import cases

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text()
# With a grammar of their own.
FORMS = {"extract", "overlay", "position"}
ROWS = re.findall(r"^\| `(\w+)` \| (same|differs|refused) \| (.*) \|$", PAGE, re.MULTILINE)
CALLED = {
    name.lower()
    for case in cases()
    if case.refusal is None
    for name in re.findall(r"\w+(?=\s*\()|\bcurrent_timestamp\b", case.sql)
}


def test_every_function_is_on_the_page_once():
    names = [name for name, _, _ in ROWS]
    assert len(names) == len(set(names))
    known = {*PLAIN, *SPECIAL, *REFUSED} | FORMS
    also = {name for name in known if name.replace("list_", "array_", 1) in names}
    assert known == set(names) | also


@pytest.mark.parametrize(("name", "state", "note"), ROWS, ids=[row[0] for row in ROWS])
def test_the_page_says_what_is_done(name, state, note):
    if state != "refused":
        assert name in FORMS or name in PLAIN or name in SPECIAL
        assert bool(note) == (state == "differs")
        return
    with pytest.raises(QueryNotSupportedError) as caught:
        check_query(parse_statement(f"SELECT {name}(time) FROM home").query)
    assert note == f"`{caught.value.message}`; {caught.value.hint}"


def test_every_function_that_is_offered_is_in_the_corpus():
    offered = {name for name, state, _ in ROWS if state != "refused"}
    assert offered - CALLED == set()


def test_the_lists_of_functions_agree():
    known = {*PLAIN, *SPECIAL}
    assert known >= AGGREGATES >= COUNTS
    assert known >= WINDOWS
    assert not known & set(REFUSED)
    assert not AGGREGATES & WINDOWS


def test_the_limits_on_the_page_are_the_defaults():
    config = QueryConfig()
    assert f"| {config.text_bytes_max // 1024} KB | `--query-text-max`" in PAGE
    assert f"| {config.parse_limits.words_max:,} | `--query-words-max`" in PAGE
    assert f"more than {ParseLimits().nesting_max} levels" in PAGE
