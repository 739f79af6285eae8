# Owns the command line: the parser, the choice of the command, exit statuses (0 done, 1 failed, 2
# wrong usage) and the form of error messages. Each command lives in a module of its own, imported
# when it runs.
"""The `headrace` command."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import engine
from engine.cli import (
    cache_parsers,
    create_parsers,
    moving_parsers,
    older_words,
    plugin_parsers,
    profile,
    shared_flags,
    structure_parsers,
    unsupported,
)
from engine.cli.parsing import EXIT_USAGE, Parser, Verbs, nouns_of
from engine.cli.terminal import BOLD, RED, harmless, styled
from engine.errors import EngineError, SettingError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

_DESCRIPTION = "Run Python on time-series data as it arrives."
_EPILOG = "See 'headrace COMMAND --help' for each command. A server: headrace serve"


def build_parser(first: str | None = None) -> Parser:
    """The command line; where `first` is a command, no more than begins with it, for speed."""
    parser = Parser(prog="headrace", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "-V", "--version", action="version", version=f"headrace {engine.__version__}"
    )
    parser.add_argument("--help-all", action="help", help="the same as --help")
    for flags in unsupported.GLOBAL_FLAGS:
        parser.add_unsupported(*flags, reason=unsupported.SERVE_FLAGS[flags])
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    connection, database = shared_flags.connection(), shared_flags.database()
    answer, destruction = shared_flags.answer(), shared_flags.destruction()
    both = [connection, database]
    additions: dict[tuple[str, ...], Callable[[], object]] = {
        ("serve",): lambda: _add_serve(verbs),
        ("create",): lambda: create_parsers.add_create(verbs, connection, database),
        ("update",): lambda: _add_update(verbs, connection, database),
        ("show",): lambda: _add_show(verbs, connection, database, answer),
        ("set",): lambda: _add_set(verbs, connection),
        ("test",): lambda: plugin_parsers.add_test(verbs, both),
        ("install",): lambda: plugin_parsers.add_install(verbs, [connection]),
        ("enable",): lambda: _add_switch(verbs, "enable", connection, database),
        ("disable",): lambda: _add_switch(verbs, "disable", connection, database),
        ("backfill",): lambda: plugin_parsers.add_backfill(verbs, both),
        ("trigger",): lambda: plugin_parsers.add_tail(verbs, both),
        ("delete",): lambda: _add_delete(verbs, connection, database, destruction),
        ("write", "w"): lambda: _add_write(verbs, connection, database),
        ("query", "q"): lambda: _add_query(verbs, connection, database, answer),
        ("export",): lambda: moving_parsers.add_export(verbs, both),
        ("import",): lambda: moving_parsers.add_import(verbs, both),
        ("backup",): lambda: moving_parsers.add_backup(verbs, connection),
        ("restore",): lambda: moving_parsers.add_restore(verbs),
        ("doctor",): lambda: moving_parsers.add_doctor(verbs, connection),
        ("dead-letters",): lambda: _add_dead_letters(verbs, both, answer, destruction),
        ("wal",): lambda: _add_wal(verbs),
        ("completion",): lambda: _add_completion(verbs),
        ("debug",): lambda: _add_debug(verbs),
    }
    chosen = [add for names, add in additions.items() if first in names]
    for add in chosen or additions.values():
        add()
    return parser


def _add_serve(verbs: Verbs) -> None:
    # Imported late: the settings of a server take a sixth of a client command's time.
    from engine.cli import serve_parsers

    serve_parsers.add_serve(verbs)


def _add_debug(verbs: Verbs) -> None:
    nouns = nouns_of(verbs, "debug", "look into a server that is not running (not supported)")
    unsupported.add_refused(nouns, "debug")


def _add_update(verbs: Verbs, connection: Parser, database: Parser) -> None:
    nouns = nouns_of(verbs, "update", "change a trigger's code, or how long rows are kept")
    plugin_parsers.add_update(nouns, [connection, database])
    for noun, parents in (("database", [connection]), ("table", [connection, database])):
        parser = nouns.add_parser(noun, help=f"update a {noun}", parents=parents)
        if noun == "database":
            shared_flags.add_database_name(parser)
        else:
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


def _add_show(verbs: Verbs, connection: Parser, database: Parser, answer: Parser) -> None:
    nouns = nouns_of(verbs, "show", "show databases, tables, caches, tokens, triggers or settings")
    cache_parsers.add_show(nouns, [connection, database, answer])
    for noun, text, module, function in (
        ("databases", "list databases", "catalog", "show_databases"),
        ("retention", "list how long rows are kept", "catalog", "show_retention"),
        ("triggers", "list triggers", "catalog", "show_triggers"),
        ("plugins", "list the plugin files of triggers", "plugins", "show_plugins"),
        ("secrets", "list the names of secrets", "secrets", "show"),
        ("tokens", "list tokens", "tokens", "show"),
    ):
        parser = nouns.add_parser(noun, help=text, parents=[connection, answer])
        parser.set_defaults(module=module, function=function)
        if noun == "databases":
            parser.add_argument("--show-deleted", action="store_true", help="deleted ones too")
        if noun in ("triggers", "retention"):
            parser.add_argument("-d", "--database", metavar="NAME", help="only of one database")
    structure_parsers.add_show(nouns, connection, database, answer)
    # Imported late, as above.
    from engine.cli import serve_parsers

    serve_parsers.add_show_config(nouns)
    levels = nouns.add_parser(
        "log-level", help="show the levels of a server's log", parents=[connection, answer]
    )
    levels.set_defaults(module="log_level", function="show")
    _add_show_system(nouns, connection, database)


def _add_set(verbs: Verbs, connection: Parser) -> None:
    nouns = nouns_of(verbs, "set", "change a running server")
    level = nouns.add_parser(
        "log-level",
        help="set the level of a server's log until it ends",
        parents=[connection],
        description="Set what a running server logs, of everything or of one part, until it ends.",
    )
    level.add_argument(
        "level",
        metavar="LEVEL",
        choices=("debug", "info", "warn", "error", "default"),
        help="debug, info, warn or error; default to take back what was set for a --logger",
    )
    level.add_argument(
        "--logger", metavar="NAME", help="this part alone, as log lines name it: engine.query"
    )
    level.set_defaults(module="log_level", function="set_level")


def _add_show_system(nouns: Verbs, connection: Parser, database: Parser) -> None:
    # The flags may stand before the last word, too, as in the reference.
    system = nouns.add_parser(
        "system",
        aliases=["s"],
        help="show system tables",
        parents=[connection, database],
        description="Show what the server knows about itself: the tables named system.…",
    )
    parts = system.add_subparsers(title="what", metavar="WHAT", required=True)
    parents = [
        shared_flags.connection(repeated=True),
        shared_flags.database(repeated=True),
        shared_flags.answer(short=False),
    ]
    tables = parts.add_parser("table-list", help="list the system tables", parents=parents)
    tables.set_defaults(module="system", function="list_tables")
    table = parts.add_parser("table", help="show one system table", parents=parents)
    table.add_argument("name", metavar="NAME", help="such as queries")
    table.add_argument("-o", "--order-by", metavar="COLUMNS", help="order of the rows")
    table.add_argument("-s", "--select", metavar="COLUMNS", help="columns to show (default all)")
    table.set_defaults(module="system", function="show_table")
    summary = parts.add_parser("summary", help="show some of each system table", parents=parents)
    summary.set_defaults(module="system", function="show_summary")
    for parser, limit in ((table, 100), (summary, 10)):
        parser.add_argument(
            "-l", "--limit", type=int, default=limit, metavar="N", help=f"rows (default {limit})"
        )


def _add_switch(verbs: Verbs, verb: str, connection: Parser, database: Parser) -> None:
    nouns = nouns_of(verbs, verb, f"{verb} a trigger")
    trigger = nouns.add_parser("trigger", help=f"{verb} a trigger", parents=[connection, database])
    trigger.add_argument("name", metavar="TRIGGER_NAME")
    trigger.set_defaults(module="catalog", function=f"{verb}_trigger")


def _add_delete(verbs: Verbs, connection: Parser, database: Parser, destruction: Parser) -> None:
    nouns = nouns_of(
        verbs, "delete", "delete a database, a table, rows, a cache, a token or a trigger"
    )
    cache_parsers.add_delete(nouns, [connection, database, destruction])
    token = nouns.add_parser("token", help="delete a token", parents=[connection, destruction])
    token.add_argument("--token-name", metavar="NAME", required=True)
    token.set_defaults(module="tokens", function="delete")
    deletion = nouns.add_parser(
        "database", help="delete a database with all its rows", parents=[connection, destruction]
    )
    deletion.add_argument("name", metavar="NAME")
    structure_parsers.add_hard_delete(deletion)
    deletion.set_defaults(module="catalog", function="delete_database")
    structure_parsers.add_delete(nouns, connection, database, destruction)
    secret = nouns.add_parser("secret", help="delete a secret", parents=[connection, destruction])
    secret.add_argument("name", metavar="NAME")
    secret.set_defaults(module="secrets", function="delete")
    trigger = nouns.add_parser(
        "trigger", help="delete a trigger", parents=[connection, database, destruction]
    )
    trigger.add_argument("name", metavar="TRIGGER_NAME")
    trigger.add_argument("--force", action="store_true", help="also when it is enabled")
    trigger.set_defaults(module="catalog", function="delete_trigger")
    unsupported.add_refused(nouns, "delete")


def _add_write(verbs: Verbs, connection: Parser, database: Parser) -> None:
    write = verbs.add_parser(
        "write",
        aliases=["w"],
        help="write line protocol",
        parents=[connection, database],
        description="Write line protocol from the argument, files, or standard input.",
    )
    write.add_argument("lines", nargs="?", metavar="LINE_PROTOCOL", help="- for standard input")
    write.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        action="append",
        help="read this file, - for standard input; may be repeated",
    )
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
    write.add_argument("--gzip", action="store_true", help="compress what is sent")
    write.add_argument(
        "--max-request-size",
        metavar="SIZE",
        help="largest body of a request, before compression (default 4MB)",
    )
    write.add_argument(
        "--max-concurrent-requests",
        type=int,
        metavar="N",
        help="accepted for old scripts: requests are sent one after the other, in order",
    )
    shared_flags.add_host_of(write, "write")
    write.set_defaults(module="write", function="write")


def _add_query(verbs: Verbs, connection: Parser, database: Parser, answer: Parser) -> None:
    query = verbs.add_parser(
        "query",
        aliases=["q"],
        help="run SQL or InfluxQL",
        parents=[connection, database, answer],
        description="Run a query from the argument, a file, or standard input.",
    )
    query.add_argument(
        "-l", "--language", choices=("sql", "influxql"), default="sql", help="default: sql"
    )
    query.add_argument("sql", nargs="?", metavar="SQL", help="- for standard input")
    query.add_argument("-f", "--file", metavar="FILE", help="read this file, - for standard input")
    query.add_argument(
        "--param", action="append", metavar="NAME=VALUE", help="value of $NAME; may be repeated"
    )
    shared_flags.add_host_of(query, "query")
    query.set_defaults(module="query", function="query")


def _add_dead_letters(
    verbs: Verbs, both: list[Parser], answer: Parser, destruction: Parser
) -> None:
    nouns = nouns_of(verbs, "dead-letters", "look after rows that a trigger could not process")
    listing = nouns.add_parser("list", help="list dead letters", parents=[*both, answer])
    listing.add_argument("--trigger", metavar="NAME", help="only those of one trigger")
    listing.set_defaults(module="dead_letters", function="show")
    for verb, text in (("replay", "run the rows again"), ("drop", "forget the rows")):
        parents = [*both, *([destruction] if verb == "drop" else [])]
        parser = nouns.add_parser(verb, help=text, parents=parents)
        parser.add_argument("--trigger", metavar="NAME", required=True)
        parser.add_argument("id", nargs="*", metavar="ID", help="as 'list' shows it")
        parser.add_argument("--all", action="store_true", help="all of the trigger")
        parser.set_defaults(module="dead_letters", function=verb)


def _add_wal(verbs: Verbs) -> None:
    nouns = nouns_of(verbs, "wal", "look at log files")
    dump = nouns.add_parser("dump", help="print the frames of a log segment")
    dump.add_argument("file", metavar="FILE")
    dump.add_argument("--rows", action="store_true", help="print the rows as well")
    dump.set_defaults(module="wal", function="dump")


def _add_completion(verbs: Verbs) -> None:
    completion = verbs.add_parser(
        "completion",
        help="print a script that completes commands in a shell",
        description="Print a script that completes commands and flags: "
        "source <(headrace completion bash), or the same with zsh; "
        "headrace completion fish | source.",
    )
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"))
    completion.set_defaults(module="completion", function="completion")


def main(arguments: Sequence[str]) -> int:
    """Run the command of `arguments`; return the exit status."""
    words = list(arguments)
    if words and words[-1] == "help" and not any(word.startswith("-") for word in words):
        # `headrace create trigger help`, as the reference's documentation spells it.
        words[-1] = "--help"
    if words in (["-V"], ["--version"]):
        print(f"headrace {engine.__version__}")
        return 0
    parser = build_parser(words[0] if words else None)
    if words and words[0] in older_words.FLAGS:
        # Its value would be taken for a command.
        parser.refuse(words[:1])
    namespace = parser.parse_args(words)
    try:
        profile.complete(namespace)
        module = importlib.import_module(f"engine.cli.{namespace.module}")
        getattr(module, namespace.function)(namespace)
    except EngineError as error:
        _print_error(error)
        return EXIT_USAGE if isinstance(error, SettingError) else EXIT_FAILED
    except BrokenPipeError:
        # Who read our output has seen enough (`| head`); what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # Without the number that Python puts in front.
        is_named = error.filename is not None and error.strerror is not None
        _print_error(EngineError(f"{error.filename}: {error.strerror}" if is_named else str(error)))
        return EXIT_FAILED
    except UnicodeDecodeError as error:
        # What was read, not shown: it may be a secret.
        print(f"headrace: the input is not UTF-8 text: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _print_error(error: EngineError) -> None:
    message, hint = (harmless(text, sys.stderr) for text in (error.message, error.hint))
    print(f"{styled('headrace:', RED, sys.stderr)} {message}", file=sys.stderr)
    if hint:
        print(f"  {styled('hint:', BOLD, sys.stderr)} {hint}", file=sys.stderr)


def run() -> NoReturn:
    """Entry point of the `headrace` command."""
    sys.exit(main(sys.argv[1:]))
