# Owns the part of the command line that creates databases, tokens, secrets and triggers.
"""Command line of creation."""

from engine.cli import (
    cache_parsers,
    shared_flags,
    structure_parsers,
    trigger_rights,
    unsupported,
)
from engine.cli.parsing import Parser, Verbs, nouns_of


def add_create(verbs: Verbs, connection: Parser, database: Parser) -> None:
    """``headrace create …``."""
    nouns = nouns_of(verbs, "create", "create a database, a table, a cache, a token or a trigger")
    cache_parsers.add_create(nouns, [connection, database])
    _add_create_token(nouns, connection)
    creation = nouns.add_parser("database", help="create a database", parents=[connection])
    shared_flags.add_database_name(creation)
    creation.add_argument(
        "--retention-period",
        metavar="DURATION",
        help="how long rows are kept, such as 30d (default: for ever)",
    )
    creation.set_defaults(module="catalog", function="create_database")
    structure_parsers.add_create(nouns, connection, database)
    secret = nouns.add_parser(
        "secret",
        help="store a value for trigger arguments, read from standard input",
        parents=[connection],
        description="Store a value, read from standard input, that the argument KEY=secret:NAME of "
        "a trigger stands for.",
    )
    secret.add_argument("name", metavar="NAME")
    secret.set_defaults(module="secrets", function="create")

    trigger = nouns.add_parser(
        "trigger",
        help="create a trigger",
        parents=[connection, database],
        description="Create a trigger: when which plugin runs.",
    )
    trigger.add_argument("name", metavar="TRIGGER_NAME")
    trigger.add_argument(
        "--trigger-spec",
        required=True,
        metavar="SPEC",
        help="all_tables, table:NAME, every:DURATION, cron:EXPRESSION (seconds first), request:P",
    )
    trigger.add_argument(
        "--path",
        "--plugin-filename",
        dest="path",
        required=True,
        metavar="FILE",
        help="plugin file or package, relative to the server's plugin directory, or gh:PATH",
    )
    trigger.add_argument(
        "--upload",
        action="store_true",
        help="the path is a local one: store it on the server first",
    )
    trigger.add_argument(
        "--trigger-arguments",
        action="append",
        metavar="K=V,K=V",
        help="arguments for the plugin; may be repeated",
    )
    trigger.add_argument("--disabled", action="store_true", help="create it without starting it")
    trigger.add_argument(
        "--run-asynchronous",
        "--run-asynchronously",
        dest="run_async",
        action="store_true",
        help="let several runs overlap",
    )
    trigger.add_argument(
        "--error-behavior",
        type=str.lower,
        choices=("log", "retry", "disable"),
        default="log",
        help="what to do when a run fails (default log)",
    )
    trigger.add_argument(
        "--allow-self", action="store_true", help="deliver to the trigger what it wrote itself"
    )
    trigger.add_argument("--timeout", metavar="DURATION", help="longest time of a run, such as 30s")
    trigger.add_argument("--memory-max", metavar="SIZE", help="memory of its worker, such as 512MB")
    trigger.add_argument(
        "--start-from",
        metavar="WHEN",
        default="now",
        help="now, beginning, or a time: also process what was written since then (default now)",
    )
    trigger.add_argument(
        "--concurrency", metavar="N", help="runs at once of an asynchronous trigger"
    )
    trigger.add_argument(
        "--batch-rows", metavar="N", help="rows of one call, about, when the trigger lags"
    )
    trigger_rights.add_flag(
        trigger, "a database and what the plugin may do with it (default: serve --trigger-rights)"
    )
    trigger.set_defaults(module="catalog", function="create_trigger")
    unsupported.add_refused(nouns, "create")


def _add_create_token(nouns: Verbs, connection: Parser) -> None:
    token = nouns.add_parser(
        "token",
        help="create a token",
        parents=[connection, shared_flags.destruction()],
        description="Create a token: for everything (--admin), or for some databases. It is shown "
        "once.",
    )
    token.add_argument("--admin", action="store_true", help="a token that permits everything")
    token.add_argument(
        "--database",
        action="append",
        metavar="NAME:read,write",
        help="a database and what may be done with it (* for every database); may be repeated",
    )
    token.add_argument(
        "--permission",
        action="append",
        metavar="KIND:NAME:ACTIONS",
        help="the same in full: db:NAME:read,write or system:metrics:read",
    )
    token.add_argument("--name", metavar="NAME", help="name of the token")
    token.add_argument("--expiry", metavar="DURATION", help="how long it is valid, such as 30d")
    token.add_argument(
        "--regenerate", action="store_true", help="make a new admin token; the old one is void"
    )
    token.add_argument("--format", choices=("text", "json"), default="text")
    token.add_argument(
        "--offline", action="store_true", help="make a file for --admin-token-file; needs no server"
    )
    token.add_argument("--output-file", metavar="FILE", help="where --offline puts it")
    token.set_defaults(module="tokens", function="create")
