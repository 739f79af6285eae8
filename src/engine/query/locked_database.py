# Owns the DuckDB database that queries run in: in memory, empty but for macros, and locked: no
# network, no settings, no file but the Parquet files of tables.
"""The locked database of queries."""

from pathlib import Path
from typing import Any

import duckdb

from engine.query.macros import MACROS


def locked_database(
    *,
    memory_limit_bytes: int,
    threads: int,
    temp_directory: str,
    temp_bytes_max: int,
    files_directory: Path | None,
) -> duckdb.DuckDBPyConnection:
    """A new database; 0 threads leave their number to DuckDB."""
    settings: dict[str, Any] = {
        "memory_limit": f"{memory_limit_bytes}B",
        "temp_directory": temp_directory,
        "max_temp_directory_size": f"{temp_bytes_max}B",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        # Given here and not by SET: a SET holds for one connection, and every query has its own.
        "python_enable_replacements": "false",
    }
    if threads:
        settings["threads"] = str(threads)
    connection = duckdb.connect(":memory:", config=settings)
    for macro in MACROS:
        connection.execute(macro)
    if files_directory is not None:
        directory = str(files_directory).replace("'", "''")
        connection.execute(f"SET allowed_directories = ['{directory}/']")
        # Files never change, so what was read of their footers stays true.
        connection.execute("SET parquet_metadata_cache = true")
    for statement in (
        "SET GLOBAL TimeZone = 'UTC'",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)
    return connection
