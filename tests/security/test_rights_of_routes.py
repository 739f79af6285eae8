"""Every route of the API: nothing without a token, nothing with the wrong one, something with the right one."""

import json
from collections.abc import Iterator

import pytest

from engine.http.access import Right
from engine.http.app import routes
from engine.http.routing import Route
from tests.support.any_service import AnyService
from tests.support.server import Answer, ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

ROUTES = [(method, route) for route in routes(AnyService()) for method in route.methods]

# How a request names its database `{db}`: in the URL, or in a JSON body.
QUERIES = {
    "/api/v3/write_lp": "?db={db}",
    "/api/v2/write": "?bucket={db}",
    "/write": "?db={db}",
    "/api/v3/query_sql": "?db={db}&q=SELECT+1",
    "/api/v3/export": "?db={db}",
    "/query": "?db={db}&q=SHOW+MEASUREMENTS",
    "/api/v3/query_influxql": "?db={db}&q=SHOW+MEASUREMENTS",
}
BODIES = {
    "/api/v3/write_lp": "m f=1i",
    "/api/v2/write": "m f=1i",
    "/write": "m f=1i",
    "/api/v3/query_sql": '{{"db": "{db}", "q": "SELECT 1"}}',
    "/api/v3/query_influxql": '{{"db": "{db}", "q": "SHOW MEASUREMENTS"}}',
}
PUBLIC = {"/health", "/api/v1/health", "/ping"}
# Any token gets an answer here, of what it may see alone; about no database.
DESCRIPTIONS = {"/openapi.json"}
LISTS = [
    (method, route)
    for method, route in ROUTES
    if route.right is Right.ANY and route.path not in DESCRIPTIONS
]
FAILING = """
def process_writes(api, batches, args):
    raise ValueError("no")
"""


class Guarded:
    """A server with tokens, a database, and a request trigger per database."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        server.plugin("echo.py", "def process_request(api, q, h, b, args):\n    return 'done'\n")
        for name in ("mine", "theirs"):
            assert server.cli("create", "database", name).returncode == 0
            assert server.create_trigger(name, "t", f"request:{name}", "echo.py").status == 200
        self._park_rows()
        self.admin = self._token("--admin")
        server.environment["HEADRACE_AUTH_TOKEN"] = self.admin
        self.reader = self._token("--database", "mine:read", "--name", "reader")
        self.writer = self._token("--database", "mine:write", "--name", "writer")
        self.other = self._token("--database", "theirs:read,write", "--name", "other")
        self.scraper = self._token("--permission", "system:metrics:read", "--name", "scraper")

    def _park_rows(self) -> None:
        """Give each database a dead letter."""
        self.server.plugin("failing.py", FAILING)
        for name in ("mine", "theirs"):
            made = self.server.create_trigger(
                name, f"fails_for_{name}", "table:m", "failing.py", error_behavior="retry"
            )
            assert made.status == 200
            assert self.server.write(name, "m f=1i 1").status == 204
        path = "/api/v3/configure/processing_engine_dead_letters"
        wait_for(
            lambda: (
                len({row["trigger_name"] for row in self.server.request("GET", path).json()}) == 2
            ),
            "rows of both databases are parked",
            timeout_s=60,
        )

    def _token(self, *flags: str) -> str:
        made = self.server.cli("create", "token", *flags, "--format", "json")
        assert made.returncode == 0, made.stderr
        secret: str = json.loads(made.stdout)["token"]
        return secret

    def ask(self, method: str, route: Route, token: str | None, database: str = "mine") -> Answer:
        path = route.path
        body = BODIES.get(path, "").format(db=database).encode() if method == "POST" else None
        is_in_body = method == "POST" and path.startswith("/api/v3/query")
        query = "" if is_in_body else QUERIES.get(path, "")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        target = path.replace("/*", f"/{database}") + query.format(db=database)
        return self.server.request(method, target, body, headers=headers)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = ServerProcess(tmp_path_factory.mktemp("guarded"), "--plugin-retries", "1")
    try:
        yield Guarded(server.start())
    finally:
        server.kill()


def id_of(case: object) -> str:
    return case.path if isinstance(case, Route) else str(case)


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=id_of)
def test_without_a_token_only_health_and_ping_answer(
    guarded: Guarded, method: str, route: Route
) -> None:
    assert (route.right is Right.NONE) == (route.path in PUBLIC)
    answer = guarded.ask(method, route, None)
    if route.path in PUBLIC:
        assert answer.status == 200
        return
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json() == {
        "error": "the request was not authenticated",
        "code": "unauthenticated",
        "hint": "send the header 'Authorization: Bearer TOKEN'",
    }


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=id_of)
def test_a_token_for_something_else_is_refused(guarded: Guarded, method: str, route: Route) -> None:
    match route.right:
        case Right.ADMIN:
            wrong = [guarded.reader, guarded.writer, guarded.other, guarded.scraper]
        case Right.READ | Right.INFLUXQL:
            wrong = [guarded.writer, guarded.other, guarded.scraper]
        case Right.WRITE:
            wrong = [guarded.reader, guarded.other, guarded.scraper]
        case Right.METRICS:
            wrong = [guarded.reader, guarded.writer, guarded.other]
        case _:
            wrong = []
    for token in wrong:
        answer = guarded.ask(method, route, token)
        assert answer.status == 403, answer.body
        content = answer.json()
        if route.path == "/api/v2/write":
            assert content["code"] == "forbidden"
        else:
            assert content["error"] == "unauthorized to perform requested action with the token"


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=id_of)
def test_the_right_token_passes(guarded: Guarded, method: str, route: Route) -> None:
    right = {
        Right.ADMIN: guarded.admin,
        Right.READ: guarded.reader,
        Right.INFLUXQL: guarded.reader,
        Right.WRITE: guarded.writer,
        Right.METRICS: guarded.scraper,
        Right.ANY: guarded.reader,
        Right.NONE: None,
    }[route.right]
    if route.path.endswith("/token/admin/regenerate"):
        pytest.skip("it would void the token of the other tests; test_tokens.py has it")
    answer = guarded.ask(method, route, right)
    if route.right is Right.ADMIN:
        # Their requests are about nothing here: what counts is that the handler was asked.
        assert answer.status not in (401, 403), answer.body
    else:
        assert answer.status in (200, 204), answer.body


def test_unknown_paths_look_like_known_ones_to_strangers(guarded: Guarded) -> None:
    stranger = guarded.server.request("GET", "/nowhere")
    known = guarded.server.request("GET", "/api/v3/configure/database")
    assert (stranger.status, stranger.body) == (known.status, known.body) == (401, known.body)
    headers = {"Authorization": f"Bearer {guarded.reader}"}
    assert guarded.server.request("GET", "/nowhere", headers=headers).status == 404


@pytest.mark.parametrize(("method", "route"), LISTS, ids=id_of)
def test_a_list_names_no_database_that_the_token_may_not_see(
    guarded: Guarded, method: str, route: Route
) -> None:
    """A new list is seen here when it is empty even for an administrator: give it something to show."""
    whole = guarded.ask(method, route, guarded.admin).body
    assert b"mine" in whole
    assert b"theirs" in whole
    for token, hidden in (
        (guarded.reader, [b"theirs"]),
        (guarded.other, [b"mine"]),
        (guarded.scraper, [b"mine", b"theirs"]),
    ):
        shown = guarded.ask(method, route, token)
        assert shown.status == 200
        for name in hidden:
            assert name not in shown.body


def test_a_list_of_a_foreign_database_does_not_say_whether_it_is_there(guarded: Guarded) -> None:
    headers = {"Authorization": f"Bearer {guarded.reader}"}
    for kind in ("trigger", "dead_letters"):
        path = f"/api/v3/configure/processing_engine_{kind}"
        theirs, nobodys = (
            guarded.server.request("GET", f"{path}?db={name}", headers=headers)
            for name in ("theirs", "nobodys")
        )
        assert (theirs.status, theirs.body) == (nobodys.status, nobodys.body) == (200, b"[]")


def test_who_may_write_a_database_may_create_it_as_version_1_does(guarded: Guarded) -> None:
    def ask(token: str, statement: str) -> Answer:
        headers = {"Authorization": f"Bearer {token}"}
        return guarded.server.request("POST", "/query", statement.encode(), headers=headers)

    assert ask(guarded.writer, "CREATE DATABASE mine").status == 200
    for token, statement in (
        (guarded.writer, "CREATE DATABASE theirs"),
        (guarded.writer, "SHOW MEASUREMENTS ON mine"),
        (guarded.reader, "CREATE DATABASE mine"),
        (guarded.scraper, "SHOW DATABASES"),
    ):
        assert ask(token, statement).status == 403
    assert ask(guarded.writer, "SHOW DATABASES").json()["results"][0]["series"][0]["values"] == [
        ["mine"]
    ]


def test_a_description_says_nothing_about_databases(guarded: Guarded) -> None:
    for path in DESCRIPTIONS:
        headers = {"Authorization": f"Bearer {guarded.scraper}"}
        body = guarded.server.request("GET", path, headers=headers).body
        assert b'"mine"' not in body
        assert b'"theirs"' not in body


def test_lists_show_only_what_the_token_may_see(guarded: Guarded) -> None:
    seen = {}
    for name in ("admin", "reader", "writer", "other", "scraper"):
        headers = {"Authorization": f"Bearer {getattr(guarded, name)}"}
        databases = guarded.server.request("GET", "/api/v3/configure/database", headers=headers)
        triggers = guarded.server.request(
            "GET", "/api/v3/configure/processing_engine_trigger", headers=headers
        )
        seen[name] = (
            [row["iox::database"] for row in databases.json()],
            sorted({row["database"] for row in triggers.json()}),
        )
    assert seen == {
        "admin": (["mine", "theirs"], ["mine", "theirs"]),
        "reader": (["mine"], ["mine"]),
        "writer": (["mine"], []),
        "other": (["theirs"], ["theirs"]),
        "scraper": ([], []),
    }


def test_a_databases_token_cannot_read_the_internal_database(guarded: Guarded) -> None:
    question = json.dumps({"db": "_internal", "q": "SELECT name FROM system.tokens"}).encode()
    for token, status in ((guarded.reader, 403), (guarded.admin, 200)):
        headers = {"Authorization": f"Bearer {token}"}
        answer = guarded.server.request("POST", "/api/v3/query_sql", question, headers=headers)
        assert answer.status == status
    assert {"name": "_admin"} in answer.json()


def test_a_read_token_cannot_create_a_database_by_writing(guarded: Guarded) -> None:
    for token in (guarded.reader, guarded.writer):
        headers = {"Authorization": f"Bearer {token}"}
        answer = guarded.server.request(
            "POST", "/api/v3/write_lp?db=fresh", b"m f=1i", headers=headers
        )
        assert answer.status == 403
    headers = {"Authorization": f"Bearer {guarded.admin}"}
    names = guarded.server.request("GET", "/api/v3/configure/database", headers=headers)
    assert {"iox::database": "fresh"} not in names.json()
