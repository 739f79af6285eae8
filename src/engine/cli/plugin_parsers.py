# Owns the part of the command line that is about plugin code: update, test, install. main.py joins
# it with the rest; the commands themselves lie in plugins.py, trial.py and packages.py.
"""Command line of plugins."""

from engine.cli import trigger_rights
from engine.cli.parsing import Parser, Verbs, nouns_of


def add_update(nouns: Verbs, parents: list[Parser]) -> None:
    """``headrace update trigger``."""
    trigger = nouns.add_parser(
        "trigger",
        help="replace the code of a trigger, fetch it again, or set its rights",
        parents=parents,
        description="Replace the code of a trigger by a local file or package, or set what it may "
        "do; without either, fetch the code of a gh: trigger again.",
    )
    trigger.add_argument("name", nargs="?", metavar="TRIGGER_NAME")
    trigger.add_argument("-t", "--trigger-name", metavar="TRIGGER_NAME", help="the same")
    trigger.add_argument("-p", "--path", metavar="FILE", help="local file or package directory")
    trigger_rights.add_flag(trigger, "a database and what the plugin may do with it from now on")
    trigger.set_defaults(module="plugins", function="update_trigger")


def add_test(verbs: Verbs, parents: list[Parser]) -> None:
    """``headrace test wal_plugin|schedule_plugin|request_plugin``."""
    nouns = nouns_of(verbs, "test", "try a plugin out")
    wal = _test_parser(nouns, "wal_plugin", "a plugin of written rows", parents)
    wal.add_argument("--lp", metavar="LINES", help="rows as line protocol, in nanoseconds")
    wal.add_argument("--file", metavar="FILE", help="the same from a local file")
    wal.add_argument("--table", metavar="NAME", help="with --from: only rows of this table")
    _add_span(wal, "rows that the server has, from this time")
    schedule = _test_parser(nouns, "schedule_plugin", "a plugin of a schedule", parents)
    schedule.add_argument(
        "--schedule", metavar="SPEC", help="cron with seconds, or every:DURATION (default each 1s)"
    )
    _add_span(schedule, "call it for each tick, from this time")
    request = _test_parser(nouns, "request_plugin", "a plugin of requests", parents)
    request.add_argument("--query", action="append", metavar="K=V", help="URL parameters")
    request.add_argument("--header", action="append", metavar="K=V", help="headers")
    request.add_argument("--body", metavar="TEXT", help="body of the request")
    request.add_argument("--file", metavar="FILE", help="the same from a local file")


def _test_parser(
    nouns: Verbs,
    name: str,
    text: str,
    parents: list[Parser],
) -> Parser:
    parser = nouns.add_parser(
        name,
        aliases=[name.replace("_", "-")],
        help=f"try {text}",
        parents=parents,
        description=f"Try {text} on the server: its queries are real, its writes are shown and "
        "not stored.",
    )
    parser.add_argument("filename", metavar="FILENAME", help="as in create trigger --path")
    parser.add_argument(
        "--input-arguments", action="append", metavar="K=V,K=V", help="arguments of the trigger"
    )
    parser.add_argument("--cache-name", metavar="NAME", help="tests of one name share their cache")
    parser.add_argument(
        "--trigger", metavar="NAME", help="see a copy of this trigger's state, and have its rights"
    )
    trigger_rights.add_flag(parser, "a database and what the plugin may do with it")
    parser.set_defaults(module="trial", function=name)
    return parser


def _add_span(parser: Parser, text: str) -> None:
    parser.add_argument("--from", dest="from_time", metavar="TIME", help=text)
    parser.add_argument("--to", dest="to_time", metavar="TIME", help="and before this one")


def add_install(verbs: Verbs, parents: list[Parser]) -> None:
    """``headrace install package|requirements``."""
    nouns = nouns_of(verbs, "install", "install packages for plugins")
    package = nouns.add_parser(
        "package",
        help="install packages that plugins import",
        parents=parents,
        description="Install packages into the server's environment for plugins.",
    )
    package.add_argument("packages", nargs="*", metavar="PACKAGE", help="such as pandas==2.2")
    package.add_argument(
        "-r", "--requirements", metavar="FILE", help="local requirements file, or its URL"
    )
    package.set_defaults(module="packages", function="package")
    requirements = nouns.add_parser(
        "requirements", help="install what a requirements file says", parents=parents
    )
    requirements.add_argument("file", metavar="FILE", help="local file, or its URL")
    requirements.set_defaults(module="packages", function="requirements")


def add_backfill(verbs: Verbs, parents: list[Parser]) -> None:
    """``headrace backfill``."""
    backfill = verbs.add_parser(
        "backfill",
        help="hand a trigger rows of the past",
        parents=parents,
        description="Hand a trigger the rows of a stretch of time from before it began, in order "
        "of their times, while live rows wait.",
    )
    backfill.add_argument("name", metavar="TRIGGER_NAME")
    backfill.add_argument(
        "--from", dest="from_time", required=True, metavar="TIME", help="rows from this time"
    )
    backfill.add_argument("--to", dest="to_time", metavar="TIME", help="and before this one (now)")
    backfill.add_argument("--wait", action="store_true", help="return when it is done")
    backfill.set_defaults(module="backfill", function="backfill")


def add_tail(verbs: Verbs, parents: list[Parser]) -> None:
    """``headrace trigger tail``."""
    nouns = nouns_of(verbs, "trigger", "look at a trigger")
    tail = nouns.add_parser(
        "tail",
        help="follow a trigger's log and runs",
        parents=parents,
        description="Print what a trigger logs, as it comes: the plugin's lines, and how its runs "
        "begin and end. Ctrl-C ends it.",
    )
    tail.add_argument("name", metavar="TRIGGER_NAME")
    tail.add_argument(
        "-n", "--lines", type=int, default=20, metavar="N", help="lines of the past (20)"
    )
    tail.add_argument("--no-follow", action="store_true", help="end behind them")
    tail.set_defaults(module="tail", function="tail")
