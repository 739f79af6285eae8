# Owns `headrace serve`: settings, logging, the server.
"""Run a server."""

import argparse
import os
import sys

from engine import config, logs


def serve(namespace: argparse.Namespace) -> None:
    """Run until a signal ends it.

    Raises:
        EngineError: The settings are wrong, or the server cannot start.
    """
    settings = config.load(vars(namespace), os.environ)
    logs.configure(settings.log_level)
    # Imported late: the libraries behind it take a third of a second.
    from engine import server

    server.run(settings)
    sys.stderr.flush()
    # Everything is stored and closed. Threads that are still at it (a query text of a megabyte is
    # translated for seconds, and nothing can stop that) would hold up the interpreter's own end.
    os._exit(0)
