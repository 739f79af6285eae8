# Return values of request plugins: Flask's shapes, the reference's, and the ones it loses.

import pytest

from engine.plugins.channel import Response
from engine.plugins.responses import StreamedResponse, to_response

HTML, JSON = ("content-type", "text/html"), ("content-type", "application/json")
OCTETS, TEXT = ("content-type", "application/octet-stream"), ("content-type", "text/plain")


class FlaskLike:
    def __init__(self, status_code=418, data=b"tea", headers=(("X-A", "1"), ("X-A", "2"))):
        self.status_code = status_code
        self.data = data
        self.headers = dict(headers) if isinstance(data, str) else WerkzeugHeaders(headers)

    def get_data(self):
        return self.data


class WerkzeugHeaders:
    def __init__(self, pairs):
        self.pairs = pairs

    def items(self):
        return iter(self.pairs)


def generated():
    yield "a"
    yield b"b"


@pytest.mark.parametrize(
    ("value", "response"),
    [
        ("text é", Response(200, [HTML], "text é".encode())),
        ({"a": [1, None, True]}, Response(200, [JSON], b'{"a": [1, null, true]}')),
        ([{"é": 1.5}], Response(200, [JSON], b'[{"\\u00e9": 1.5}]')),
        (b"\x00\xff", Response(200, [OCTETS], b"\x00\xff")),
        (bytearray(b"x"), Response(200, [OCTETS], b"x")),
        (memoryview(b"x"), Response(200, [OCTETS], b"x")),
        (None, Response(204, [], b"")),
        ((generated(), 204), Response(204, [HTML], b"")),
        ((), Response(200, [HTML], b"")),
        (("a", "b", "c", "d"), Response(200, [HTML], b"abcd")),
        (("x",), Response(200, [HTML], b"x")),
        (("x", 201), Response(201, [HTML], b"x")),
        (({"a": 1}, 404), Response(404, [JSON], b'{"a": 1}')),
        (("x", "404 NOT FOUND"), Response(404, [HTML], b"x")),
        (("x", {"X-A": "1"}), Response(200, [HTML, ("X-A", "1")], b"x")),
        (("x", [("A", "1"), ("A", "2")]), Response(200, [HTML, ("A", "1"), ("A", "2")], b"x")),
        (("x", 500, {"X-Count": 3}), Response(500, [HTML, ("X-Count", "3")], b"x")),
        (("x", None, {"A": "1"}), Response(200, [HTML, ("A", "1")], b"x")),
        (("x", {"A": "1"}, {"B": "2"}), Response(200, [HTML, ("A", "1"), ("B", "2")], b"x")),
        (("x", {"CONTENT-TYPE": "text/csv"}), Response(200, [("CONTENT-TYPE", "text/csv")], b"x")),
        (("x", {"Content-Length": "99"}), Response(200, [HTML], b"x")),
        ((b"x", 200), Response(200, [OCTETS], b"x")),
        ((None, 404), Response(404, [], b"")),
        ((3.5, 200), Response(200, [TEXT], b"3.5")),
        (("gone", 204), Response(204, [HTML], b"")),
        (FlaskLike(), Response(418, [("X-A", "1"), ("X-A", "2")], b"tea")),
        (FlaskLike(200, "text"), Response(200, [("X-A", "2")], b"text")),
        ((FlaskLike(200, "text"), 202), Response(202, [("X-A", "2")], b"text")),
    ],
)
def test_return_values_become_responses(value, response):
    assert to_response(value) == response


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (7, TypeError, "Unsupported return type from Python function: int"),
        (True, TypeError, "Unsupported return type from Python function: bool"),
        (object(), TypeError, "Unsupported return type from Python function: object"),
        (("x", True), TypeError, "must be a number, not bool"),
        (("x", "teapot"), TypeError, "must be a number, not 'teapot'"),
        (("x", 99), ValueError, "between 200 and 999, not 99"),
        (("x", 200, "h"), TypeError, "expected a dictionary in header item"),
        (("x", {"A": None}), TypeError, "header 'A' must be a str"),
        (("x", {"A b": "1"}), ValueError, "header name 'A b'"),
        (("x", {"A": "1\r\nB: 2"}), ValueError, "value of header 'A'"),
        (("x", {"A": "→"}), ValueError, "value of header 'A'"),
        (("x", [("A",)]), TypeError, "(name, value) pairs"),
        ([object()], TypeError, "not JSON serializable"),
        ((1, 2, 3, 4), TypeError, "it yielded int"),
    ],
)
def test_values_without_a_meaning_are_errors_and_not_lost(value, error, text):
    with pytest.raises(error) as caught:
        to_response(value)
    assert text in str(caught.value)


def test_a_generator_is_streamed_and_closed_with_its_response():
    closed = []

    def pieces():
        try:
            yield "a"
            yield b"b"
        finally:
            closed.append(True)

    streamed = to_response((pieces(), 201, {"X-A": "1"}))
    assert isinstance(streamed, StreamedResponse)
    assert (streamed.status, streamed.headers) == (201, [HTML, ("X-A", "1")])
    assert next(streamed.pieces) == b"a"
    streamed.pieces.close()
    assert closed == [True]
