# Owns the contact with pyarrow's Flight server: its methods run in threads of gRPC, hand what is
# asked to the event loop, and stop it when the client goes. Imported only when Flight is served:
# pyarrow.flight brings gRPC with it.
"""The Flight service."""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pyarrow
from pyarrow import flight

from engine.errors import (
    BackPressureError,
    EngineError,
    ForbiddenError,
    MalformedCredentialsError,
    QueryCancelledError,
    RequestError,
)
from engine.flight.desk import Caller, FlightDesk, Headers
from engine.flight.failures import Internal, Unavailable, failure_of
from engine.flight.messages import (
    ClosePrepared,
    CreatePrepared,
    PreparedQuery,
    bound_result,
    flight_info,
    read_command,
)
from engine.flight.parameters import values_of
from engine.flight.peers import address_of
from engine.flight.plain import batches
from engine.flight.questions import Prepared, read_handle
from engine.flight.strangers import Strangers
from engine.flight.streams import Streams
from engine.http.credentials import token_of_header

logger = logging.getLogger(__name__)

# Calls of known clients at one time; each has a thread, and its answer in memory until it is sent.
CALLS_MAX = 64
# How often a call that waits looks whether its client is still there.
_LOOK_S = 0.1

_CREATE, _CLOSE = "CreatePreparedStatement", "ClosePreparedStatement"
_CALLS = "calls"

_Result = TypeVar("_Result")


class Calls(flight.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow has no types
    """Counts the calls under way and keeps their headers."""

    def __init__(self, on_end: Callable[[str, bool], None]) -> None:
        """`on_end` is told the method of each call, and whether it went well, in any thread."""
        super().__init__()
        self._on_end = on_end
        self._lock = threading.Lock()
        self._active: set[_Call] = set()
        self._is_closed = False

    def close(self) -> None:
        """Refuse calls from now on."""
        self._is_closed = True

    def start_call(self, info: Any, headers: Headers) -> "_Call":
        """Let a call begin.

        Raises:
            Unavailable: The server stops.
        """
        if self._is_closed:
            raise Unavailable("the server is shutting down")
        return _Call(self, info.method, headers)

    def take(self, call: "_Call") -> None:
        """Count a call whose client is known, once.

        Not before: a crowd without tokens must not take the places of the others.

        Raises:
            BackPressureError: There are too many.
        """
        with self._lock:
            # One that has ended meanwhile would keep its place for ever.
            if call in self._active or call.is_over:
                return
            if len(self._active) >= CALLS_MAX:
                raise BackPressureError(
                    f"{CALLS_MAX} Flight calls are under way, which is the limit",
                    hint="try again later",
                )
            self._active.add(call)

    def ended(self, call: "_Call", method: str, *, is_well: bool) -> None:
        """A call has ended."""
        with self._lock:
            call.is_over = True
            self._active.discard(call)
        self._on_end(method, is_well)


class _Call(flight.ServerMiddleware):  # type: ignore[misc]  # pyarrow has no types
    """One call."""

    def __init__(self, calls: Calls, method: Any, headers: Headers) -> None:
        super().__init__()
        self._calls = calls
        self._method = method
        self.headers = headers
        self.is_over = False

    def admitted(self) -> None:
        """The client is known.

        Raises:
            BackPressureError: There are too many calls.
        """
        self._calls.take(self)

    def sending_headers(self) -> dict[str, str]:
        """Answer a handshake: the password of Basic credentials is the bearer token.

        Whether it is worth anything, the calls that bring it find out.
        """
        if self._method != flight.FlightMethod.HANDSHAKE:
            return {}
        scheme, _, encoded = str(self.headers.get("authorization", [""])[-1]).partition(" ")
        # Clients in Go leave out the filling at the end.
        filled = f"{scheme} {encoded}{'=' * (-len(encoded) % 4)}"
        try:
            password = token_of_header(filled)
        except MalformedCredentialsError:
            return {}
        is_sendable = password.isascii() and password.isprintable()
        return {"authorization": f"Bearer {password}"} if is_sendable else {}

    def call_completed(self, exception: Exception | None) -> None:
        """The call is over."""
        self._calls.ended(self, self._method.name.lower(), is_well=exception is None)


class _Handshake(flight.ServerAuthHandler):  # type: ignore[misc]  # pyarrow has no types
    """Lets handshakes happen, which clients with a user name begin with; tokens decide later."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        """Nothing is exchanged but headers."""

    def is_valid(self, token: bytes) -> bytes:
        """Nobody is known by this."""
        return b""


class FlightService(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow has no types
    """Answers Flight calls; listens from its making to `shutdown`."""

    def __init__(
        self,
        location: str,
        desk: FlightDesk,
        calls: Calls,
        streams: Streams,
        strangers: Strangers,
        tls_certificates: list[tuple[bytes, bytes]],
    ) -> None:
        # Before the base, which serves at once.
        self._desk = desk
        self._streams = streams
        self._strangers = strangers
        self._loop = asyncio.get_running_loop()
        self._waited_for: set[concurrent.futures.Future[Any]] = set()
        super().__init__(
            location,
            auth_handler=_Handshake(),
            tls_certificates=tls_certificates or None,
            middleware={_CALLS: calls},
        )

    def release_all(self) -> None:
        """Stop all queries under way."""
        for future in list(self._waited_for):
            future.cancel()

    # Methods of Flight, in threads of gRPC.

    def do_get(self, context: Any, ticket: Any) -> Any:
        """The rows of a ticket."""

        def work(caller: Caller) -> Any:
            return self._wait(context, self._desk.rows(caller, ticket.ticket))

        table = self._answered(context, work)
        pieces = self._streams.followed(context.peer(), batches(table))
        reader = pyarrow.RecordBatchReader.from_batches(table.schema, pieces)
        return flight.RecordBatchStream(reader)

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        """Where the rows of a command are: here, under the command itself as ticket.

        Nothing runs yet, so nothing is said of columns and rows.
        """

        def work(caller: Caller) -> Any:
            command = _command_of(descriptor)
            self._wait(context, self._desk.check(caller, command))
            return flight.FlightInfo.deserialize(flight_info(descriptor.serialize(), command))

        return self._answered(context, work)

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        """The columns of a command's answer."""

        def work(caller: Caller) -> Any:
            found = self._wait(context, self._desk.schema(caller, _command_of(descriptor)))
            return flight.SchemaResult(found)

        return self._answered(context, work)

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Values for a prepared statement: the answer is a handle that holds both."""

        def work(caller: Caller) -> None:
            self._wait(context, self._desk.admit(caller))
            command = read_command(_command_of(descriptor))
            if not isinstance(command, PreparedQuery):
                raise RequestError("only values of prepared statements can be put")
            statement = read_handle(command.handle)
            names = self._wait(context, self._desk.placeholders(caller, statement))
            values = values_of(_only_row(reader), names)
            writer.write(pyarrow.py_buffer(bound_result(Prepared(statement.query, values).handle)))

        self._answered(context, work)

    def do_action(self, context: Any, action: Any) -> Iterator[Any]:
        """Prepare a statement, or close one, of which the server keeps nothing."""

        def work(caller: Caller) -> list[Any]:
            self._wait(context, self._desk.admit(caller))
            if action.type not in (_CREATE, _CLOSE):
                raise RequestError(
                    f"there is no action '{action.type}'", hint=f"use {_CREATE} or {_CLOSE}"
                )
            command = read_command(action.body.to_pybytes())
            if isinstance(command, CreatePrepared):
                return [flight.Result(self._wait(context, self._desk.prepare(caller, command)))]
            if not isinstance(command, ClosePrepared):
                raise RequestError(f"the body of the action is not that of {action.type}")
            return []

        return iter(self._answered(context, work))

    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        """What `do_action` knows."""

        def work(caller: Caller) -> list[tuple[str, str]]:
            self._wait(context, self._desk.admit(caller))
            return [(_CREATE, "Prepare a statement."), (_CLOSE, "Close a prepared statement.")]

        return self._answered(context, work)

    def list_flights(self, context: Any, criteria: bytes) -> Iterator[Any]:
        """There are none; clients ask to see whether the server lives."""

        def work(caller: Caller) -> Iterator[Any]:
            self._wait(context, self._desk.admit(caller))
            return iter(())

        return self._answered(context, work)

    def do_exchange(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Not offered."""

        def work(caller: Caller) -> None:
            self._wait(context, self._desk.admit(caller))
            raise RequestError("DoExchange is not supported", hint="ask by DoGet")

        self._answered(context, work)

    # Between the threads of gRPC and the event loop.

    def _answered(self, context: Any, work: Callable[[Caller], _Result]) -> _Result:
        try:
            call, address = context.get_middleware(_CALLS), address_of(context.peer())

            def admitted() -> None:
                self._strangers.admitted(address)
                call.admitted()

            return work(Caller(call.headers, address[0], admitted))
        except EngineError as error:
            if isinstance(error, ForbiddenError):
                self._loop.call_soon_threadsafe(self._desk.count_forbidden)
            failure = failure_of(error)
        except Exception:
            logger.exception("flight call failed")
            failure = Internal(
                "internal error (the server's log has the details; please report it)"
            )
        raise failure

    def _wait(self, context: Any, work: Coroutine[Any, Any, _Result]) -> _Result:
        """The result of `work` on the event loop; stopped once the client has gone."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._waited_for.add(future)
        try:
            while True:
                done, _ = concurrent.futures.wait((future,), timeout=_LOOK_S)
                if done:
                    return future.result()
                _check_client(context)
        except concurrent.futures.CancelledError as error:
            raise QueryCancelledError("the server is shutting down") from error
        finally:
            # Where nobody waits any more: that stops its query too.
            future.cancel()
            self._waited_for.discard(future)


def _check_client(context: Any) -> None:
    """Raises QueryCancelledError once nobody waits for the call any more."""
    if context.is_cancelled():
        raise QueryCancelledError("the client has gone, or its deadline has passed")


def _command_of(descriptor: Any) -> bytes:
    command: bytes | None = descriptor.command
    if not command:
        raise RequestError("the descriptor has no command", hint="paths name nothing here")
    return command


def _only_row(reader: Any) -> Any:
    """The one row that a client has put."""
    found = None
    for chunk in reader:
        if chunk.data is None or not chunk.data.num_rows:
            continue
        if found is not None:
            raise RequestError("several batches of parameters were sent", hint="send one row")
        found = chunk.data
    if found is None:
        raise RequestError("no row of parameters was sent", hint="send one row")
    return found
