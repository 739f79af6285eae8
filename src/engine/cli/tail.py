# Owns `headrace trigger tail`.
"""Follow the log of a trigger."""

import argparse
import json
import sys
import time
from typing import Any

from engine.cli.client import Client
from engine.cli.terminal import harmless
from engine.errors import EngineError

_POLL_S = 0.3
_LEVEL_WIDTH = 5


class TriggerGoneError(EngineError):
    """The trigger is not there, or not any more."""

    code = "trigger_gone"


class LogReader:
    """Reads the lines of one trigger, each once."""

    def __init__(self, client: Client, database: str, trigger: str) -> None:
        self._client = client
        self._database = database
        self._trigger = trigger
        self._since_ns = 0
        # Lines of that very moment that were read already; more of them may come.
        self._read_at_since = 0

    def new_lines(self) -> list[dict[str, Any]]:
        """Lines since the last call, oldest first.

        Raises:
            TriggerGoneError: There is no such trigger.
        """
        rows = self._query(
            "SELECT arrow_cast(event_time, 'Int64') AS time_ns, log_level, log_text "
            "FROM system.processing_engine_logs WHERE trigger_name = $name "
            "AND event_time >= to_timestamp_nanos($since)"
        )
        if not rows and not self._query(
            "SELECT trigger_name FROM system.processing_engine_triggers WHERE trigger_name = $name"
        ):
            raise TriggerGoneError(
                f"database {self._database} has no trigger {self._trigger}",
                hint=f"headrace show triggers --database {self._database}",
            )
        fresh = rows[self._read_at_since :]
        if fresh:
            self._since_ns = fresh[-1]["time_ns"]
            self._read_at_since = sum(row["time_ns"] == self._since_ns for row in rows)
        return fresh

    def _query(self, sql: str) -> list[dict[str, Any]]:
        content = {
            "db": self._database,
            "q": sql,
            "params": {
                "name": self._trigger,
                **({"since": self._since_ns} if "$since" in sql else {}),
            },
            "format": "json",
        }
        answer = self._client.request("POST", "/api/v3/query_sql", content=content)
        rows: list[dict[str, Any]] = json.loads(answer)
        return rows


def tail(namespace: argparse.Namespace) -> None:
    """``headrace trigger tail``.

    Raises:
        EngineError: There is no such trigger, or the server cannot be reached any more.
    """
    with Client(namespace) as client:
        reader = LogReader(client, namespace.database, namespace.name)
        _print(
            reader.new_lines()[-namespace.lines :] if namespace.lines else reader.new_lines()[:0]
        )
        while not namespace.no_follow:
            time.sleep(_POLL_S)
            _print(reader.new_lines())


def _print(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        seconds, fraction_ns = divmod(line["time_ns"], 1_000_000_000)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        level = line["log_level"].ljust(_LEVEL_WIDTH)
        text = harmless(line["log_text"], sys.stdout)
        print(f"{moment}.{fraction_ns // 1_000_000:03d}Z {level} {text}", flush=True)
