"""What the Flight service does beside answering: places, addresses, waiting, errors."""

from typing import Any

import pytest
from pyarrow import flight

from engine import errors
from engine.flight.desk import Hold
from engine.flight.failures import Failed, InvalidArgument, failure_of
from engine.flight.service import CALLS_MAX, Calls, _address


class Info:
    method = flight.FlightMethod.DO_GET


def test_places_are_taken_by_known_clients_alone() -> None:
    ended: list[tuple[str, bool]] = []
    calls = Calls(lambda method, is_well: ended.append((method, is_well)))
    strangers = [calls.start_call(Info(), {}) for _ in range(CALLS_MAX + 1)]
    known = [calls.start_call(Info(), {}) for _ in range(CALLS_MAX)]
    for call in known:
        call.admitted()
        call.admitted()  # once is enough
    one_more = calls.start_call(Info(), {})
    with pytest.raises(errors.BackPressureError, match="64 Flight calls"):
        one_more.admitted()
    for call in (*strangers, one_more):
        call.call_completed(ValueError())
    with pytest.raises(errors.BackPressureError):
        calls.start_call(Info(), {}).admitted()
    known[0].call_completed(None)
    calls.start_call(Info(), {}).admitted()
    assert ended[-1] == ("do_get", True)
    assert ended[0] == ("do_get", False)


def test_closed_calls_refuse() -> None:
    calls = Calls(lambda method, is_well: None)
    calls.close()
    with pytest.raises(flight.FlightUnavailableError, match="shutting down"):
        calls.start_call(Info(), {})


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:50000", "127.0.0.1"),
        ("ipv6:%5B::1%5D:50000", "::1"),
        ("ipv6:[fe80::1]:50000", "fe80::1"),
        ("unix:", "unix:"),
    ],
)
def test_addresses_of_peers(peer: str, address: str) -> None:
    assert _address(peer) == address


def test_a_hold_stops_what_runs_and_what_is_yet_to_run() -> None:
    stopped: list[str] = []
    hold = Hold()
    hold.release()
    hold.started(lambda: stopped.append("late"))
    other = Hold()
    other.started(lambda: stopped.append("running"))
    assert stopped == ["late"]
    other.release()
    assert stopped == ["late", "running"]


def test_every_error_has_a_status() -> None:
    def classes(base: type[Any]) -> list[type[Any]]:
        return [base, *(found for sub in base.__subclasses__() for found in classes(sub))]

    for kind in classes(errors.EngineError):
        error = kind.__new__(kind)
        errors.EngineError.__init__(error, "text", hint="next")
        failure = failure_of(error)
        assert str(failure) == "text (next)"
        # That a query is wrong is never taken for a failure of the server.
        if kind is not errors.QueryResourceError and issubclass(kind, errors.QueryError):
            assert not isinstance(failure, Failed)
    assert isinstance(failure_of(errors.QueryError("text")), InvalidArgument)
    with pytest.raises(AttributeError):
        _ = failure_of(errors.QueryError("text")).__cause__
