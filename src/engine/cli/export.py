# Owns `headrace export`: which tables go into which files. The server makes the bytes; here they
# are compressed and written.
"""Write rows to files."""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from engine.cli.client import Client
from engine.cli.rows_files import COMPRESSIONS, STANDARD, format_of, writing
from engine.cli.write import Progress
from engine.errors import ConfigError

_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY 1"


def export(namespace: argparse.Namespace) -> None:
    """Export what the flags name.

    Raises:
        EngineError: The server refused or broke off, or flags do not go together.
    """
    output = namespace.output or STANDARD
    form = namespace.format or (None if output == STANDARD else format_of(output)) or "lp"
    if namespace.directory is not None and namespace.output is not None:
        raise ConfigError("--output and --directory do not go together", hint="leave one of them")
    if namespace.compress is not None and namespace.directory is None:
        raise ConfigError(
            "--compress is for --directory", hint="--output compresses by its ending, .gz or .zst"
        )
    with Client(namespace) as client:
        tables = namespace.table or _tables(client, namespace.database)
        if namespace.directory is None:
            if form != "lp" and len(tables) != 1:
                raise ConfigError(
                    f"a file of {form} holds one table, and there are {len(tables)}",
                    hint="name one with --table, or write a file for each: --directory DIR",
                )
            _export(client, namespace, tables, form, output)
            return
        directory = Path(namespace.directory)
        directory.mkdir(parents=True, exist_ok=True)
        ending = COMPRESSIONS.get(namespace.compress or "", "")
        for table in tables:
            name = quote(table, safe=" ").replace(".", "%2E")
            _export(client, namespace, [table], form, str(directory / f"{name}.{form}{ending}"))


def _tables(client: Client, database: str) -> list[str]:
    content = {"db": database, "q": _TABLES, "format": "json"}
    rows = json.loads(client.request("POST", "/api/v3/query_sql", content=content))
    if not rows:
        raise ConfigError(f"database '{database}' has no tables", hint="nothing was exported")
    return [row["table_name"] for row in rows]


def _export(
    client: Client, namespace: argparse.Namespace, tables: list[str], form: str, path: str
) -> None:
    common = {"db": namespace.database, "format": form}
    common |= {"from": namespace.from_time} if namespace.from_time else {}
    common |= {"to": namespace.to_time} if namespace.to_time else {}
    common |= {"plain": "true"} if namespace.plain else {}
    is_quiet = namespace.quiet or (path == STANDARD and sys.stdout.isatty())
    progress = Progress(None, quiet=is_quiet)
    with writing(path, form=form) as file, closing(progress):
        for number, table in enumerate(tables):
            if number:
                common["plain"] = "true"
            for piece in client.stream("/api/v3/export", parameters={**common, "table": table}):
                file.write(piece)
                progress.add(len(piece))
    if not namespace.quiet and path != STANDARD:
        print(f"{progress.done_bytes} bytes exported to {path}", file=sys.stderr)
