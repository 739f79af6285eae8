"""Flight: the same tokens and rights as HTTP, for every method."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import flight

from tests.support.flight import FlightServer, call_options, command
from tests.support.server import ServerProcess, free_port

pytestmark = pytest.mark.e2e


class Guarded:
    """A server with two databases and tokens."""

    def __init__(self, server: FlightServer) -> None:
        self.server = server
        for name in ("mine", "theirs"):
            assert server.write(name, "m f=1i 1").status == 204
        self.admin = self._token("--admin")
        server.environment["HEADRACE_AUTH_TOKEN"] = self.admin
        self.reader = self._token("--database", "mine:read", "--name", "reader")
        self.writer = self._token("--database", "mine:write", "--name", "writer")
        self.scraper = self._token("--permission", "system:metrics:read", "--name", "scraper")

    def _token(self, *flags: str) -> str:
        made = self.server.cli("create", "token", *flags, "--format", "json")
        assert made.returncode == 0, made.stderr
        secret: str = json.loads(made.stdout)["token"]
        return secret

    def refused(self, reason: str) -> float:
        """How many requests were refused for this reason, by either protocol."""
        headers = {"Authorization": f"Bearer {self.admin}"}
        text = self.server.request("GET", "/metrics", headers=headers).body.decode()
        start = f'headrace_auth_failures_total{{reason="{reason}"}} '
        found = [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]
        return float(found[0]) if found else 0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = FlightServer(tmp_path_factory.mktemp("guarded-flight"))
    try:
        yield Guarded(server.start())
        assert server.stop() == 0, server.log_text
    finally:
        server.kill()


@pytest.fixture
def client(guarded: Guarded) -> Iterator[Any]:
    client = guarded.server.flight()
    yield client
    client.close()


def json_ticket(database: str, language: str = "sql") -> bytes:
    sql = "SELECT f FROM m"
    return json.dumps({"database": database, "sql_query": sql, "query_type": language}).encode()


# pyarrow's GetSchema makes UNKNOWN of every status, and of nothing else.
def unauthenticated(name: str) -> type[Exception]:
    return pyarrow.ArrowException if name.endswith("schema") else flight.FlightUnauthenticatedError


def unauthorized(name: str) -> type[Exception]:
    return pyarrow.ArrowException if name.endswith("schema") else flight.FlightUnauthorizedError


SELECT = command("CommandStatementQuery", (1, "SELECT f FROM m"))
PREPARED = command("CommandPreparedStatementQuery", (1, b'{"query": "SELECT $f", "params": {}}'))
CREATE = command("ActionCreatePreparedStatementRequest", (1, "SELECT f FROM m"))
CLOSE = command("ActionClosePreparedStatementRequest", (1, b"{}"))


def put(client: Any, options: Any) -> None:
    row = pyarrow.record_batch([pyarrow.array([1])], ["f"])
    descriptor = flight.FlightDescriptor.for_command(PREPARED)
    writer, reader = client.do_put(descriptor, row.schema, options)
    with writer:
        writer.write_batch(row)
        writer.done_writing()
        reader.read()


def exchange(client: Any, options: Any) -> None:
    writer, reader = client.do_exchange(flight.FlightDescriptor.for_command(SELECT), options)
    with writer:
        writer.done_writing()
        reader.read_all()


def got(content: bytes) -> Callable[[Any, Any], Any]:
    return lambda client, options: client.do_get(flight.Ticket(content), options).read_all()


def described(content: bytes) -> Any:
    return flight.FlightDescriptor.for_command(content)


# What is about a database.
ABOUT_A_DATABASE: dict[str, Callable[[Any, Any], Any]] = {
    "flight sql": got(SELECT),
    "prepared": got(command("CommandPreparedStatementQuery", (1, b'{"query": "SELECT 1"}'))),
    "tables": got(command("CommandGetTables")),
    "info": lambda c, o: c.get_flight_info(described(SELECT), o),
    "info of tables": lambda c, o: c.get_flight_info(described(command("CommandGetTables")), o),
    "schema": lambda c, o: c.get_schema(described(SELECT), o),
    "prepare": lambda c, o: list(c.do_action(("CreatePreparedStatement", CREATE), o)),
    "bind": put,
}
TICKETS: dict[str, Callable[[str], Callable[[Any, Any], Any]]] = {
    "sql": lambda database: got(json_ticket(database)),
    "influxql": lambda database: got(json_ticket(database, "influxql")),
    "info": lambda database: lambda c, o: c.get_flight_info(described(json_ticket(database)), o),
    "schema": lambda database: lambda c, o: c.get_schema(described(json_ticket(database)), o),
}
# What is about the server.
FOR_ANYBODY: dict[str, Callable[[Any, Any], Any]] = {
    "catalogs": got(command("CommandGetCatalogs")),
    "schemas": got(command("CommandGetDbSchemas")),
    "types": got(command("CommandGetTableTypes")),
    "facts": got(command("CommandGetSqlInfo")),
    "actions": lambda c, o: c.list_actions(o),
    "flights": lambda c, o: list(c.list_flights(options=o)),
    "close": lambda c, o: list(c.do_action(("ClosePreparedStatement", CLOSE), o)),
}
EVERYTHING = {
    **{f"ticket: {name}": make("mine") for name, make in TICKETS.items()},
    **ABOUT_A_DATABASE,
    **FOR_ANYBODY,
    "exchange": exchange,
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_nothing_answers_without_a_token(guarded: Guarded, client: Any, name: str) -> None:
    before = guarded.refused("no token")
    with pytest.raises(unauthenticated(name), match="was not authenticated") as caught:
        EVERYTHING[name](client, call_options("mine"))
    assert "Traceback" not in str(caught.value)
    assert guarded.refused("no token") == before + 1


@pytest.mark.parametrize("name", ["flight sql", "facts", "ticket: sql"])
def test_wrong_tokens_are_refused_and_counted(guarded: Guarded, client: Any, name: str) -> None:
    before = guarded.refused("wrong token")
    with pytest.raises(flight.FlightUnauthenticatedError, match="unknown or has expired"):
        EVERYTHING[name](client, call_options("mine", "None"))
    assert guarded.refused("wrong token") == before + 1
    malformed = flight.FlightCallOptions(headers=[(b"authorization", b"nonsense")])
    with pytest.raises(flight.FlightUnauthenticatedError, match="malformed"):
        EVERYTHING[name](client, malformed)


@pytest.mark.parametrize("name", ABOUT_A_DATABASE)
def test_a_token_reads_its_own_database_alone(guarded: Guarded, client: Any, name: str) -> None:
    ask = ABOUT_A_DATABASE[name]
    ask(client, call_options("mine", guarded.reader))
    ask(client, call_options("theirs", guarded.admin))
    before = guarded.refused("forbidden")
    for database, token in (
        *(("theirs", guarded.reader), ("_internal", guarded.reader), ("nope", guarded.reader)),
        *(("mine", guarded.writer), ("mine", guarded.scraper)),
    ):
        with pytest.raises(unauthorized(name), match="unauthorized to perform"):
            ask(client, call_options(database, token))
    assert guarded.refused("forbidden") == before + 5


@pytest.mark.parametrize("name", TICKETS)
def test_tickets_read_their_own_database_alone(guarded: Guarded, client: Any, name: str) -> None:
    TICKETS[name]("mine")(client, call_options(None, guarded.reader))
    for database, token in (("theirs", guarded.reader), ("mine", guarded.writer)):
        # The header does not help: the ticket says which database it is about.
        with pytest.raises(unauthorized(name), match="unauthorized to perform"):
            TICKETS[name](database)(client, call_options("mine", token))


@pytest.mark.parametrize("name", FOR_ANYBODY)
def test_who_reads_anything_may_ask_about_the_server(
    guarded: Guarded, client: Any, name: str
) -> None:
    FOR_ANYBODY[name](client, call_options(None, guarded.reader))
    with pytest.raises(flight.FlightUnauthorizedError):
        FOR_ANYBODY[name](client, call_options(None, guarded.scraper))


def test_influxql_in_a_ticket_names_no_other_database(guarded: Guarded, client: Any) -> None:
    content = {
        "database": "mine",
        "sql_query": 'SELECT f FROM "theirs".autogen.m',
        "query_type": "influxql",
    }
    ask = got(json.dumps(content).encode())
    with pytest.raises(flight.FlightUnauthorizedError, match="read database 'theirs'"):
        ask(client, call_options(None, guarded.reader))
    content["sql_query"] = "SHOW DATABASES"
    shown = got(json.dumps(content).encode())(client, call_options(None, guarded.reader))
    assert shown["iox::database"].to_pylist() == ["mine"]
    content["sql_query"] = "CREATE DATABASE mine2"
    with pytest.raises((flight.FlightUnauthorizedError, pyarrow.ArrowInvalid)):
        got(json.dumps(content).encode())(client, call_options(None, guarded.admin))


def test_basic_credentials_carry_a_token(guarded: Guarded, client: Any) -> None:
    header = client.authenticate_basic_token("anybody", guarded.reader)
    options = flight.FlightCallOptions(headers=[header, (b"database", b"mine")])
    assert got(SELECT)(client, options).to_pylist() == [{"f": 1}]
    # A handshake tells nobody whether a token is valid.
    header = client.authenticate_basic_token("anybody", "wrong")
    options = flight.FlightCallOptions(headers=[header, (b"database", b"mine")])
    with pytest.raises(flight.FlightUnauthenticatedError):
        got(SELECT)(client, options)


def test_tokens_never_get_into_the_log(guarded: Guarded, client: Any) -> None:
    with pytest.raises(flight.FlightUnauthenticatedError):
        got(SELECT)(client, call_options("mine", "wrong-secret-token"))
    assert "wrong-secret-token" not in guarded.server.log_text
    assert guarded.reader not in guarded.server.log_text


def test_the_port_of_http_tells_strangers_nothing_of_flight(guarded: Guarded) -> None:
    client = flight.connect(f"grpc://127.0.0.1:{guarded.server.port}")
    with pytest.raises(flight.FlightUnauthenticatedError) as caught:
        got(SELECT)(client, call_options("mine"))
    assert str(guarded.server.flight_port) not in str(caught.value)
    client.close()


def test_without_tokens_flight_is_for_this_machine_alone(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, "--flight-bind", f"0.0.0.0:{free_port()}").start(wait=False)
    assert server.process is not None
    assert server.process.wait(60) != 0
    assert "--flight-bind: 0.0.0.0 can be reached from other machines" in server.log_text


def test_without_tokens_a_browser_is_not_let_in(tmp_path: Path) -> None:
    server = FlightServer(tmp_path).start()
    try:
        server.write("db", "m f=1i 1")
        client = server.flight()
        assert got(SELECT)(client, call_options("db")).to_pylist() == [{"f": 1}]
        headers = [(b"database", b"db"), (b"origin", b"http://evil.example")]
        with pytest.raises(flight.FlightUnauthorizedError, match="web pages of other sites"):
            got(SELECT)(client, flight.FlightCallOptions(headers=headers))
        client.close()
        assert server.stop() == 0
    finally:
        server.kill()
