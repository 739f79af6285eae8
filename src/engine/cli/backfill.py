# Owns `headrace backfill`.
"""Hand a trigger rows of the past."""

import argparse
import json
import time
from typing import Any

from engine.cli.client import Client
from engine.errors import EngineError

_PATH = "/api/v3/configure/processing_engine_trigger/backfill"
_POLL_S = 0.5


class BackfillStoppedError(EngineError):
    """The backfill ended, or its trigger was disabled or deleted, before all was done."""

    code = "backfill_stopped"


def backfill(namespace: argparse.Namespace) -> None:
    """``headrace backfill``.

    Raises:
        BackfillStoppedError: The trigger stopped while this waited.
    """
    content = {
        "db": namespace.database,
        "trigger_name": namespace.name,
        "from": namespace.from_time,
        "to": namespace.to_time,
    }
    with Client(namespace) as client:
        before = _rows(client, namespace) if namespace.wait else []
        client.request("POST", _PATH, content=content)
        if not namespace.wait:
            print(f"Backfill of trigger '{namespace.name}' begun")
            return
        while (status := _status(client, namespace))["is_backfilling"]:
            if status["disabled"]:
                raise BackfillStoppedError(
                    f"trigger '{namespace.name}' was disabled: {status['disabled_reason']}",
                    hint="enable it, and its backfill goes on",
                )
            time.sleep(_POLL_S)
    is_new = [row.get("last_error_time") for row in before] != [status.get("last_error_time")]
    # The server's words where it gives a backfill up.
    if is_new and status.get("last_error", "").startswith("backfill ends"):
        raise BackfillStoppedError(status["last_error"])
    print(f"Backfill of trigger '{namespace.name}' done: {status['backfilled_rows']} rows so far")


def _status(client: Client, namespace: argparse.Namespace) -> dict[str, Any]:
    rows = _rows(client, namespace)
    if not rows:
        raise BackfillStoppedError(f"trigger '{namespace.name}' was deleted")
    return rows[0]


def _rows(client: Client, namespace: argparse.Namespace) -> list[dict[str, Any]]:
    content = {
        "db": namespace.database,
        "q": "SELECT disabled, disabled_reason, is_backfilling, backfilled_rows, last_error, "
        "last_error_time FROM system.processing_engine_triggers WHERE trigger_name = $name",
        "params": {"name": namespace.name},
        "format": "json",
    }
    rows: list[dict[str, Any]] = json.loads(
        client.request("POST", "/api/v3/query_sql", content=content)
    )
    return rows
