"""Clients of Flight, as their users call them: influxdb3-python's queries and ADBC's Flight SQL driver."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.flight import FlightServer

pytestmark = [
    pytest.mark.e2e,
    # What the libraries themselves are warned of is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LINES = """\
home,room=kitchen temp=21.5,n=3i,u=4u,ok=true,note="warm" 1000000000000000001
home,room=hall temp=19.25,n=-1i 1000000060000000000
home,room=attic ok=false 1000000120000000000
"""
MANY = 120_000


class Queried:
    """A server with rows and a token that may read `db` alone."""

    def __init__(self, server: FlightServer) -> None:
        self.server = server
        assert server.write("db", LINES).status == 204
        for start in range(0, MANY, 40_000):
            rows = range(start, start + 40_000)
            lines = "\n".join(f'many text="{"x" * 60}{row}",n={row}i {row + 1}' for row in rows)
            assert server.write("db", lines).status == 204
        made = server.cli("create", "token", "--admin", "--format", "json")
        server.environment["HEADRACE_AUTH_TOKEN"] = json.loads(made.stdout)["token"]
        made = server.cli(
            *("create", "token", "--name", "reader", "--format", "json", "--database", "db:read")
        )
        self.token: str = json.loads(made.stdout)["token"]

    def client(self, **options: Any) -> Any:
        from influxdb_client_3 import InfluxDBClient3

        options = {"query_port_overwrite": self.server.flight_port, **options}
        return InfluxDBClient3(host=self.server.url, database="db", token=self.token, **options)

    def adbc(self, **options: str) -> Any:
        from adbc_driver_flightsql import DatabaseOptions, dbapi

        options = options or {
            DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {self.token}",
        }
        return dbapi.connect(
            f"grpc://127.0.0.1:{self.server.flight_port}",
            db_kwargs={f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}database": "db", **options},
            autocommit=True,
        )


@pytest.fixture(scope="module")
def queried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queried]:
    server = FlightServer(tmp_path_factory.mktemp("queried"))
    try:
        yield Queried(server.start())
        assert server.stop() == 0, server.log_text
    finally:
        server.kill()


@pytest.fixture
def client(queried: Queried) -> Iterator[Any]:
    with queried.client() as client:
        yield client


def test_v3_queries_tables_with_the_types_of_the_reference(client: Any) -> None:
    import pyarrow

    table = client.query("SELECT * FROM home ORDER BY time")
    assert {field.name: field.type for field in table.schema} == {
        "n": pyarrow.int64(),
        "note": pyarrow.utf8(),
        "ok": pyarrow.bool_(),
        "room": pyarrow.utf8(),
        "temp": pyarrow.float64(),
        "time": pyarrow.timestamp("ns"),
        "u": pyarrow.uint64(),
    }
    assert table.column("room").to_pylist() == ["kitchen", "hall", "attic"]
    assert table.column("temp").to_pylist() == [21.5, 19.25, None]
    assert table.column("note").to_pylist() == ["warm", None, None]
    assert table.column("u").to_pylist() == [4, None, None]
    assert table.column("time").cast(pyarrow.int64())[0].as_py() == 1_000_000_000_000_000_001


def test_v3_queries_pandas_and_polars(client: Any) -> None:
    sql = "SELECT room, temp, n, time FROM home WHERE temp > 0 ORDER BY time"
    frame = client.query(sql, mode="pandas")
    assert frame["room"].tolist() == ["kitchen", "hall"]
    assert frame["temp"].sum() == 40.75
    assert frame["time"].iloc[0].value == 1_000_000_000_000_000_001
    frame = client.query(sql, mode="polars")
    assert frame["room"].to_list() == ["kitchen", "hall"]
    assert frame["n"].sum() == 2
    assert str(frame.schema["time"]) == "Datetime(time_unit='ns', time_zone=None)"
    assert client.query_dataframe(sql)["n"].tolist() == [3, -1]


def test_v3_queries_other_modes(client: Any) -> None:
    assert client.query("SELECT n FROM many", mode="schema").names == ["n"]
    reader = client.query("SELECT n FROM many", mode="chunk")
    assert sum(chunk.data.num_rows for chunk in reader) == MANY
    assert client.query("SELECT n FROM many", mode="reader").read_all().num_rows == MANY
    assert client.query("SELECT n FROM many WHERE n < 0").num_rows == 0


def test_v3_queries_with_parameters(client: Any) -> None:
    sql = "SELECT temp FROM home WHERE room = $room AND time > $since AND n < $most"
    values = {"room": "hall", "since": "2001-09-09T01:46:41Z", "most": 2}
    assert client.query(sql, query_parameters=values).to_pylist() == [{"temp": 19.25}]
    influxql = "SELECT temp FROM home WHERE room = $room"
    found = client.query(influxql, language="influxql", query_parameters={"room": "kitchen"})
    assert found.column("temp").to_pylist() == [21.5]


def test_v3_queries_influxql(client: Any) -> None:
    found = client.query("SELECT mean(temp) FROM home GROUP BY room", language="influxql")
    assert found.column_names == ["iox::measurement", "time", "room", "mean"]
    assert found.select(["room", "mean"]).to_pylist() == [
        {"room": "hall", "mean": 19.25},
        {"room": "kitchen", "mean": 21.5},
    ]
    shown = client.query("SHOW MEASUREMENTS", language="influxql")
    assert shown["name"].to_pylist() == ["home", "many"]


@pytest.mark.parametrize(
    ("text", "language", "message"),
    [
        ("SELECT nope FROM home", "sql", 'INVALID_ARGUMENT:.*"nope" not found'),
        ("SELECT * FROM nope", "sql", "INVALID_ARGUMENT:.*'public.iox.nope' not found"),
        ("SELECT FROM", "sql", "INVALID_ARGUMENT:"),
        ("SELECT $room", "sql", "INVALID_ARGUMENT:No value found for placeholder"),
        ("DROP TABLE home", "sql", "UNIMPLEMENTED:DROP statements are not supported"),
        ("SELECT oops", "influxql", "INVALID_ARGUMENT:error parsing query"),
        ("SELECT 1", "flux", "INVALID_ARGUMENT:unknown query_type 'flux'"),
    ],
)
def test_v3_reads_errors(client: Any, text: str, language: str, message: str) -> None:
    from influxdb_client_3.exceptions import InfluxDB3ClientQueryError

    with pytest.raises(InfluxDB3ClientQueryError, match=message) as caught:
        client.query(text, language=language)
    assert "Traceback" not in str(caught.value)
    assert ".py" not in str(caught.value)


def test_v3_at_the_port_of_http_is_told_where_to_go(queried: Queried) -> None:
    from influxdb_client_3.exceptions import InfluxDB3ClientQueryError

    port = queried.server.flight_port
    with (
        queried.client(query_port_overwrite=queried.server.port) as client,
        pytest.raises(InfluxDB3ClientQueryError, match=f"query_port_overwrite={port}"),
    ):
        client.query("SELECT 1")


def test_flight_sql_queries(queried: Queried) -> None:
    with queried.adbc() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT room, temp, n, ok FROM home ORDER BY time")
        assert [column[0] for column in cursor.description] == ["room", "temp", "n", "ok"]
        assert cursor.fetchall() == [
            ("kitchen", 21.5, 3, True),
            ("hall", 19.25, -1, None),
            ("attic", None, None, False),
        ]
        cursor.execute("SELECT 1 AS a, 2 AS a, sum(n) AS total FROM home WHERE n > 100")
        assert cursor.fetchall() == [(1, 2, None)]
        cursor.execute("SHOW TABLES")
        assert ("public", "iox", "home", "BASE TABLE") in cursor.fetchall()


def test_flight_sql_takes_long_answers_in_small_messages(queried: Queried) -> None:
    with queried.adbc() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT n, text FROM many ORDER BY n")
        table = cursor.fetch_arrow_table()
    assert table.num_rows == MANY
    assert table.column("n").to_pylist() == list(range(MANY))
    assert table.column("text")[MANY - 1].as_py() == f"{'x' * 60}{MANY - 1}"
    assert table.nbytes > 4 * 1024 * 1024


def test_flight_sql_prepares_statements_with_values(queried: Queried) -> None:
    with queried.adbc() as connection, connection.cursor() as cursor:
        by_place = "SELECT temp FROM home WHERE room = $1 AND n < $2"
        cursor.execute(by_place, ("hall", 2))
        assert cursor.fetchall() == [(19.25,)]
        cursor.execute(by_place, ("kitchen", 2))
        assert cursor.fetchall() == []
        by_name = "SELECT n FROM home WHERE temp > $least AND room = $room"
        cursor.execute(by_name, (20.5, "kitchen"))
        assert cursor.fetchall() == [(3,)]
        cursor.adbc_prepare("SELECT n, temp FROM home WHERE room = $room")
        with pytest.raises(Exception, match="1 placeholders, and 2 values"):
            cursor.execute(by_name.replace("$least", "0"), (1, 2))
        with pytest.raises(Exception, match="No value found for placeholder"):
            cursor.execute(by_place)


def test_flight_sql_describes_the_server_and_its_tables(queried: Queried) -> None:
    import pyarrow

    with queried.adbc() as connection:
        assert connection.adbc_get_info()["vendor_name"] == "Headrace"
        assert connection.adbc_get_table_types() == ["BASE TABLE", "VIEW"]
        (catalog,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        assert catalog["catalog_name"] == "public"
        schemas = {
            schema["db_schema_name"]: {
                table["table_name"]: [
                    column["column_name"] for column in table["table_columns"] or ()
                ]
                for table in schema["db_schema_tables"]
            }
            for schema in catalog["catalog_db_schemas"]
        }
        assert set(schemas) == {"information_schema", "iox", "system"}
        assert schemas["iox"] == {
            "home": ["n", "note", "ok", "room", "temp", "time", "u"],
            "many": ["n", "text", "time"],
        }
        assert "event_time" in schemas["system"]["processing_engine_logs"]
        assert "table_name" in schemas["information_schema"]["tables"]
        described = connection.adbc_get_table_schema("home")
        assert described.field("room").type == pyarrow.utf8()
        assert described.field("time") == pyarrow.field(
            "time", pyarrow.timestamp("ns"), nullable=False
        )


def test_flight_sql_takes_a_token_as_password(queried: Queried) -> None:
    from adbc_driver_manager import DatabaseOptions

    options = {
        DatabaseOptions.USERNAME.value: "anybody",
        DatabaseOptions.PASSWORD.value: queried.token,
    }
    with queried.adbc(**options) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM home")
        assert cursor.fetchone() == (3,)


def test_flight_sql_reads_errors(queried: Queried) -> None:
    with queried.adbc() as connection, connection.cursor() as cursor:
        with pytest.raises(Exception, match=r'INVALID_ARGUMENT.*"nope" not found'):
            cursor.execute("SELECT nope FROM home")
        with pytest.raises(Exception, match=r"IMPLEMENTED.*INSERT statements are not supported"):
            cursor.execute("INSERT INTO home VALUES (1)")
