# Owns what crosses between the server and a plugin worker: the messages, their framing (u32 length,
# then MessagePack) and one transport for each side, blocking in the worker and asyncio in the
# server. Table data does not cross here: a worker maps the log segments that a WritesRun names.
"""Messages between the server and the plugin workers."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from engine.errors import PluginError

FRAME_BYTES_MAX = 512 * 1024 * 1024
_LENGTH_BYTES = 4

EntryPointKind = Literal["wal", "schedule", "request"]
LogLevel = Literal["INFO", "WARN", "ERROR"]
# How a run failed: the plugin raised; it could not be loaded; its rows could not be read; it took
# too long; it took its process down; its process went for another reason; the server stopped it.
Failure = Literal["", "exception", "load", "input", "timeout", "crash", "lost", "stopped"]
QueryParameter = str | int | float | bool | None


class FrameTooLargeError(PluginError):
    """A message between server and worker is larger than a frame may be."""

    code = "plugin_frame_too_large"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"a message of {size_bytes} bytes is over the limit of {FRAME_BYTES_MAX} bytes "
            "between plugin and server",
            hint="query or write in smaller pieces",
        )
        self.size_bytes = size_bytes


class ChannelClosedError(PluginError):
    """The other side of the channel is gone."""

    code = "plugin_channel_closed"


# --- server to worker -------------------------------------------------------------------------


class WorkerStart(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """First message to a fresh worker: whom it works for.

    Attributes:
        plugin_path: Absolute path of the plugin file or package directory.
        venv: Virtual environment whose packages plugins may import; it need not exist yet.
        arguments: The trigger's arguments; None when it has none.
        thread_limit: How many calls may run at once; 1 runs them on the main thread.
        is_dry_run: Written texts come back one by one, and the trigger's own cache is kept by the
            server, so that the next dry run finds it.
    """

    database: str
    trigger_name: str
    kind: EntryPointKind
    plugin_path: str
    venv: str
    arguments: dict[str, str] | None
    thread_limit: int = 1
    memory_bytes_max: int | None = None
    is_dry_run: bool = False


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """Whole frames of one log segment file: [start_offset, end_offset)."""

    path: str
    start_offset: int
    end_offset: int


class WritesRun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One call of process_writes with the rows of a stretch of the log.

    Attributes:
        tables: Tables to deliver; None for all.
        start: Frames at this position of the log and before are not delivered, whatever the
            extents hold: they belong to an earlier run.
        end: Nor are frames behind this one; None for no limit.
        skip_origin: Sections of this origin (the trigger's own identity) are not delivered.
        batch_id: Stable name of this batch, the same when the run is repeated.
        row_start: First row to deliver, counted over all rows in the order of delivery.
        row_end: First row not to deliver; None for no limit. Bisection of a bad batch uses both.
        inline: Rows to deliver instead of extents, as (table, rows): dry runs have no log.
        flushed_s: When its newest rows could first be handed over, on the monotonic clock, which
            all processes share; None where nobody measures that.
        inline_types: What the columns of the inline rows hold, as ColumnType by name, by table;
            Arrow tables of them are then like those of the log.
        hops: Of the data; what the run writes at once counts from there.
    """

    run_id: int = 0
    database: str
    extents: list[Extent] = []
    tables: list[str] | None = None
    start: int = 0
    end: int | None = None
    skip_origin: str | None = None
    batch_id: str = ""
    row_start: int = 0
    row_end: int | None = None
    inline: list[tuple[str, list[dict[str, QueryParameter]]]] | None = None
    flushed_s: float | None = None
    inline_types: dict[str, dict[str, int]] = {}
    hops: int = 0


class ScheduleRun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One call of process_scheduled_call for the tick at ``time_ns``."""

    run_id: int = 0
    time_ns: int
    batch_id: str = ""


class RequestRun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One call of process_request."""

    run_id: int = 0
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: bytes = b""
    batch_id: str = ""


Job = WritesRun | ScheduleRun | RequestRun


class StopRuns(msgspec.Struct, frozen=True, tag=True):
    """The runs under way are to end at their next use of the API; the worker is killed soon."""


class CallReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer to one API call of the worker; ``error_message`` is None on success.

    Attributes:
        position: Of the last change of the state that was asked for.
    """

    call_id: int
    value: bytes | None = None
    found: bool = False
    position: int = 0
    error_code: str = ""
    error_message: str | None = None


# --- worker to server -------------------------------------------------------------------------


class QueryCall(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Runs SQL; the reply's value is an Arrow IPC stream."""

    call_id: int
    sql: str
    params: dict[str, QueryParameter] | None
    database: str


class WriteCall(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Writes lines at once; `hops` are those of the data of the run."""

    call_id: int
    database: str
    lines: bytes
    no_sync: bool
    hops: int = 0


class CacheGetCall(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Reads the global cache."""

    call_id: int
    key: str


class CachePutCall(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Stores a pickled value in the global cache."""

    call_id: int
    key: str
    value: bytes
    ttl_s: float | None


class CacheDeleteCall(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Removes a key from the global cache; ``found`` of the reply says whether it was there."""

    call_id: int
    key: str


class StateGetCall(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Reads one value of the trigger's state; the reply's value is None for an absent key."""

    call_id: int
    key: str


class StateItemsCall(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Lists the trigger's state; the reply's value is an encoded list of StateItem."""

    call_id: int
    prefix: str


StateItem = tuple[str, bytes]


class ChunkCall(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A piece of a streamed response; the reply comes when the client may be sent more.

    The first piece of a run says how the response starts; the others may leave that out.
    """

    call_id: int
    run_id: int
    body: bytes
    status: int = 0
    headers: list[tuple[str, str]] = []


Call = (
    QueryCall
    | WriteCall
    | CacheGetCall
    | CachePutCall
    | CacheDeleteCall
    | StateGetCall
    | StateItemsCall
    | ChunkCall
)


class Log(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A line that the plugin logged, sent while the plugin runs."""

    run_id: int
    time_ns: int
    level: LogLevel
    text: str


class Response(msgspec.Struct, frozen=True):
    """What a request plugin answers."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class RunDone(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """End of a run.

    Attributes:
        called: Whether the plugin was called; it is not when a writes run has no rows for it.
        writes: Buffered lines for each database, in order of first use; empty after a failure.
        rows: Rows delivered to the plugin.
        dispatch_s: From the flush to the call of the plugin, its rows made; None where the job
            does not say when the flush was.
        hops_max: Greatest hop count of the delivered sections.
        cache_entries: Live objects that the trigger's own cache holds now.
        state_changes: Keys of the trigger's state with their new values, None to delete; empty
            after a failure.
        state_reads: Keys that the run read, with the position that their value had.
        state_scan: Position of the state when the run listed it; None when it did not.
    """

    run_id: int
    ok: bool
    failure: Failure = ""
    error_type: str = ""
    error_message: str = ""
    traceback: str = ""
    writes: list[tuple[str, bytes]] = []
    response: Response | None = None
    called: bool = True
    rows: int = 0
    dispatch_s: float | None = None
    hops_max: int = 0
    cache_entries: int = 0
    state_changes: list[tuple[str, bytes | None]] = []
    state_reads: list[tuple[str, int]] = []
    state_scan: int | None = None


ToWorker = WorkerStart | WritesRun | ScheduleRun | RequestRun | CallReply | StopRuns
ToServer = Call | Log | RunDone


# --- server and zygote: one datagram per message ----------------------------------------------


class SpawnWorker(msgspec.Struct, frozen=True, tag=True):
    """Fork a worker; the datagram carries its end of its channel, and of the pipe of its output.

    Attributes:
        nice: How far it gives way to the server, 0 to 19.
        processes_max: Processes that may be below it, itself included.
    """

    worker_id: int
    nice: int
    processes_max: int


class KillWorker(msgspec.Struct, frozen=True, tag=True):
    """Kill a worker and its process group; one that is gone already is no error."""

    worker_id: int


class WorkerSpawned(msgspec.Struct, frozen=True, tag=True):
    """A worker was forked; ``pid`` is 0 and ``error`` set when that failed."""

    worker_id: int
    pid: int
    error: str = ""


class WorkerExited(msgspec.Struct, frozen=True, tag=True):
    """A worker has ended: exit status, or the negative number of the signal that killed it.

    Attributes:
        reason: Why the zygote killed it of its own accord; empty when it did not.
    """

    worker_id: int
    status: int
    reason: str = ""


ToZygote = SpawnWorker | KillWorker
FromZygote = WorkerSpawned | WorkerExited
CONTROL_BYTES_MAX = 4096

encode = msgspec.msgpack.Encoder().encode


def encode_frame(message: ToWorker | ToServer) -> bytes:
    """Encodes a message with its length in front."""
    payload = encode(message)
    if len(payload) > FRAME_BYTES_MAX:
        raise FrameTooLargeError(len(payload))
    return len(payload).to_bytes(_LENGTH_BYTES, "little") + payload


def _payload_length(prefix: bytes | bytearray) -> int:
    length = int.from_bytes(prefix, "little")
    if length > FRAME_BYTES_MAX:
        raise FrameTooLargeError(length)
    return length


class WorkerChannel:
    """The worker's end: blocking; any thread may send, one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._owner_pid = os.getpid()
        self._send_lock = threading.Lock()
        self._decode: Callable[[bytearray], ToWorker] = msgspec.msgpack.Decoder(ToWorker).decode

    def send(self, message: ToServer) -> None:
        """Sends one message, waiting for room.

        Raises:
            RuntimeError: This is a process that the plugin forked; two would garble the stream.
        """
        if os.getpid() != self._owner_pid:
            raise RuntimeError("influxdb3_local cannot be used in a forked process")
        frame = encode_frame(message)
        with self._send_lock:
            self._connection.sendall(frame)

    def receive(self) -> ToWorker:
        """Waits for the next message.

        Raises:
            ChannelClosedError: The server is gone.
            MemoryError: The message does not fit into the worker's memory; it is skipped.
        """
        length = _payload_length(self._read_exactly(bytearray(_LENGTH_BYTES)))
        try:
            payload = bytearray(length)
        except MemoryError:
            self._skip(length)
            raise
        return self._decode(self._read_exactly(payload))

    def _read_exactly(self, buffer: bytearray) -> bytearray:
        view = memoryview(buffer)
        while view:
            count = self._connection.recv_into(view)
            if count == 0:
                raise ChannelClosedError("the server closed the channel")
            view = view[count:]
        return buffer

    def _skip(self, length: int) -> None:
        scratch = bytearray(65536)
        while length:
            count = self._connection.recv_into(scratch, min(length, len(scratch)))
            if count == 0:
                raise ChannelClosedError("the server closed the channel")
            length -= count


class ServerChannel:
    """The server's end, on asyncio streams; sends keep their order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decode: Callable[[bytes], ToServer] = msgspec.msgpack.Decoder(ToServer).decode

    @classmethod
    async def open(cls, connection: socket.socket) -> "ServerChannel":
        """Takes over the server's end of a socket pair."""
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        return cls(reader, writer)

    async def send(self, message: ToWorker) -> None:
        """Sends one message, waiting while the worker reads slowly.

        Raises:
            ChannelClosedError: The worker is gone.
        """
        frame = encode_frame(message)
        try:
            self._writer.write(frame)
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise ChannelClosedError("the worker closed the channel") from error

    async def receive(self) -> ToServer:
        """Waits for the next message.

        Raises:
            ChannelClosedError: The worker is gone.
            FrameTooLargeError: What came is not a frame, or one over the limit.
            msgspec.DecodeError: What came is not a message.
        """
        try:
            length = _payload_length(await self._reader.readexactly(_LENGTH_BYTES))
            payload = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ChannelClosedError("the worker closed the channel") from error
        return self._decode(payload)

    def close(self) -> None:
        """Closes the channel; an idle worker then ends."""
        self._writer.close()
