# Owns the command line: the parser, the choice of the command, exit statuses (0 done, 1 failed, 2
# wrong usage) and the form of error messages. Each command lives in a module of its own, imported
# when it runs.
"""The `headrace` command."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import engine
from engine.cli import plugin_parsers
from engine.config import FLAGS
from engine.errors import EngineError, SettingError

DEFAULT_HOST = "http://127.0.0.1:8181"
FORMATS = ("pretty", "json", "jsonl", "csv", "parquet")

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_DESCRIPTION = "Run Python on time-series data as it arrives."
_EPILOG = "See 'headrace COMMAND --help' for each command. A server: headrace serve"


def _environment(*names: str, default: str | None = None) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), default)


def _connection() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("connection")
    group.add_argument(
        "-H",
        "--host",
        metavar="URL",
        default=_environment("HEADRACE_HOST_URL", "INFLUXDB3_HOST_URL", default=DEFAULT_HOST),
        help=f"server (environment: HEADRACE_HOST_URL, INFLUXDB3_HOST_URL; default {DEFAULT_HOST})",
    )
    group.add_argument(
        "--token",
        metavar="TOKEN",
        default=_environment("HEADRACE_AUTH_TOKEN", "INFLUXDB3_AUTH_TOKEN"),
        help="sent as bearer token (environment: HEADRACE_AUTH_TOKEN, INFLUXDB3_AUTH_TOKEN)",
    )
    group.add_argument(
        "--tls-ca",
        metavar="FILE",
        default=_environment("HEADRACE_TLS_CA", "INFLUXDB3_TLS_CA"),
        help="certificates (PEM) to trust besides the system's (environment: HEADRACE_TLS_CA, "
        "INFLUXDB3_TLS_CA)",
    )
    group.add_argument(
        "--tls-no-verify",
        action="store_true",
        default=_environment("HEADRACE_TLS_NO_VERIFY", "INFLUXDB3_TLS_NO_VERIFY") == "true",
        help="do not check the server's certificate",
    )
    return parent


def _database() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    name = _environment("HEADRACE_DATABASE_NAME", "INFLUXDB3_DATABASE_NAME")
    parent.add_argument(
        "-d",
        "--database",
        metavar="NAME",
        default=name,
        required=name is None,
        help="database (environment: HEADRACE_DATABASE_NAME, INFLUXDB3_DATABASE_NAME)",
    )
    return parent


def _format(default: str = "pretty") -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--format", choices=FORMATS, default=default, help=f"form of the answer (default {default})"
    )
    return parent


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="headrace", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "-V", "--version", action="version", version=f"headrace {engine.__version__}"
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    connection, database = _connection(), _database()
    _add_serve(verbs)
    _add_create(verbs, connection, database)
    _add_update(verbs, connection, database)
    _add_show(verbs, connection)
    plugin_parsers.add_test(_nouns(verbs, "test", "try a plugin out"), [connection, database])
    plugin_parsers.add_install(
        _nouns(verbs, "install", "install packages for plugins"), [connection]
    )
    for verb in ("enable", "disable"):
        _add_switch(verbs, verb, connection, database)
    plugin_parsers.add_backfill(verbs, [connection, database])
    plugin_parsers.add_tail(_nouns(verbs, "trigger", "look at a trigger"), [connection, database])
    _add_delete(verbs, connection, database)
    _add_write(verbs, connection, database)
    _add_query(verbs, connection, database)
    _add_dead_letters(verbs, connection, database)
    _add_wal(verbs)
    return parser


_Verbs = argparse._SubParsersAction


def _add_serve(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    serve = verbs.add_parser("serve", help="run a server", description="Run a server.")
    _add_settings(serve)
    serve.set_defaults(module="serve", function="serve")


def _add_settings(serve: argparse.ArgumentParser) -> None:
    for option in FLAGS:
        text = f"{option.help} [{option.environment[0]}]"
        if option.is_switch:
            serve.add_argument(option.flag, action="store_true", help=text)
        else:
            serve.add_argument(option.flag, metavar=option.metavar, help=text)


def _nouns(
    verbs: "_Verbs[argparse.ArgumentParser]", verb: str, text: str
) -> "_Verbs[argparse.ArgumentParser]":
    parser = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
    return parser.add_subparsers(title="what", metavar="WHAT", required=True)


def _add_create(
    verbs: "_Verbs[argparse.ArgumentParser]",
    connection: argparse.ArgumentParser,
    database: argparse.ArgumentParser,
) -> None:
    nouns = _nouns(verbs, "create", "create a database, a token or a trigger")
    _add_create_token(nouns, connection)
    creation = nouns.add_parser("database", help="create a database", parents=[connection])
    creation.add_argument("name", metavar="NAME")
    creation.add_argument(
        "--retention-period",
        metavar="DURATION",
        help="how long rows are kept, such as 30d (default: for ever)",
    )
    creation.set_defaults(module="catalog", function="create_database")
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
    trigger.set_defaults(module="catalog", function="create_trigger")


def _add_create_token(
    nouns: "_Verbs[argparse.ArgumentParser]", connection: argparse.ArgumentParser
) -> None:
    token = nouns.add_parser(
        "token",
        help="create a token",
        parents=[connection],
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
    token.add_argument("-y", "--yes", action="store_true", help="do not ask")
    token.add_argument("--format", choices=("text", "json"), default="text")
    token.add_argument(
        "--offline", action="store_true", help="make a file for --admin-token-file; needs no server"
    )
    token.add_argument("--output-file", metavar="FILE", help="where --offline puts it")
    token.set_defaults(module="tokens", function="create")


def _add_update(
    verbs: "_Verbs[argparse.ArgumentParser]",
    connection: argparse.ArgumentParser,
    database: argparse.ArgumentParser,
) -> None:
    nouns = _nouns(verbs, "update", "change a trigger's code, or how long rows are kept")
    plugin_parsers.add_update(nouns, [connection, database])
    for noun, parents in (("database", [connection]), ("table", [connection, database])):
        parser = nouns.add_parser(noun, help=f"update a {noun}", parents=parents)
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "-r",
            "--retention-period",
            required=True,
            metavar="DURATION",
            help="how long rows are kept, such as 30d; none for ever"
            if noun == "database"
            else "how long rows are kept, such as 30d; none for as long as the database's",
        )
        parser.set_defaults(module="catalog", function=f"update_{noun}")


def _add_show(
    verbs: "_Verbs[argparse.ArgumentParser]", connection: argparse.ArgumentParser
) -> None:
    nouns = _nouns(verbs, "show", "show databases, tokens, triggers or settings")
    tokens = nouns.add_parser("tokens", help="list tokens", parents=[connection, _format()])
    tokens.set_defaults(module="tokens", function="show")
    settings = nouns.add_parser(
        "config",
        help="show the settings of a server, and where each comes from",
        description="Show the settings that 'headrace serve' with the same flags would have.",
    )
    settings.add_argument("--format", choices=("pretty", "json"), default="pretty")
    _add_settings(settings)
    settings.set_defaults(module="serve", function="show_config")
    databases = nouns.add_parser(
        "databases", help="list databases", parents=[connection, _format()]
    )
    databases.set_defaults(module="catalog", function="show_databases")
    triggers = nouns.add_parser("triggers", help="list triggers", parents=[connection, _format()])
    triggers.add_argument("-d", "--database", metavar="NAME", help="only those of one database")
    triggers.set_defaults(module="catalog", function="show_triggers")
    plugins = nouns.add_parser(
        "plugins", help="list the plugin files of triggers", parents=[connection, _format()]
    )
    plugins.set_defaults(module="plugins", function="show_plugins")
    secrets = nouns.add_parser(
        "secrets", help="list the names of secrets", parents=[connection, _format()]
    )
    secrets.set_defaults(module="secrets", function="show")


def _add_switch(
    verbs: "_Verbs[argparse.ArgumentParser]",
    verb: str,
    connection: argparse.ArgumentParser,
    database: argparse.ArgumentParser,
) -> None:
    nouns = _nouns(verbs, verb, f"{verb} a trigger")
    trigger = nouns.add_parser("trigger", help=f"{verb} a trigger", parents=[connection, database])
    trigger.add_argument("name", metavar="TRIGGER_NAME")
    trigger.set_defaults(module="catalog", function=f"{verb}_trigger")


def _add_delete(
    verbs: "_Verbs[argparse.ArgumentParser]",
    connection: argparse.ArgumentParser,
    database: argparse.ArgumentParser,
) -> None:
    nouns = _nouns(verbs, "delete", "delete a database, a token or a trigger")
    token = nouns.add_parser("token", help="delete a token", parents=[connection])
    token.add_argument("--token-name", metavar="NAME", required=True)
    token.add_argument("-y", "--yes", action="store_true", help="do not ask")
    token.set_defaults(module="tokens", function="delete")
    deletion = nouns.add_parser(
        "database", help="delete a database with all its rows", parents=[connection]
    )
    deletion.add_argument("name", metavar="NAME")
    deletion.add_argument("-y", "--yes", action="store_true", help="do not ask")
    deletion.set_defaults(module="catalog", function="delete_database")
    secret = nouns.add_parser("secret", help="delete a secret", parents=[connection])
    secret.add_argument("name", metavar="NAME")
    secret.set_defaults(module="secrets", function="delete")
    trigger = nouns.add_parser("trigger", help="delete a trigger", parents=[connection, database])
    trigger.add_argument("name", metavar="TRIGGER_NAME")
    trigger.add_argument("--force", action="store_true", help="also when it is enabled")
    trigger.set_defaults(module="catalog", function="delete_trigger")


def _add_write(
    verbs: "_Verbs[argparse.ArgumentParser]",
    connection: argparse.ArgumentParser,
    database: argparse.ArgumentParser,
) -> None:
    write = verbs.add_parser(
        "write",
        aliases=["w"],
        help="write line protocol",
        parents=[connection, database],
        description="Write line protocol from the argument, a file, or standard input.",
    )
    write.add_argument("lines", nargs="?", metavar="LINE_PROTOCOL")
    write.add_argument("-f", "--file", metavar="FILE", help="read this file")
    write.add_argument(
        "-p", "--precision", default="auto", help="unit of the timestamps: auto, ns, us, ms or s"
    )
    write.add_argument(
        "--accept-partial",
        action="store_true",
        help="keep good lines beside bad ones (the default)",
    )
    write.add_argument(
        "--all-or-nothing", action="store_true", help="store nothing of a chunk with a bad line"
    )
    write.add_argument("--no-sync", action="store_true", help="do not wait for the disk")
    write.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    write.set_defaults(module="write", function="write")


def _add_query(
    verbs: "_Verbs[argparse.ArgumentParser]",
    connection: argparse.ArgumentParser,
    database: argparse.ArgumentParser,
) -> None:
    query = verbs.add_parser(
        "query",
        aliases=["q"],
        help="run SQL or InfluxQL",
        parents=[connection, database, _format()],
        description="Run a query from the argument, a file, or standard input.",
    )
    query.add_argument(
        "-l", "--language", choices=("sql", "influxql"), default="sql", help="default: sql"
    )
    query.add_argument("sql", nargs="?", metavar="SQL")
    query.add_argument("-f", "--file", metavar="FILE", help="read this file")
    query.add_argument("-o", "--output", metavar="FILE", help="write the answer to this file")
    query.add_argument(
        "--param", action="append", metavar="NAME=VALUE", help="value of $NAME; may be repeated"
    )
    query.set_defaults(module="query", function="query")


def _add_dead_letters(
    verbs: "_Verbs[argparse.ArgumentParser]",
    connection: argparse.ArgumentParser,
    database: argparse.ArgumentParser,
) -> None:
    nouns = _nouns(verbs, "dead-letters", "look after rows that a trigger could not process")
    listing = nouns.add_parser(
        "list", help="list dead letters", parents=[connection, database, _format()]
    )
    listing.add_argument("--trigger", metavar="NAME", help="only those of one trigger")
    listing.set_defaults(module="dead_letters", function="show")
    for verb, text in (("replay", "run the rows again"), ("drop", "forget the rows")):
        parser = nouns.add_parser(verb, help=text, parents=[connection, database])
        parser.add_argument("--trigger", metavar="NAME", required=True)
        parser.add_argument("id", nargs="*", metavar="ID", help="as 'list' shows it")
        parser.add_argument("--all", action="store_true", help="all of the trigger")
        parser.set_defaults(module="dead_letters", function=verb)


def _add_wal(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    nouns = _nouns(verbs, "wal", "look at log files")
    dump = nouns.add_parser("dump", help="print the frames of a log segment")
    dump.add_argument("file", metavar="FILE")
    dump.add_argument("--rows", action="store_true", help="print the rows as well")
    dump.set_defaults(module="wal", function="dump")


def main(arguments: Sequence[str]) -> int:
    """Run the command of `arguments`; return the exit status."""
    words = list(arguments)
    if words and words[-1] == "help" and not any(word.startswith("-") for word in words):
        # `headrace create trigger help`, as the reference's documentation spells it.
        words[-1] = "--help"
    namespace = build_parser().parse_args(words)
    module = importlib.import_module(f"engine.cli.{namespace.module}")
    try:
        getattr(module, namespace.function)(namespace)
    except EngineError as error:
        print(f"headrace: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, SettingError) else EXIT_FAILED
    except BrokenPipeError:
        # Who read our output has seen enough (`| head`); what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def run() -> NoReturn:
    """Entry point of the `headrace` command."""
    sys.exit(main(sys.argv[1:]))
