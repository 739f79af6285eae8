# Owns the flag --database-rights of the commands on triggers and dry runs, and what its values mean
# to the server.
"""Rights of triggers on the command line."""

import argparse

from engine.cli.parsing import Parser
from engine.errors import ConfigError

FLAG = "--database-rights"


def add_flag(parser: Parser, text: str) -> None:
    """Let `parser` take rights; `text` says what for."""
    parser.add_argument(
        FLAG,
        action="append",
        metavar="NAME:read,write",
        help=f"{text} (* for every database, or the word own, all or none); may be repeated",
    )


def permissions_of(namespace: argparse.Namespace) -> list[str] | None:
    """What the flag asks for, in the server's words; None where it is not given.

    Raises:
        ConfigError: A value is neither a word nor names a database and what may be done to it.
    """
    texts: list[str] | None = namespace.database_rights
    if texts is None:
        return None
    if len(texts) > 1 and any(text in ("all", "none") for text in texts):
        raise ConfigError(f"{FLAG}: 'all' and 'none' stand alone")
    permissions: list[str] = []
    for text in texts:
        if text == "all":
            permissions.append("*:*:*")
        elif text == "own":
            permissions.append(f"db:{namespace.database}:read,write")
        elif ":" in text:
            permissions.append(f"db:{text}")
        elif text != "none":
            raise ConfigError(
                f"{FLAG}: '{text}' does not say what may be done",
                hint=f"write {text}:read, {text}:write or {text}:read,write; or own, all or none",
            )
    return permissions
