"""What happens when a request plugin fails; the reference ignores the error behaviour here."""

import http.client
import socket

import pytest

from tests.support.probe import Probe
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

FAILS_TWICE = """
def process_request(api, query, headers, body, args):
    tries = (api.cache.get("tries") or 0) + 1
    api.cache.put("tries", tries)
    api.write(LineBuilder("m").int64_field("tries", tries))
    if tries < 3:
        raise ValueError(f"try {tries}")
    return str(tries)
"""


def called(probe: Probe, source: str, **settings: object) -> tuple[str, str]:
    path = f"err-{probe.database}"
    return probe.trigger(f"request:{path}", source, **settings), f"/api/v3/engine/{path}"


def is_disabled(probe: Probe, name: str) -> object:
    rows = probe.server.query(
        probe.database,
        "SELECT disabled, disabled_reason FROM system.processing_engine_triggers "
        f"WHERE trigger_name = '{name}'",
    )
    return rows[0]["disabled"] and rows[0]["disabled_reason"]


def test_retry_runs_the_plugin_again_for_the_same_request(probe: Probe) -> None:
    name, path = called(probe, FAILS_TWICE, error_behavior="retry")
    assert probe.server.request("GET", path).body == b"3"
    rows = probe.server.query(probe.database, "SELECT tries FROM m")
    assert rows == [{"tries": 3}]  # what failed runs wrote is dropped
    texts = probe.texts(name)
    assert sum("ValueError: try" in text for text in texts) == 2


def test_log_answers_with_the_first_failure(probe: Probe) -> None:
    _, path = called(probe, FAILS_TWICE, error_behavior="log")
    answer = probe.server.request("GET", path)
    assert answer.status == 500
    content = answer.json()
    assert "try 1" in content.pop("error")
    assert content == {
        "code": "plugin_error",
        "hint": "system.processing_engine_logs has the traceback",
    }


def test_disable_answers_and_turns_the_trigger_off(probe: Probe) -> None:
    name, path = called(probe, FAILS_TWICE, error_behavior="disable")
    assert probe.server.request("GET", path).status == 500
    wait_for(lambda: is_disabled(probe, name), "the trigger is disabled")
    assert is_disabled(probe, name) == "ValueError: try 1"
    assert probe.server.request("GET", path).status == 404


def test_an_answer_that_has_begun_is_not_begun_again(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        yield "begun"
        raise ValueError("late")
    """
    name, path = called(probe, source, error_behavior="retry")
    with pytest.raises((http.client.IncompleteRead, OSError)):
        probe.server.request("GET", path)
    texts = probe.own_texts(name)
    assert sum("late" in text for text in texts) == 1


def test_a_client_that_leaves_does_not_count_against_the_trigger(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        if "ping" in query:
            return "pong"
        def pieces():
            try:
                while True:
                    yield "x" * 1000
            finally:
                api.info("cleaned up")
        return pieces()
    """
    name, path = called(probe, source, error_behavior="disable")
    with socket.create_connection(("127.0.0.1", probe.server.port), timeout=20) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    wait_for(lambda: "cleaned up" in probe.texts(name), "the generator is closed")
    assert probe.server.request("GET", path + "?ping=1").body == b"pong"
    assert not is_disabled(probe, name)
