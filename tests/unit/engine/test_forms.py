"""Forms in bodies of requests."""

import pytest

from engine.errors import RequestError
from engine.http.forms import form_of, is_form

PARTS = "multipart/form-data; boundary=xyz"


def parts(*contents: bytes) -> bytes:
    """A form in parts."""
    return b"".join(b"--xyz\r\n" + content + b"\r\n" for content in contents) + b"--xyz--\r\n"


def part(name: str, content: bytes, more: str = "") -> bytes:
    """One part of it."""
    head = f'Content-Disposition: form-data; {more}name="{name}"\r\n\r\n'
    return head.encode() + content


def test_urlencoded_forms() -> None:
    kind = "Application/X-WWW-Form-Urlencoded; charset=utf-8"
    assert is_form(kind)
    assert form_of(b"q=a+b%20c&db=&q=last", kind) == {"q": "last", "db": ""}
    with pytest.raises(RequestError, match="more than 100"):
        form_of(b"a&" * 101, kind)
    with pytest.raises(RequestError, match="UTF-8"):
        form_of(b"a=\xff", kind)


@pytest.mark.parametrize("kind", [PARTS, 'multipart/form-data; charset=x; Boundary="xyz"'])
def test_forms_in_parts_as_curl_sends_them(kind: str) -> None:
    file = (
        b'Content-Disposition: form-data; name="q"; filename="name=x.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\nSHOW DATABASES;\r\n\r\n--xy\r\n"
    )
    body = parts(part("db", b"a\r\nb"), file, part("q", b"second"), part("e", b""))
    assert is_form(kind)
    assert form_of(b"preamble\r\n" + body + b"epilogue", kind) == {
        "db": "a\r\nb",
        "q": "SHOW DATABASES;\r\n\r\n--xy\r\n",
        "e": "",
    }
    unquoted = b"content-disposition: form-data; name=q; filename=f\r\n\r\nx"
    assert form_of(parts(unquoted, part("p", b"y", 'filename="f"; ')), kind) == {"q": "x", "p": "y"}
    assert form_of(b"--xyz--", kind) == {}


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("multipart/form-data", parts(), "no boundary"),
        (PARTS, b"", "ends before"),
        (PARTS, parts(part("q", b"x"))[:-6], "ends before"),
        (PARTS, parts(b"Content-Type: text/plain\r\n\r\nx"), "no name"),
        (PARTS, parts(b'Content-Disposition: form-data; name="q"'), "no name"),
        (PARTS, parts(part("q", b"\xff")), "UTF-8"),
        (PARTS, parts(*[part("q", b"")] * 101), "more than 100"),
    ],
)
def test_what_is_no_form_is_said(kind: str, body: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        form_of(body, kind)
