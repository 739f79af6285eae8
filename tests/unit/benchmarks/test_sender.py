# The load sender believes an answer only when all of it is there.
import pytest

from load import ingest
from load.sender import UnexpectedAnswerError, check, head
from lp_core import parse


@pytest.mark.parametrize(
    ("answer", "is_whole"),
    [
        (b"HTTP/1.1 204 No Content\r\n", False),
        (b"HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n", True),
        (b"HTTP/1.1 204 OK\r\nContent-Length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 204 OK\r\nContent-Length: 3\r\n\r\nabc", True),
    ],
)
def test_an_answer_is_taken_when_it_is_whole(answer, is_whole):
    assert check(answer, 204) is is_whole


def test_an_answer_that_is_not_wanted_is_an_error():
    with pytest.raises(UnexpectedAnswerError, match="400 Bad Request"):
        check(b"HTTP/1.1 400 Bad Request\r\n\r\n", 204)


def test_a_request_says_how_long_its_body_is():
    assert head("/w", 12).startswith(b"POST /w HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 12\r\n\r\n" in head("/w", 12)


def test_every_line_of_the_load_is_a_new_row():
    bodies = ingest.make_bodies(10)
    seen = set()
    for body in bodies:
        table = parse(body, precision="ns", now_ns=0).batch["cpu"]
        assert table.num_rows == ingest.LINES_PER_BODY
        span = (table.min_time_ns, table.max_time_ns)
        assert span[1] - span[0] == (ingest.TICKS_PER_BODY - 1) * ingest.TICK_NS
        seen.add(span)
    assert len(seen) == len(bodies)
