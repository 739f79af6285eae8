# The oracle itself is held against the shared vectors, so that it can judge the fast parser.
import re

from tests.support import reference_parser
from tests.support.vectors import Vector, body_of, expanded_points, load_vectors, rendered_value

TRAILING_SPACES_AND_CR = re.compile(rb" *\r?(?=\n|\Z)")


def points_of(result: reference_parser.Result) -> list[Vector]:
    return [
        {
            "line": point.line,
            "nth": point.nth,
            "measurement": point.measurement,
            "tags": [list(tag) for tag in point.tags],
            "fields": [[key, kind, rendered_value(kind, v)] for key, kind, v in point.fields],
            "time": None if point.time is None else str(point.time),
        }
        for point in result.points
    ]


def errors_of(result: reference_parser.Result) -> list[tuple[int, int, str]]:
    return [(error.line, error.nth, error.why) for error in result.errors]


def test_oracle_agrees_with_every_vector():
    for vector in load_vectors("line_protocol.jsonl"):
        result = reference_parser.parse(body_of(vector), vector["precision"])
        wanted_errors = [(e["line"], e.get("nth", 0), e["why"]) for e in vector["errors"]]
        if vector.get("lenient_ok") and errors_of(result) != wanted_errors:
            continue  # judged by the next test
        assert points_of(result) == expanded_points(vector), vector["id"]
        assert errors_of(result) == wanted_errors, vector["id"]


def test_tolerant_choices_only_drop_trailing_spaces_and_a_carriage_return():
    tolerated = 0
    for vector in load_vectors("line_protocol.jsonl"):
        body = body_of(vector)
        result = reference_parser.parse(body, vector["precision"])
        if vector.get("lenient_ok") and len(result.errors) < len(vector["errors"]):
            tolerated += 1
            bare = TRAILING_SPACES_AND_CR.sub(b"", body)
            assert result == reference_parser.parse(bare, vector["precision"]), vector["id"]
    assert tolerated > 0
