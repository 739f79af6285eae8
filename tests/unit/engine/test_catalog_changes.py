"""The encoding of catalog changes, which old logs hold."""

import pytest

from engine.catalog.changes import (
    CatalogChange,
    CreateDatabase,
    CreateToken,
    CreateTrigger,
    DeleteDatabase,
    DeleteToken,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    RegenerateToken,
    SetRetention,
    UpdateTrigger,
    decode_change,
    encode_change,
)
from engine.catalog.model import Database, ErrorBehavior, Token, Trigger
from engine.ids import DatabaseId, TokenId, TriggerId

DATABASE = Database(id=DatabaseId(3), name="db", created_ns=9)
TRIGGER = Trigger(
    id=TriggerId(7),
    database_id=DatabaseId(3),
    database="db",
    name="t",
    plugin_filename="p.py",
    spec="table:m",
    arguments={"a": "1"},
    run_async=True,
    error_behavior=ErrorBehavior.RETRY,
    timeout_s=1.5,
    memory_max_bytes=1 << 20,
    created_ns=5,
)
TOKEN = Token(
    id=TokenId(4),
    name="reader",
    hash=bytes(range(64)),
    permissions=("db:db:read", "system:metrics:read"),
    created_ns=5,
    expiry_ns=9,
)
# As this version writes them.
GOLDEN: dict[str, CatalogChange] = {
    "82a474797065af6372656174655f6461746162617365a8646174616261736584a2696403a46e616d65a26462aa6372"
    "65617465645f6e7309ac726574656e74696f6e5f6e73c0": CreateDatabase(DATABASE),
    "84a474797065ad7365745f726574656e74696f6eab64617461626173655f696403ac726574656e74696f6e5f6e7307"
    "a57461626c65a3637075": SetRetention(DatabaseId(3), retention_ns=7, table="cpu"),
    "83a474797065af64656c6574655f6461746162617365ab64617461626173655f696403a46e616d65a26462": (
        DeleteDatabase(DatabaseId(3), "db")
    ),
    "82a474797065ae6372656174655f74726967676572a774726967676572de0013a2696407ab64617461626173655f69"
    "6403a86461746162617365a26462a46e616d65a174af706c7567696e5f66696c656e616d65a4702e7079a473706563"
    "a77461626c653a6da9617267756d656e747381a161a131a972756e5f6173796e63c3ae6572726f725f626568617669"
    "6f72a57265747279a864697361626c6564c2af64697361626c65645f726561736f6ea0aa616c6c6f775f73656c66c2"
    "a974696d656f75745f73cb3ff8000000000000b06d656d6f72795f6d61785f6279746573ce00100000ab636f6e6375"
    "7272656e6379c0aa62617463685f726f7773c0aa637265617465645f6e7305ae73746172745f706f736974696f6ec0"
    "ad706c7567696e5f646967657374a0": CreateTrigger(TRIGGER),
    "82a474797065ae64656c6574655f74726967676572aa747269676765725f696407": DeleteTrigger(
        TriggerId(7)
    ),
    "82a474797065ae656e61626c655f74726967676572aa747269676765725f696407": EnableTrigger(
        TriggerId(7)
    ),
    "83a474797065af64697361626c655f74726967676572aa747269676765725f696407a6726561736f6ea3776879": (
        DisableTrigger(TriggerId(7), "why")
    ),
    "83a474797065ae7570646174655f74726967676572aa747269676765725f696407ad706c7567696e5f646967657374"
    "a461626162": UpdateTrigger(TriggerId(7), "abab"),
    "82a474797065ac6372656174655f746f6b656ea5746f6b656e87a2696404a46e616d65a6726561646572a468"
    "617368c440000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526"
    "2728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3fab7065726d697373696f6e7392aa64623a6462"
    "3a72656164b373797374656d3a6d6574726963733a72656164aa637265617465645f6e7305a9657870697279"
    "5f6e7309aa757064617465645f6e73c0": CreateToken(TOKEN),
    "85a474797065b0726567656e65726174655f746f6b656ea8746f6b656e5f696404a468617368c44000000000"
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000000000aa757064617465645f6e7307a96578706972795f6e73c0": RegenerateToken(
        TokenId(4), bytes(64), updated_ns=7
    ),
    "85a474797065b0726567656e65726174655f746f6b656ea8746f6b656e5f696404a468617368c44000000000"
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000000000aa757064617465645f6e7307a96578706972795f6e7308": RegenerateToken(
        TokenId(4), bytes(64), updated_ns=7, expiry_ns=8
    ),
    "82a474797065ac64656c6574655f746f6b656ea8746f6b656e5f696404": DeleteToken(TokenId(4)),
}
# A trigger as the first version wrote it, before it had concurrency, batch rows, start and digest.
FIRST_TRIGGER = (
    "82a474797065ae6372656174655f74726967676572a7747269676765728fa2696407ab64617461626173655f696403"
    "a86461746162617365a26462a46e616d65a174af706c7567696e5f66696c656e616d65a4702e7079a473706563a774"
    "61626c653a6da9617267756d656e747381a161a131a972756e5f6173796e63c3ae6572726f725f6265686176696f72"
    "a57265747279a864697361626c6564c2af64697361626c65645f726561736f6ea0aa616c6c6f775f73656c66c2a974"
    "696d656f75745f73cb3ff8000000000000b06d656d6f72795f6d61785f6279746573ce00100000aa63726561746564"
    "5f6e7305"
)


@pytest.mark.parametrize(
    ("content", "change"), list(GOLDEN.items()), ids=[type(c).__name__ for c in GOLDEN.values()]
)
def test_golden_changes_are_read_and_written_again(content: str, change: CatalogChange) -> None:
    assert decode_change(bytes.fromhex(content)) == change
    assert encode_change(change).hex() == content


def test_a_trigger_of_the_first_version_is_read() -> None:
    assert decode_change(bytes.fromhex(FIRST_TRIGGER)) == CreateTrigger(TRIGGER)
