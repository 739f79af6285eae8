# Owns the commands on dead letters: rows that a trigger could not process.
"""List, replay and drop dead letters."""

import argparse
import json

from engine.cli.client import Client
from engine.cli.confirmation import confirm
from engine.cli.shown_rows import show_listed
from engine.errors import ConfigError, EngineError

_PATH = "/api/v3/configure/processing_engine_dead_letters"


class StillParkedError(EngineError):
    """Rows failed again when they were replayed."""

    code = "still_parked"


def show(namespace: argparse.Namespace) -> None:
    """``headrace dead-letters list``."""
    parameters = {"db": namespace.database}
    if namespace.trigger is not None:
        parameters["trigger_name"] = namespace.trigger
    show_listed(namespace, _PATH, parameters)


def replay(namespace: argparse.Namespace) -> None:
    """``headrace dead-letters replay``.

    Raises:
        StillParkedError: Rows failed again.
    """
    with Client(namespace, timeout_s=None) as client:
        answer = client.request("POST", f"{_PATH}/replay", content=_selection(namespace))
    done = json.loads(answer)
    print(f"{done['processed_rows']} rows processed")
    if done["parked_rows"]:
        raise StillParkedError(
            f"{done['parked_rows']} rows failed again and stay parked",
            hint=f"headrace dead-letters list --database {namespace.database}",
        )


def drop(namespace: argparse.Namespace) -> None:
    """``headrace dead-letters drop``."""
    selection = _selection(namespace)
    which = "all dead letters" if namespace.all else f"dead letters {', '.join(namespace.id)}"
    deed = f'drop {which} of trigger "{namespace.trigger}"'
    if not confirm(namespace, deed, asks_scripts=False):
        return
    with Client(namespace) as client:
        answer = client.request("DELETE", _PATH, content=selection)
    print(f"{json.loads(answer)['dropped_rows']} rows dropped")


def _selection(namespace: argparse.Namespace) -> dict[str, object]:
    if bool(namespace.id) == namespace.all:
        raise ConfigError("name dead letters by their ids, or all of them with --all")
    selection: dict[str, object] = {
        "db": namespace.database,
        "trigger_name": namespace.trigger,
    }
    if not namespace.all:
        selection["ids"] = namespace.id
    return selection
