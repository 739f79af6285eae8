"""The official client libraries, as their users call them, against a server with tokens."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

import engine
from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.e2e,
    # What the libraries themselves are warned of is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Tokened:
    """A server with an admin token and one that may write to `db` alone."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.url = server.url
        made = server.cli("create", "token", "--admin", "--format", "json")
        self.admin: str = json.loads(made.stdout)["token"]
        server.environment["HEADRACE_AUTH_TOKEN"] = self.admin
        made = server.cli(
            *("create", "token", "--name", "writer", "--format", "json"),
            *("--database", "db:write", "--database", "db/weekly:write"),
        )
        self.writer: str = json.loads(made.stdout)["token"]

    def rows(self, sql: str, database: str = "db") -> Any:
        answer = self.server.request(
            "POST",
            "/api/v3/query_sql",
            json.dumps({"db": database, "q": sql}).encode(),
            headers={"Authorization": f"Bearer {self.admin}"},
        )
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture(scope="module")
def tokened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokened]:
    server = ServerProcess(tmp_path_factory.mktemp("clients"))
    try:
        yield Tokened(server.start())
    finally:
        server.kill()


def v3_client(tokened: Tokened, token: str | None = None, **options: Any) -> Any:
    from influxdb_client_3 import InfluxDBClient3

    return InfluxDBClient3(
        host=tokened.url, database="db", token=token or tokened.writer, **options
    )


def v3_options(**options: Any) -> Any:
    from influxdb_client_3 import SYNCHRONOUS, WriteOptions, write_client_options

    mode = WriteOptions(**options) if "batch_size" in options else SYNCHRONOUS
    return write_client_options(write_options=mode)


@pytest.mark.parametrize("gzip", [False, True])
def test_v3_writes_lines_points_and_dicts(tokened: Tokened, gzip: bool) -> None:
    from influxdb_client_3 import Point

    table = f"v3_{gzip}".lower()
    with v3_client(
        tokened, enable_gzip=gzip, gzip_threshold=0, write_client_options=v3_options()
    ) as client:
        client.write(f"{table},room=kitchen temp=21.5 1000000000")
        client.write([Point(table).tag("room", "hall").field("temp", 19.0).time(2_000_000_000)])
        client.write(
            {"measurement": table, "tags": {"room": "attic"}, "fields": {"temp": 1.0}, "time": 3}
        )
        client.write(f"{table},room=cellar temp=9 4", write_precision="s")
    assert tokened.rows(f"SELECT room, temp FROM {table} ORDER BY time") == [
        {"room": "attic", "temp": 1.0},
        {"room": "kitchen", "temp": 21.5},
        {"room": "hall", "temp": 19.0},
        {"room": "cellar", "temp": 9.0},
    ]


def test_v3_writes_batches(tokened: Tokened) -> None:
    from influxdb_client_3 import Point

    options = v3_options(batch_size=500, flush_interval=200)
    with v3_client(tokened, write_client_options=options) as client:
        for number in range(2_000):
            client.write(Point("v3_batches").field("f", number).time(number + 1))
    wait_for(
        lambda: (
            tokened.rows("SHOW TABLES")
            and tokened.rows("SELECT count(*) AS n FROM v3_batches")[0]["n"] == 2_000
        ),
        "all batches are there",
    )


def test_v3_writes_by_its_own_route_without_waiting_for_the_disk(tokened: Tokened) -> None:
    from influxdb_client_3 import WriteOptions, WriteType, write_client_options
    from influxdb_client_3.exceptions import InfluxDBPartialWriteError

    options = write_client_options(
        write_options=WriteOptions(write_type=WriteType.synchronous, use_v2_api=False, no_sync=True)
    )
    with v3_client(tokened, write_client_options=options) as client:
        client.write("v3_no_sync f=1i 1")
        with pytest.raises(InfluxDBPartialWriteError) as caught:
            client.write("v3_no_sync f=2i 2\nv3_no_sync f=oops 3")
        (line,) = caught.value.line_errors
        assert (line.line_number, line.original_line) == (2, "v3_no_sync f=oops 3")
    wait_for(
        lambda: any(row["table_name"] == "v3_no_sync" for row in tokened.rows("SHOW TABLES")),
        "the row is there",
    )


def test_v3_reads_errors_and_the_servers_version(tokened: Tokened) -> None:
    from influxdb_client_3 import InfluxDBError

    with v3_client(tokened, write_client_options=v3_options()) as client:
        assert client.get_server_version() == engine.__version__
        with pytest.raises(InfluxDBError) as caught:
            client.write("v3_errors f=1i 1\nv3_errors f=oops 2")
        assert "line protocol parse failed" in str(caught.value)
    with (
        v3_client(tokened, token="apiv3_wrong", write_client_options=v3_options()) as client,
        pytest.raises(InfluxDBError) as caught,
    ):
        client.write("v3_errors f=1i 1")
    assert "not authenticated" in str(caught.value)
    with (
        v3_client(tokened, write_client_options=v3_options()) as client,
        pytest.raises(InfluxDBError) as caught,
    ):
        client.write("v3_errors f=1i 1", database="other")
    assert "unauthorized" in str(caught.value)


def v2_client(tokened: Tokened, token: str | None = None, **options: Any) -> Any:
    from influxdb_client import InfluxDBClient

    return InfluxDBClient(tokened.url, token or tokened.writer, org="anything", **options)


@pytest.mark.parametrize("gzip", [False, True])
def test_v2_writes_points_in_every_precision(tokened: Tokened, gzip: bool) -> None:
    from influxdb_client import Point, WritePrecision
    from influxdb_client.client.write_api import SYNCHRONOUS

    table = f"v2_{gzip}".lower()
    with v2_client(tokened, enable_gzip=gzip) as client:
        assert client.ping()
        api = client.write_api(write_options=SYNCHRONOUS)
        for number, precision in enumerate(
            (WritePrecision.NS, WritePrecision.MS, WritePrecision.S)
        ):
            point = Point(table).tag("n", str(number)).field("f", number).time(7, precision)
            api.write("db", record=point, write_precision=precision)
    times = tokened.rows(f"SELECT CAST(time AS BIGINT) AS t FROM {table} ORDER BY f")
    assert times == [{"t": 7}, {"t": 7_000_000}, {"t": 7_000_000_000}]


def test_v2_writes_batches_in_the_background(tokened: Tokened) -> None:
    from influxdb_client import Point, WriteOptions

    with (
        v2_client(tokened) as client,
        client.write_api(WriteOptions(batch_size=300, flush_interval=100)) as api,
    ):
        for number in range(1_000):
            api.write("db", record=Point("v2_batches").field("f", number).time(number + 1))
    assert tokened.rows("SELECT count(*) AS n FROM v2_batches") == [{"n": 1_000}]


def test_v2_reads_errors_and_health(tokened: Tokened) -> None:
    from influxdb_client.client.write_api import SYNCHRONOUS
    from influxdb_client.rest import ApiException

    with v2_client(tokened) as client:
        assert client.health().status == "pass"
        api = client.write_api(write_options=SYNCHRONOUS)
        with pytest.raises(ApiException) as caught:
            api.write("db", record="v2_errors f=")
        assert caught.value.status == 400
        assert "line protocol parse failed" in caught.value.message
        with pytest.raises(ApiException) as caught:
            api.write("other", record="v2_errors f=1")
        assert caught.value.status == 403
    with v2_client(tokened, token="wrong") as client, pytest.raises(ApiException) as caught:
        client.write_api(write_options=SYNCHRONOUS).write("db", record="v2_errors f=1")
    assert caught.value.status == 401


def v1_client(tokened: Tokened, password: str | None = None, **options: Any) -> Any:
    from influxdb import InfluxDBClient

    return InfluxDBClient(
        *("127.0.0.1", tokened.server.port, "anybody", password or tokened.writer, "db"), **options
    )


@pytest.mark.parametrize("gzip", [False, True])
def test_v1_writes_points(tokened: Tokened, gzip: bool) -> None:
    table = f"v1_{gzip}".lower()
    client = v1_client(tokened, gzip=gzip)
    assert client.ping() == engine.__version__
    point = {"measurement": table, "tags": {"host": "a"}, "fields": {"f": 1.5}}
    assert client.write_points([{**point, "time": 5}], time_precision="m")
    assert client.write_points([{**point, "time": 6}], time_precision="h")
    assert client.write_points([{**point, "time": 7}], time_precision="n", batch_size=1)
    assert client.write_points([f"{table},host=b f=2.5 8"], protocol="line", time_precision="n")
    times = tokened.rows(f"SELECT CAST(time AS BIGINT) AS t FROM {table} ORDER BY time")
    assert [row["t"] for row in times] == [7, 8, 300 * 10**9, 21_600 * 10**9]
    assert client.write_points([point], retention_policy="weekly")
    assert tokened.rows(f"SELECT host FROM {table}", "db/weekly") == [{"host": "a"}]
    client.close()


def test_v1_reads_errors(tokened: Tokened) -> None:
    from influxdb.exceptions import InfluxDBClientError

    client = v1_client(tokened)
    with pytest.raises(InfluxDBClientError) as caught:
        client.write_points(["v1_errors f="], protocol="line")
    assert caught.value.code == 400
    assert "line protocol parsing error" in caught.value.content
    client.close()
    client = v1_client(tokened, password="wrong", retries=1)
    started = time.monotonic()
    with pytest.raises(InfluxDBClientError) as caught:
        client.write_points(["v1_errors f=1"], protocol="line")
    assert caught.value.code == 401
    assert time.monotonic() - started < 10
    client.close()


def test_v1_creates_databases_and_asks_in_influxql(tokened: Tokened) -> None:
    client = v1_client(tokened, password=tokened.admin)
    client.create_database("made")
    assert {"name": "made"} in client.get_list_database()
    client.switch_database("made")
    points = [
        {"measurement": "asked", "tags": {"host": host}, "time": minute, "fields": {"f": value}}
        for host, minute, value in (("a", 0, 1.0), ("a", 1, 3.0), ("b", 0, 5.5))
    ]
    assert client.write_points(points, time_precision="m")
    assert client.get_list_measurements() == [{"name": "asked"}]
    assert client.get_list_retention_policies("made")[0]["name"] == "autogen"
    result = client.query("SELECT mean(f) FROM asked GROUP BY host")
    assert list(result.get_points("asked", {"host": "a"})) == [
        {"time": "1970-01-01T00:00:00Z", "mean": 2}
    ]
    assert next(result.get_points("asked", {"host": "b"}))["mean"] == 5.5
    result = client.query("SELECT f FROM asked WHERE host = $h", bind_params={"h": "b"}, epoch="s")
    assert list(result.get_points()) == [{"time": 0, "f": 5.5}]
    chunks = client.query("SELECT f FROM asked", chunked=True, chunk_size=1)
    assert sorted(point["f"] for chunk in chunks for point in chunk.get_points()) == [1, 3, 5.5]
    keys = client.query("SHOW TAG VALUES WITH KEY = host")
    assert [point["value"] for point in keys.get_points()] == ["a", "b"]
    client.close()


def test_v1_reads_errors_of_statements(tokened: Tokened) -> None:
    from influxdb.exceptions import InfluxDBClientError

    client = v1_client(tokened, password=tokened.admin)
    with pytest.raises(InfluxDBClientError, match="error parsing query"):
        client.query("SELECT oops")
    with pytest.raises(InfluxDBClientError, match="database not found"):
        client.query("SELECT f FROM m", database="nope")
    client.close()
