"""Text without credentials."""

import pytest

from engine.redaction import without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:word@host/path", "https://***@host/path"),
        ("https://token@host", "https://***@host"),
        ("https://user:w@rd@host/x@y", "https://***@host/x@y"),
        ("a http://u:p@h/ b ftp://u:p@h/", "a http://***@h/ b ftp://***@h/"),
        ("git+https://u:p@h/r.git@v1", "git+https://***@h/r.git@v1"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("write to a@b.c, not to x:y", "write to a@b.c, not to x:y"),
        ("", ""),
    ],
)
def test_users_and_passwords_of_addresses_are_left_out(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
