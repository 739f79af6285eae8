# The load of the benchmarks arrives: what the figures of docs/performance.md are about was stored.
import pytest

from load import http_ceiling, ingest, one_line_writes
from load.sender import send_in_turns
from load.servers import Headrace

pytestmark = pytest.mark.e2e


@pytest.fixture
def loaded(tmp_path):
    server = Headrace(tmp_path / "data").start()
    yield server
    server.kill()


def test_bodies_arrive_and_have_a_cost(tmp_path):
    bodies = ingest.make_bodies(4)
    run = ingest.run(Headrace, tmp_path / "data", bodies, connections=2)
    assert run.lines_per_s > 0
    assert 0 < run.p50_s <= run.p99_s
    assert run.cpu_settled_s >= run.cpu_s > 0
    assert run.memory_peak_bytes > 10_000_000
    assert run.disk_bytes > sum(map(len, bodies)) / 10


def test_one_line_writes_arrive(loaded):
    make = one_line_writes.write_request(loaded.write_target, one_line_writes.START_NS)
    times = send_in_turns(loaded.port, make, connections=3, seconds=0.2, wanted=204)
    assert len(times) >= 3
    assert loaded.values_stored("cpu", fields=1) == len(times)
    loaded.stop()


def test_the_ceiling_takes_the_same_requests(tmp_path):
    bodies = http_ceiling.large_bodies(megabytes=1, count=2)
    assert all(900_000 < len(body) <= 1_000_000 for body in bodies)
    servers = [kind(tmp_path / kind.__name__) for kind in http_ceiling.KINDS]
    try:
        for server in servers:
            server.start()
        small, large = http_ceiling.measure(servers, 2, 0.1, bodies, rounds=1)
        stored = servers[-1].values_stored("cpu", fields=1)
    finally:
        for server in servers:
            server.kill()
    assert all(len(rates) == 1 and rates[0] > 0 for rates in [*small.values(), *large.values()])
    # What is compared is a write: the durable path has every line.
    assert stored >= sum(body.count(b"\n") + 1 for body in bodies)
    assert http_ceiling.share_of_bare(small, "bare granian") == 1
