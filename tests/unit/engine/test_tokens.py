"""Tokens: permissions, the table, credentials in requests, the price of wrong ones."""

import asyncio
import base64
import contextlib
from typing import Any

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.changes import RegenerateToken
from engine.catalog.permissions import ADMIN_PERMISSION, Action, Rights, canonical_permission
from engine.catalog.tokens import TokenTable, hash_of, new_secret
from engine.errors import (
    AlreadyExistsError,
    ForbiddenError,
    ForeignHostError,
    InvalidNameError,
    LastAdminTokenError,
    MalformedCredentialsError,
    RequestError,
    TokenNotFoundError,
    TooManyFailuresError,
    UnauthenticatedError,
)
from engine.http import auth, failure_brake
from engine.http.access import Access, Right
from engine.http.auth import Gatekeeper
from engine.http.credentials import token_of_header
from engine.http.failure_brake import FailureBrake
from engine.http.http_config import HttpConfig
from engine.http.routing import Route
from engine.ids import TokenId
from engine.metrics import MetricsRegistry


class ManualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def now_ns(self) -> int:
        return int(self.now * 1e9)

    def monotonic_s(self) -> float:
        return self.now


def table(*given: tuple[str, str, list[str], int | None]) -> TokenTable:
    tokens = TokenTable()
    for name, secret, permissions, expiry_ns in given:
        tokens.apply(
            tokens.new_token(
                name,
                digest=hash_of(secret),
                permissions=permissions,
                created_ns=1,
                expiry_ns=expiry_ns,
            )
        )
    return tokens


ADMIN = ("_admin", "root", [ADMIN_PERMISSION], None)
READER = ("reader", "read", ["db:a:read", "db:b:read,write"], None)


def test_tokens_have_the_form_of_the_reference() -> None:
    secret = new_secret(bytes(range(64)))
    assert secret.startswith("apiv3_AAECAwQF")
    assert len(secret) == len("apiv3_") + 86
    assert len(hash_of(secret)) == 64


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("db:a:read", "db:a:read"),
        ("db: a :write, read,read", "db:a:read,write"),
        ("db:*:write", "db:*:write"),
        (" system:metrics:read ", "system:metrics:read"),
    ],
)
def test_permissions_are_stored_in_one_form(text: str, canonical: str) -> None:
    assert canonical_permission(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "*:*:*", "a:read", "db::read", "db:a:", "db:a:rread", "db:a:read:x", "table:a:read"],
)
def test_wrong_permissions_are_refused(text: str) -> None:
    with pytest.raises(RequestError):
        canonical_permission(text)


def test_rights_hold_for_the_database_they_name() -> None:
    rights = Rights(["db:a:read", "db:b:write", "db:b:read"])
    assert rights.allow(Action.READ, "a")
    assert not rights.allow(Action.WRITE, "a")
    assert rights.allow(Action.READ, "b")
    assert rights.allow(Action.WRITE, "b")
    for database in ("c", "*", "_internal", "A", "a/b"):
        assert not rights.allow(Action.READ, database)
    assert not rights.may_read_metrics


def test_every_database_does_not_mean_the_internal_one() -> None:
    rights = Rights(["db:*:read"])
    assert rights.allow(Action.READ, "anything")
    assert not rights.allow(Action.WRITE, "anything")
    assert not rights.allow(Action.READ, "_internal")
    assert Rights([ADMIN_PERMISSION]).allow(Action.READ, "_internal")


def test_names_are_unique_and_the_first_token_is_for_an_administrator() -> None:
    tokens = TokenTable()
    with pytest.raises(TokenNotFoundError, match="no admin token"):
        table(READER)
    tokens = table(ADMIN, READER)
    with pytest.raises(AlreadyExistsError) as caught:
        tokens.new_token(
            "reader", digest=b"", permissions=["db:a:read"], created_ns=1, expiry_ns=None
        )
    # Only the first admin token can be regenerated.
    assert "headrace delete token" in caught.value.hint
    for name in ("", "x" * 512, "a\nb"):
        with pytest.raises(InvalidNameError):
            tokens.new_token(
                name, digest=b"", permissions=["db:a:read"], created_ns=1, expiry_ns=None
            )


def test_a_token_is_found_by_its_text_alone() -> None:
    tokens = table(ADMIN, READER)
    found = tokens.of_secret("read")
    assert found is not None
    assert found.name == "reader"
    for secret in ("", "Read", "reader", "read ", hash_of("read").hex()):
        assert tokens.of_secret(secret) is None


def test_a_regenerated_token_opens_by_its_new_text_alone() -> None:
    tokens = table(ADMIN, READER)
    version = tokens.version
    tokens.apply(RegenerateToken(tokens.named("_admin").id, hash_of("new"), updated_ns=7))
    assert tokens.version > version
    assert tokens.of_secret("root") is None
    found = tokens.of_secret("new")
    assert found is not None
    assert (found.name, found.updated_ns) == ("_admin", 7)
    tokens.apply(RegenerateToken(TokenId(99), hash_of("x"), updated_ns=7))
    assert tokens.of_secret("x") is None


def test_somebody_can_always_administer() -> None:
    tokens = table(ADMIN)
    with pytest.raises(LastAdminTokenError, match="cannot delete operator token"):
        tokens.removal("_admin")
    lasting = ("lasting", "1", [ADMIN_PERMISSION], None)
    passing = ("passing", "2", [ADMIN_PERMISSION], 99)
    with pytest.raises(LastAdminTokenError):
        table(lasting).removal("lasting")
    with pytest.raises(LastAdminTokenError):
        table(lasting, passing).removal("lasting")
    table(lasting, passing).removal("passing")
    table(lasting, ADMIN).removal("lasting")


def test_ids_of_tokens_are_never_used_again() -> None:
    catalog = Catalog()
    catalog.tokens = table(ADMIN, READER)
    first = catalog.tokens.named("reader").id
    catalog.apply(catalog.tokens.removal("reader"))
    assert catalog.tokens.of_secret("read") is None
    again = catalog.tokens.new_token(
        "reader", digest=b"x", permissions=["db:a:read"], created_ns=1, expiry_ns=None
    )
    assert again.token.id > first


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer x", "x"),
        ("Token x", "x"),
        ("bearer x", "x"),
        (basic("user:x"), "x"),
        (basic(":x"), "x"),
        (basic("user:"), ""),
        (basic("user:a:b"), "a:b"),
    ],
)
def test_three_schemes(header: str, token: str) -> None:
    assert token_of_header(header) == token


@pytest.mark.parametrize(
    "header",
    [
        *("x", "Bearer", "Bearer ", "Bearer a b", "Digest x", "Basic !!", basic("nocolon")),
        *("Basic " + base64.b64encode(b"\xff:x").decode(), "Bearer " + "x" * 2000),
        "Basic \ufffd",
    ],
)
def test_other_headers_are_malformed(header: str) -> None:
    with pytest.raises(MalformedCredentialsError) as caught:
        token_of_header(header)
    assert caught.value.message.endswith("auth-schemes are Bearer, Token and Basic")


class FakeRequest:
    def __init__(self, path: str = "/x", query: str = "", **headers: str) -> None:
        self.path = path
        self.query_string = query
        self.headers = headers
        self.client = "192.0.2.1"
        self.content = b""
        self.is_read = False

    @property
    def declared(self) -> int:
        return len(self.content)

    async def keep_body(self) -> bytes:
        self.is_read = True
        return self.content

    def query_parameters(self) -> dict[str, str]:
        return dict(pair.split("=") for pair in self.query_string.split("&"))


async def no_handler(request: Any) -> Any:
    return request


def route(right: Right, **more: bool) -> Route:
    return Route(("GET",), "/x", no_handler, "", right, **more)


class Gate:
    """A gatekeeper with its clock."""

    def __init__(self, tokens: TokenTable, **config: Any) -> None:
        self.clock = ManualClock()
        self.metrics = MetricsRegistry()
        self.tokens = tokens
        self.keeper = Gatekeeper(HttpConfig(**config), tokens, self.clock, self.metrics)
        self.slept: list[float] = []

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        self.keeper._brake = FailureBrake(self.clock, sleep)

    def admit(self, request: FakeRequest, right: Right | None, **more: Any) -> Access:
        chosen = None if right is None else route(right, **more)
        return asyncio.run(self.keeper.admit(request, chosen))  # type: ignore[arg-type]


def test_without_tokens_this_machine_may_do_everything_and_nobody_else() -> None:
    gate = Gate(TokenTable())
    for headers in ({}, {"host": "localhost:1"}, {"host": "[::1]"}, {"authorization": "nonsense"}):
        gate.admit(FakeRequest(**headers), Right.WRITE).require("db")
    for headers in (
        {"host": "evil.example"},
        {"host": "localhost", "origin": "http://evil.example"},
        {"host": "localhost", "origin": "null"},
        {"host": "["},
    ):
        for right in (Right.NONE, Right.ADMIN, None):
            with pytest.raises(ForeignHostError):
                gate.admit(FakeRequest(**headers), right)


def test_with_tokens_every_request_needs_one() -> None:
    gate = Gate(table(ADMIN, READER))
    for right in (*Right, None):
        if right is Right.NONE:
            gate.admit(FakeRequest(), right)
            continue
        with pytest.raises(UnauthenticatedError):
            gate.admit(FakeRequest(), right)
        with pytest.raises(UnauthenticatedError):
            gate.admit(FakeRequest(authorization="Bearer wrong"), right)
        gate.admit(FakeRequest(authorization="Bearer root"), right)
    # A host of any name is fine then: the token proves more.
    gate.admit(FakeRequest(authorization="Token root", host="db.example"), Right.ADMIN)


def test_rights_decide_route_and_database() -> None:
    gate = Gate(table(ADMIN, READER))
    reader = FakeRequest(authorization="Bearer read")
    for right in (Right.ADMIN, Right.METRICS):
        with pytest.raises(ForbiddenError):
            gate.admit(reader, right)
    assert gate.admit(reader, Right.ANY).may_see("b")
    assert not gate.admit(reader, Right.ANY).may_see("c")
    access = gate.admit(reader, Right.WRITE)
    assert not access.is_checked
    access.require("b")
    assert access.is_checked
    with pytest.raises(ForbiddenError):
        gate.admit(reader, Right.WRITE).require("a")


def test_a_token_without_any_write_right_is_refused_before_its_body_is_read() -> None:
    gate = Gate(table(ADMIN, ("only", "only", ["db:a:read"], None)))
    with pytest.raises(ForbiddenError):
        gate.admit(FakeRequest(authorization="Bearer only"), Right.WRITE)


def test_the_password_parameter_counts_where_version_1_has_it_and_wins() -> None:
    gate = Gate(table(ADMIN, READER))
    request = FakeRequest(query="u=x&p=read&db=b", authorization="Bearer root")
    with pytest.raises(ForbiddenError):
        gate.admit(request, Right.ADMIN, takes_password=True)
    gate.admit(request, Right.ADMIN)
    gate.admit(FakeRequest(query="p=read"), Right.READ, takes_password=True).require("a")
    with pytest.raises(UnauthenticatedError):
        gate.admit(FakeRequest(query="p=read"), Right.READ)


@pytest.mark.parametrize(
    ("body", "headers", "is_known"),
    [
        (b"q=x&p=read", {}, True),
        (b"q=x", {}, False),
        (b"q=x&p=wrong", {}, False),
        (b"p=%ff", {}, False),
        (b"p=read&x=" + b"x" * 16_384, {}, False),
        (b"p=read", {"authorization": "Bearer wrong"}, False),
        (b"p=read", {"content-type": "text/plain"}, False),
        (b"p=read", {"content-encoding": "gzip"}, False),
    ],
)
def test_the_password_may_stand_in_a_short_form(
    body: bytes, headers: dict[str, str], is_known: bool
) -> None:
    gate = Gate(table(ADMIN, READER))
    request = FakeRequest(**{"content-type": "application/x-www-form-urlencoded", **headers})
    request.content = body
    with contextlib.nullcontext() if is_known else pytest.raises(UnauthenticatedError):
        gate.admit(request, Right.READ, takes_password=True, takes_form=True)
    # Nobody's body is read in vain.
    assert request.is_read is (not headers and len(body) < 16_384)
    with pytest.raises(UnauthenticatedError):
        gate.admit(request, Right.READ, takes_password=True)


def test_expiry_is_looked_at_each_time() -> None:
    gate = Gate(table(ADMIN, ("brief", "brief", ["db:a:read"], 10_000_000_000)))
    request = FakeRequest(authorization="Bearer brief")
    gate.admit(request, Right.READ).require("a")
    gate.clock.now = 9.9
    gate.admit(request, Right.READ)
    gate.clock.now = 10.0
    with pytest.raises(UnauthenticatedError):
        gate.admit(request, Right.READ)


def test_a_deleted_token_is_forgotten_at_once() -> None:
    gate = Gate(table(ADMIN, READER))
    request = FakeRequest(authorization="Bearer read")
    gate.admit(request, Right.READ)
    gate.tokens.apply(gate.tokens.removal("reader"))
    with pytest.raises(UnauthenticatedError):
        gate.admit(request, Right.READ)


def test_a_known_token_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(table(ADMIN))
    hashed: list[str] = []
    original = TokenTable.of_secret

    def counted(self: TokenTable, secret: str) -> Any:
        hashed.append(secret)
        return original(self, secret)

    monkeypatch.setattr(TokenTable, "of_secret", counted)
    for _ in range(3):
        gate.admit(FakeRequest(authorization="Bearer root"), Right.ADMIN)
    assert hashed == ["root"]


class Uncomparable(str):
    """A text that must not be compared with another one: how long that takes tells how much is right."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared with a secret")


def test_a_wrong_token_is_never_compared_with_a_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(table(ADMIN))
    gate.admit(FakeRequest(authorization="Bearer root"), Right.ADMIN)
    compared: list[int] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return one == other

    monkeypatch.setattr("engine.catalog.tokens.hmac.compare_digest", compare)
    for wrong in ("Bearer rooT", "Bearer root1", "Bearer roo"):
        with pytest.raises(UnauthenticatedError):
            gate.admit(FakeRequest(authorization=Uncomparable(wrong)), Right.ADMIN)
    # Digests of all of it, by the function whose time does not depend on them.
    assert compared == [64, 64, 64]


def test_what_is_remembered_is_bounded_and_only_what_is_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "KNOWN_MAX", 4)
    gate = Gate(table(ADMIN))
    for number in range(20):
        gate.admit(FakeRequest(authorization=basic(f"user{number}:root")), Right.ADMIN)
        with pytest.raises(UnauthenticatedError):
            gate.admit(FakeRequest(authorization=f"Bearer {number}"), Right.ADMIN)
    assert len(gate.keeper._known) <= 4


def test_wrong_tokens_are_counted_and_wait_longer_each_time() -> None:
    gate = Gate(table(ADMIN))
    for _ in range(8):
        with pytest.raises(UnauthenticatedError):
            gate.admit(FakeRequest(authorization="Bearer wrong"), Right.ANY)
    assert gate.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    gate.admit(FakeRequest(authorization="Bearer root"), Right.ANY)
    with pytest.raises(UnauthenticatedError):
        gate.admit(FakeRequest(), Right.ANY)
    assert len(gate.slept) == 8, "a valid token and none at all do not wait"
    gate.clock.now = 100.0
    with pytest.raises(UnauthenticatedError):
        gate.admit(FakeRequest(authorization="Bearer wrong"), Right.ANY)
    assert gate.slept[-1] == 0.1
    text = gate.metrics.render()
    assert 'headrace_auth_failures_total{reason="wrong token"} 9' in text
    assert 'headrace_auth_failures_total{reason="no token"} 1' in text


def test_the_brake_keeps_few_addresses_and_few_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_brake, "ADDRESSES_MAX", 10)
    monkeypatch.setattr(failure_brake, "WAITING_MAX", 2)

    async def scenario() -> None:
        enough = asyncio.Event()

        async def sleep(seconds: float) -> None:
            await enough.wait()

        brake = FailureBrake(ManualClock(), sleep)
        waiting = [asyncio.create_task(brake.hold(f"10.0.0.{n}")) for n in range(2)]
        while brake._waiting < 2:  # noqa: ASYNC110 - turns of the loop
            await asyncio.sleep(0)
        for number in range(30):
            with pytest.raises(TooManyFailuresError):
                await brake.hold(f"10.0.1.{number}")
        assert len(brake._failures) <= 10
        enough.set()
        await asyncio.gather(*waiting)
        assert brake._waiting == 0

    asyncio.run(scenario())


def test_exempt_paths_and_the_open_server() -> None:
    gate = Gate(table(ADMIN), paths_without_token=frozenset({"/metrics"}))
    gate.admit(FakeRequest(path="/metrics"), Right.METRICS)
    with pytest.raises(UnauthenticatedError):
        gate.admit(FakeRequest(path="/metrics/"), Right.METRICS)
    opened = Gate(table(ADMIN), without_auth=True)
    opened.admit(FakeRequest(host="anything", authorization="Bearer None"), Right.ADMIN)
