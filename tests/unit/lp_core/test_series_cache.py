"""A series that was seen before takes a short cut; the checks of a line hold all the same."""

from lp_core import parse


def test_a_known_series_without_fields_is_refused() -> None:
    result = parse(b"m,t=a f=1\nm,t=a\nm,t=a \nm,t=a f=2\n", precision="ns", now_ns=0)
    assert [(error.line_number, error.code) for error in result.errors] == [
        (2, "missing-space"),
        (3, "no-fields"),
    ]
    assert result.batch["m"].num_rows == 2


def test_a_field_named_like_a_tag_of_a_known_series_is_refused() -> None:
    result = parse(b"m,t=a f=1\nm,t=a t=1\n", precision="ns", now_ns=0)
    assert [error.code for error in result.errors] == ["type-conflict"]
