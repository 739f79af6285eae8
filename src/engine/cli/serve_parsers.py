# Owns the part of the command line that takes the settings of a server: `serve` and `show config`.
"""Command line of servers."""

import argparse

from engine.cli.parsing import Parser, Verbs
from engine.cli.unsupported import SERVE_FLAGS
from engine.serve_options import FLAGS


def add_serve(verbs: Verbs) -> None:
    """``headrace serve``."""
    serve = verbs.add_parser("serve", help="run a server", description="Run a server.")
    _add_settings(serve)
    serve.set_defaults(module="serve", function="serve")


def _add_settings(serve: Parser) -> None:
    """Every setting as a flag, and those of the reference that there are not."""
    for option in FLAGS:
        text = f"{option.help} [{option.environment[0]}]"
        if option.is_switch:
            serve.add_argument(*option.flags, action="store_true", help=text)
        else:
            serve.add_argument(*option.flags, metavar=option.metavar, help=text)
    serve.add_argument(
        "--node-id-from-env", metavar="VARIABLE", help="the node id is in this variable"
    )
    # Nothing is ever sent anywhere, so there is nothing to disable.
    serve.add_argument("--disable-telemetry-upload", action="store_true", help=argparse.SUPPRESS)
    for flags, reason in SERVE_FLAGS.items():
        serve.add_unsupported(*flags, reason=reason)


def add_show_config(nouns: Verbs) -> None:
    """``headrace show config``."""
    parser = nouns.add_parser(
        "config",
        help="show the settings of a server, and where each comes from",
        description="Show the settings that 'headrace serve' with the same flags would have.",
    )
    parser.add_argument("--format", choices=("pretty", "json"), default="pretty")
    _add_settings(parser)
    parser.set_defaults(module="serve", function="show_config")
