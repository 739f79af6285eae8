"""What --database-rights asks the server for."""

import argparse

import pytest

from engine.cli.trigger_rights import permissions_of
from engine.errors import ConfigError


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (None, None),
        (["a:read,write", "b:read"], ["db:a:read,write", "db:b:read"]),
        (["own", "b:write"], ["db:mine:read,write", "db:b:write"]),
        (["all"], ["*:*:*"]),
        (["none"], []),
        (["own:read"], ["db:own:read"]),
    ],
)
def test_rights_become_permissions(texts: list[str] | None, expected: list[str] | None) -> None:
    given = argparse.Namespace(database="mine", database_rights=texts)
    assert permissions_of(given) == expected


@pytest.mark.parametrize("texts", [["a"], ["all", "a:read"], ["a:read", "none"]])
def test_what_says_nothing_or_two_things_is_refused(texts: list[str]) -> None:
    with pytest.raises(ConfigError):
        permissions_of(argparse.Namespace(database="mine", database_rights=texts))
