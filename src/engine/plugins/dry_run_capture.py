# Owns what stands in the server's place for a dry run: it answers queries, takes down writes and
# log lines within bounds, and keeps a cache that forgets.
"""The server as a dry run sees it."""

from engine.catalog.permissions import Action
from engine.catalog.trigger_permissions import require
from engine.errors import PluginError
from engine.plugins.cache import ExpiringStore
from engine.plugins.channel import QueryParameter
from engine.plugins.ports import Questioner
from engine.plugins.services import WorkerTrigger
from engine.plugins.state import STATE_BYTES_MAX
from engine.store.plugin_state import TriggerState
from engine.store.run_records import StateChange

CACHE_TTL_S = 1800.0
LOG_LINES_SHOWN_MAX = 10_000
LOG_BYTES_SHOWN_MAX = 8 * 1024 * 1024
# The server keeps what a dry run writes until it has ended.
CAPTURED_BYTES_MAX = 64 * 1024 * 1024
CAPTURED_WRITES_MAX = 200_000


class DryRunCache(ExpiringStore[bytes]):
    """A cache that keeps nothing for ever."""

    def put(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Stores a value, for half an hour unless it has a time to live."""
        super().put(key, value, CACHE_TTL_S if ttl_s is None else ttl_s)


class Capture:
    """Stands for the server: answers queries, takes down everything else."""

    def __init__(self, questioner: Questioner, state: TriggerState) -> None:
        self._questioner = questioner
        self._state = state
        self.state_changes: dict[str, bytes | None] = {}
        self.log_lines: list[str] = []
        self.log_lines_left_out = 0
        self.writes: list[tuple[str, str]] = []
        self._captured_bytes = 0
        self._captured_writes = 0
        self._log_characters = 0

    async def query(
        self,
        trigger: WorkerTrigger,
        sql: str,
        params: dict[str, QueryParameter] | None,
        database: str,
    ) -> bytes:
        """Answer a query, which is real, if the trigger may read the database."""
        require(trigger.permissions, trigger.name, Action.READ, database)
        return await self._questioner.arrow_ipc(database, sql, params)

    async def write(
        self, trigger: WorkerTrigger, database: str, lines: bytes, no_sync: bool, hops: int
    ) -> None:
        """Take down a synchronous write, if the trigger may write the database."""
        require(trigger.permissions, trigger.name, Action.WRITE, database)
        self.admit(len(lines))
        self.writes.append((database, lines.decode()))

    def admit(self, nbytes: int) -> None:
        """Account for a write that is kept.

        Raises:
            PluginError: They are too many, or too large together.
        """
        self._captured_bytes += nbytes
        self._captured_writes += 1
        if self._captured_writes > CAPTURED_WRITES_MAX:
            raise PluginError(
                f"a dry run may do {CAPTURED_WRITES_MAX} writes", hint="try fewer rows"
            )
        if self._captured_bytes > CAPTURED_BYTES_MAX:
            raise PluginError(
                f"a dry run may write {CAPTURED_BYTES_MAX} bytes", hint="try fewer rows"
            )

    def state_get(self, trigger: WorkerTrigger, key: str) -> tuple[bytes | None, int]:
        """Read the state of the trial."""
        return self._state.get(key)

    def state_items(
        self, trigger: WorkerTrigger, prefix: str
    ) -> tuple[list[tuple[str, bytes]], int]:
        """List the state of the trial."""
        return self._state.items(prefix), self._state.position

    def change_state(self, changes: list[StateChange]) -> None:
        """Let the next call see what one has changed.

        Raises:
            PluginError: The state would become too large.
        """
        size = self._state.size_after(changes)
        if size > STATE_BYTES_MAX and size > self._state.size_bytes:
            raise PluginError(f"the state would take {size} bytes, the limit is {STATE_BYTES_MAX}")
        self._state.apply(changes, self._state.position)
        self.state_changes.update(changes)

    def log(self, trigger: WorkerTrigger, level: str, text: str, time_ns: int) -> None:
        """Take down a line that the plugin logs."""
        self.note(level, text)

    def note(self, level: str, text: str) -> None:
        """Take down a line of the log, or count it where there are too many."""
        has_room = self._log_characters + len(text) <= LOG_BYTES_SHOWN_MAX
        if has_room and len(self.log_lines) < LOG_LINES_SHOWN_MAX:
            self._log_characters += len(text)
            self.log_lines.append(f"{level}: {text}")
        else:
            self.log_lines_left_out += 1
