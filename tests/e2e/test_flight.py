"""The Flight listener: clients that leave, that do not read, that come by TLS; start and stop."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import flight

from engine.flight import protobuf
from tests.support.certificates import certificate
from tests.support.flight import FlightServer, call_options, command
from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

MakeServer = Callable[..., ServerProcess]

ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000000) AS g(x) WHERE x % 7 = 3"


@pytest.fixture
def make_flight_server(tmp_path: Path) -> Iterator[Callable[..., FlightServer]]:
    made: list[FlightServer] = []

    def make(*flags: str) -> FlightServer:
        made.append(FlightServer(tmp_path, *flags))
        return made[-1]

    yield make
    for process in made:
        process.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlightServer]:
    server = FlightServer(tmp_path_factory.mktemp("flight"), "--query-timeout", "1h")
    try:
        server.start()
        assert server.write("db", "m,t=a f=1i 1\nm,t=b f=2i 2").status == 204
        yield server
        assert server.stop() == 0, server.log_text
    finally:
        server.kill()


def ticket(sql: str, **members: Any) -> Any:
    return flight.Ticket(json.dumps({"database": "db", "sql_query": sql, **members}))


def phases(server: ServerProcess, text: str) -> list[str]:
    """What became of the queries of this text."""
    sql = "SELECT phase FROM system.queries WHERE query_text = $text"
    return [row["phase"] for row in server.query("db", sql, {"text": text})]


def test_a_query_ends_at_its_limit(make_flight_server: Callable[..., FlightServer]) -> None:
    server = make_flight_server("--query-timeout", "200ms").start()
    server.write("db", "m f=1i 1")
    client = server.flight()
    with pytest.raises(flight.FlightTimedOutError, match="ran longer than it may"):
        client.do_get(ticket(ENDLESS)).read_all()
    assert server.stop() == 0


FIRST_CHUNK = """
import sys, pyarrow.flight as flight
reader = flight.connect(sys.argv[1]).do_get(flight.Ticket(sys.argv[2]))
print(reader.read_chunk().data.num_rows, flush=True)
sys.stdin.read()
"""


def read_first_chunk(server: FlightServer, sql: str) -> subprocess.Popen[bytes]:
    """A client in a process of its own that reads the first rows and then does nothing."""
    url = f"grpc://127.0.0.1:{server.flight_port}"
    command_line = [sys.executable, "-c", FIRST_CHUNK, url, ticket(sql).ticket.decode()]
    pipe = subprocess.PIPE
    return subprocess.Popen(command_line, stdin=pipe, stdout=pipe, stderr=pipe)


def test_a_query_ends_when_its_client_goes(shared: FlightServer) -> None:
    with read_first_chunk(shared, ENDLESS) as waiting:
        wait_for(lambda: phases(shared, ENDLESS) == ["received"], "the query runs", timeout_s=60)
        waiting.kill()
    wait_for(lambda: phases(shared, ENDLESS) == ["cancel"], "the query is stopped", timeout_s=60)
    client = shared.flight()
    assert client.do_get(ticket("SELECT 1 AS one")).read_all().to_pylist() == [{"one": 1}]
    client.close()


def test_neither_a_client_that_does_not_read_nor_a_query_holds_up_the_stop(
    make_flight_server: Callable[..., FlightServer],
) -> None:
    server = make_flight_server("--shutdown-timeout", "300ms", "--query-timeout", "1h").start()
    server.write("db", "m f=1i 1")
    # A hundred megabytes: more than sockets and gRPC keep.
    long = "SELECT x, x AS y FROM generate_series(1, 7000000) AS g(x)"
    with read_first_chunk(server, long) as idle, read_first_chunk(server, ENDLESS) as waiting:
        assert idle.stdout is not None
        assert int(idle.stdout.readline()) > 0
        wait_for(lambda: phases(server, ENDLESS) == ["received"], "the query runs", timeout_s=60)
        assert server.write("db", "m f=2i 2").status == 204
        client = server.flight()
        count = client.do_get(ticket("SELECT count(*) AS n FROM m")).read_all()
        assert count.to_pylist() == [{"n": 2}]
        client.close()
        assert server.stop(timeout_s=60) == 0
        assert "flight connections cut off by the shutdown" in server.log_text
        assert " stopped position" in server.log_text
        _, said = waiting.communicate(timeout=60)
        assert waiting.returncode == 1
        assert b"FlightUnavailableError" in said or b"FlightCancelledError" in said
        idle.kill()


def test_schemas_are_told_without_asking(shared: FlightServer) -> None:
    client = shared.flight()

    def columns(content: bytes) -> list[tuple[str, str]]:
        descriptor = flight.FlightDescriptor.for_command(content)
        schema = client.get_schema(descriptor, call_options()).schema
        return [(field.name, str(field.type)) for field in schema]

    select = command("CommandStatementQuery", (1, "SELECT t, f, f AS f, time FROM m"))
    assert columns(select) == [
        *(("t", "string"), ("f", "int64"), ("f", "int64"), ("time", "timestamp[ns]"))
    ]
    assert columns(ticket("SELECT avg(f) AS a, $x AS x FROM m").ticket)[0] == ("a", "double")
    assert columns(command("CommandStatementQuery", (1, "SHOW TABLES")))[0][0] == "table_catalog"
    assert columns(command("CommandGetCatalogs")) == [("catalog_name", "string")]
    assert columns(ticket("SELECT f FROM m", query_type="influxql").ticket)[1] == (
        *("time", "timestamp[ns]"),
    )
    explained = command("CommandStatementQuery", (1, f"EXPLAIN {ENDLESS}"))
    assert columns(explained) == [("plan_type", "string"), ("plan", "string")]
    client.close()


def test_statements_are_prepared_without_anything_kept(shared: FlightServer) -> None:
    client = shared.flight()
    body = command("ActionCreatePreparedStatementRequest", (1, "SELECT f FROM m WHERE t = $t"))
    (result,) = client.do_action(("CreatePreparedStatement", body), call_options())
    prepared = protobuf.read(protobuf.read(result.body.to_pybytes()).content(2))
    answer = pyarrow.ipc.read_schema(pyarrow.py_buffer(prepared.content(2)))
    wanted = pyarrow.ipc.read_schema(pyarrow.py_buffer(prepared.content(3)))
    assert (answer.names, wanted.names) == (["f"], ["t"])
    query = command("CommandPreparedStatementQuery", (1, prepared.content(1)))
    descriptor = flight.FlightDescriptor.for_command(query)
    row = pyarrow.record_batch([pyarrow.array(["b"])], ["t"])
    writer, reader = client.do_put(descriptor, row.schema, call_options())
    with writer:
        writer.write_batch(row)
        writer.done_writing()
        bound = protobuf.read(reader.read().to_pybytes()).content(1)
    # On another connection, as if the server had never heard of it.
    client.close()
    client = shared.flight()
    query = command("CommandPreparedStatementQuery", (1, bound))
    info = client.get_flight_info(flight.FlightDescriptor.for_command(query), call_options())
    (endpoint,) = info.endpoints
    assert client.do_get(endpoint.ticket, call_options()).read_all().to_pylist() == [{"f": 2}]
    body = command("ActionClosePreparedStatementRequest", (1, bound))
    assert list(client.do_action(("ClosePreparedStatement", body), call_options())) == []
    client.close()


@pytest.mark.parametrize(
    ("ask", "kind", "message"),
    [
        (lambda c: c.do_get(flight.Ticket(b"x")), pyarrow.ArrowInvalid, "cannot be read"),
        (lambda c: c.do_get(flight.Ticket(b"")), pyarrow.ArrowInvalid, "neither JSON nor"),
        (
            lambda c: c.do_get(flight.Ticket(command("CommandStatementQuery", (1, "SELECT 1")))),
            pyarrow.ArrowInvalid,
            "no 'database' header in request",
        ),
        (
            lambda c: c.do_get(ticket("SELECT 1", database="nope")),
            KeyError,
            "database not found: nope",
        ),
        (
            lambda c: c.get_flight_info(
                flight.FlightDescriptor.for_command(command("CommandGetTables")),
                call_options("nope"),
            ),
            KeyError,
            "database not found: nope",
        ),
        (
            lambda c: c.get_flight_info(flight.FlightDescriptor.for_path("a")),
            pyarrow.ArrowInvalid,
            "the descriptor has no command",
        ),
        (
            lambda c: c.get_flight_info(
                flight.FlightDescriptor.for_command(command("CommandGetXdbcTypeInfo"))
            ),
            NotImplementedError,
            "CommandGetXdbcTypeInfo is not supported",
        ),
        (
            lambda c: list(c.do_action(("CancelQuery", b""))),
            pyarrow.ArrowInvalid,
            "there is no action 'CancelQuery'",
        ),
    ],
)
def test_wrong_calls_are_told_what_is_wrong(
    shared: FlightServer, ask: Callable[[Any], Any], kind: type[Exception], message: str
) -> None:
    client = shared.flight()

    def asked() -> None:
        ask(client).read_all()

    with pytest.raises(kind, match=message) as caught:
        asked()
    assert "Traceback" not in str(caught.value)
    client.close()


def test_flight_is_served_over_tls_when_http_is(
    make_flight_server: Callable[..., FlightServer], tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path)
    server = make_flight_server("--tls-cert", str(cert), "--tls-key", str(key)).start(wait=False)
    url = f"https://127.0.0.1:{server.port}"

    def write() -> bool:
        flags = ("--host", url, "--tls-ca", str(cert), "--database", "db")
        return server.cli("write", *flags, "m f=1i 1").returncode == 0

    wait_for(write, "it writes over TLS", timeout_s=60)
    assert f"flight=grpc+tls://127.0.0.1:{server.flight_port}" in server.log_text
    client = server.flight(tls_root_certs=cert.read_bytes())
    assert client.do_get(ticket("SELECT f FROM m")).read_all().to_pylist() == [{"f": 1}]
    client.close()
    assert server.stop() == 0


def test_a_taken_port_refuses_the_start(
    shared: FlightServer, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server("--flight-bind", f"127.0.0.1:{shared.flight_port}").start(wait=False)
    assert server.process is not None
    assert server.process.wait(60) != 0
    assert "cannot serve Flight on" in server.log_text
    assert "Address already in use" in server.log_text
    assert "choose one with --flight-bind" in server.log_text


def test_without_the_flag_nothing_is_served_and_clients_are_told(server: ServerProcess) -> None:
    assert "flight=off" in server.log_text
    client = flight.connect(f"grpc://127.0.0.1:{server.port}")
    with pytest.raises(NotImplementedError, match="start it with --flight-bind"):
        client.do_get(ticket("SELECT 1")).read_all()
    client.close()


def test_calls_are_counted(shared: FlightServer) -> None:
    client = shared.flight()
    client.do_get(ticket("SELECT 1")).read_all()
    client.close()
    wait_for(
        lambda: (
            b'headrace_flight_calls_total{method="do_get",result="ok"}'
            in shared.request("GET", "/metrics").body
        ),
        "the call is counted",
        timeout_s=30,
    )
