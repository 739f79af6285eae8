"""The catalog: names, changes, their encoding."""

import pytest

from engine.catalog.catalog import Catalog, validate_database_name
from engine.catalog.changes import (
    CatalogChange,
    CreateDatabase,
    DeleteDatabase,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    decode_change,
    encode_change,
)
from engine.catalog.model import ErrorBehavior, Trigger
from engine.errors import (
    AlreadyExistsError,
    DatabaseNotFoundError,
    InvalidNameError,
    TriggerNotFoundError,
)
from engine.ids import DatabaseId, TriggerId


def draft(name: str = "t", database: str = "db", spec: str = "all_tables") -> Trigger:
    return Trigger(
        id=TriggerId(0),
        database_id=DatabaseId(0),
        database=database,
        name=name,
        plugin_filename="p.py",
        spec=spec,
        arguments={"a": "1"},
        error_behavior=ErrorBehavior.RETRY,
    )


def catalog_with(*databases: str) -> Catalog:
    catalog = Catalog()
    for name in databases:
        catalog.apply(catalog.new_database(name, created_ns=1, retention_ns=None))
    return catalog


@pytest.mark.parametrize("name", ["a", "A-b_9", "0db", "db/rp", "x" * 511])
def test_good_database_names(name: str) -> None:
    validate_database_name(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "cannot be empty"),
        ("-db", "did not start with"),
        ("_internal", "did not start with"),
        ("d b", "invalid character"),
        ("dä", "invalid character"),
        ("db\n", "invalid character"),
        ("db/", "retention policy"),
        ("a/b/c", "retention policy"),
        ("x" * 512, "too long"),
        ("../x", "did not start with"),
    ],
)
def test_bad_database_names(name: str, text: str) -> None:
    with pytest.raises(InvalidNameError, match=text):
        validate_database_name(name)


def test_databases_and_triggers_come_and_go() -> None:
    catalog = catalog_with("db", "other")
    with pytest.raises(AlreadyExistsError):
        catalog.new_database("db", created_ns=1, retention_ns=None)
    with pytest.raises(DatabaseNotFoundError):
        catalog.new_trigger(draft(database="nowhere"))
    catalog.apply(catalog.new_trigger(draft()))
    trigger = catalog.trigger("db", "t")
    assert trigger.identity == f"trigger:{trigger.id}"
    with pytest.raises(AlreadyExistsError):
        catalog.new_trigger(draft())
    catalog.apply(catalog.new_trigger(draft(database="other")))
    with pytest.raises(TriggerNotFoundError):
        catalog.trigger("db", "u")
    catalog.apply(DisableTrigger(trigger.id, "broke"))
    assert catalog.trigger("db", "t").disabled
    assert catalog.trigger("db", "t").disabled_reason == "broke"
    catalog.apply(EnableTrigger(trigger.id))
    assert not catalog.trigger("db", "t").disabled
    assert catalog.trigger("db", "t").disabled_reason == ""
    catalog.apply(DeleteDatabase(catalog.database("db").id, "db"))
    assert [one.database for one in catalog.triggers()] == ["other"]
    assert not catalog.has_database("db")


def test_ids_are_never_used_again() -> None:
    catalog = catalog_with("db")
    catalog.apply(catalog.new_trigger(draft()))
    first = catalog.trigger("db", "t")
    catalog.apply(DeleteTrigger(first.id))
    catalog.apply(catalog.new_trigger(draft()))
    assert catalog.trigger("db", "t").id > first.id
    database = catalog.database("db")
    catalog.apply(DeleteDatabase(database.id, "db"))
    catalog.apply(catalog.new_database("db", created_ns=1, retention_ns=None))
    assert catalog.database("db").id > database.id


def test_request_paths_are_unique_on_the_server() -> None:
    catalog = catalog_with("db", "other")
    catalog.apply(catalog.new_trigger(draft(spec="request:x")))
    with pytest.raises(AlreadyExistsError, match="request path"):
        catalog.new_trigger(draft(database="other", spec="request:x"))
    catalog.new_trigger(draft(database="other", spec="request:y"))


def test_changes_survive_their_encoding() -> None:
    catalog = catalog_with("db")
    changes: list[CatalogChange] = [
        catalog.new_database("x", created_ns=5, retention_ns=7),
        catalog.new_trigger(draft()),
        DeleteTrigger(TriggerId(1)),
        DeleteDatabase(DatabaseId(1), "x"),
        EnableTrigger(TriggerId(1)),
        DisableTrigger(TriggerId(1), "why"),
    ]
    for change in changes:
        assert decode_change(encode_change(change)) == change
    assert isinstance(changes[0], CreateDatabase)
