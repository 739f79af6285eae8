"""What a trigger can be given, and what it is refused."""

import pytest

from engine.catalog.catalog import DATABASE_NAME_BYTES_MAX
from engine.catalog.permissions import Action
from engine.catalog.trigger_permissions import (
    EVERYTHING,
    chosen_permissions,
    permissions_of,
    require,
    stored_permissions,
)
from engine.errors import InvalidNameError, RequestError, TriggerRightsError


@pytest.mark.parametrize(
    ("texts", "is_own_only", "expected"),
    [
        (None, False, EVERYTHING),
        (None, True, ("db:mine:read,write",)),
        (["*:*:*"], True, EVERYTHING),
        (["db:a:read", "*:*:*"], False, EVERYTHING),
        ([], False, ()),
        (["db:b:write", "db:a: write , read", "db:b:read"], False,
         ("db:a:read,write", "db:b:read,write")),
        (["db:*:read", "db:a/rp:write"], False, ("db:*:read", "db:a/rp:write")),
    ],
)  # fmt: skip
def test_permissions_are_chosen_and_put_in_order(
    texts: list[str] | None, is_own_only: bool, expected: tuple[str, ...]
) -> None:
    assert chosen_permissions(texts, "mine", is_own_only=is_own_only) == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a:read", RequestError),
        ("db:a:delete", RequestError),
        ("db:a:", RequestError),
        ("db:a:read:x", RequestError),
        ("system:metrics:read", RequestError),
        ("db:_internal:read", InvalidNameError),
        ("db:a\nb:read", InvalidNameError),
    ],
)
def test_what_is_no_permission_of_a_database_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        chosen_permissions([text], "mine", is_own_only=False)


def test_what_stands_beside_everything_is_looked_at_too() -> None:
    with pytest.raises(RequestError):
        chosen_permissions(["*:*:*", "a:read"], "mine", is_own_only=False)


def test_an_own_database_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidNameError):
        chosen_permissions(None, "a:b", is_own_only=True)


class Stored:
    def __init__(self, permissions: tuple[str, ...]) -> None:
        self.permissions = stored_permissions(permissions)


@pytest.mark.parametrize("permissions", [EVERYTHING, (), ("db:a:read",)])
def test_permissions_come_back_as_they_were(permissions: tuple[str, ...]) -> None:
    assert permissions_of(Stored(permissions)) == permissions


ALLOWED = {
    EVERYTHING: {("read", "a"), ("write", "a"), ("read", "_internal")},
    ("db:a:read",): {("read", "a")},
    ("db:a:write",): {("write", "a")},
    ("db:*:read",): {("read", "a")},
    (): set(),
}


@pytest.mark.parametrize("permissions", ALLOWED)
@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("database", ["a", "A", "a ", "_internal", ""])
def test_what_is_not_given_is_refused(
    permissions: tuple[str, ...], action: Action, database: str
) -> None:
    is_everything_or_every_read = permissions == EVERYTHING or (
        permissions == ("db:*:read",) and action is Action.READ and database != "_internal"
    )
    if is_everything_or_every_read or (action.value, database) in ALLOWED[permissions]:
        require(permissions, "t", action, database)
    else:
        with pytest.raises(TriggerRightsError) as refusal:
            require(permissions, "t", action, database)
        missing = f"trigger 't' has no right to {action} database '{database}'"
        assert refusal.value.message == missing
        assert f"--database-rights {database}:{action}" in refusal.value.hint


def test_a_refusal_does_not_repeat_a_name_without_end() -> None:
    with pytest.raises(TriggerRightsError) as refusal:
        require((), "t", Action.READ, "x" * 10_000_000)
    assert len(str(refusal.value)) < 3 * DATABASE_NAME_BYTES_MAX
