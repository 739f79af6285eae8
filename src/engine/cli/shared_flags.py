# Owns the flags that many commands have: the connection, the database, the form of the answer, and
# what destroys. Their values from environment and profile come in later (profile.py), so that the
# parsers are the same everywhere.
"""Flags of many commands."""

import argparse

from engine.cli.parsing import Parser

DEFAULT_HOST = "http://127.0.0.1:8181"
FORMATS = ("pretty", "json", "jsonl", "csv", "parquet")


def connection(*, repeated: bool = False) -> Parser:
    """Which server, and as whom; `repeated` below a command that has the flags as well."""
    default = argparse.SUPPRESS if repeated else None
    parent = Parser(add_help=False, argument_default=default)
    group = parent.add_argument_group("connection")
    group.add_argument(
        "-H",
        "--host",
        metavar="URL",
        help="server, or unix:///PATH of its socket [HEADRACE_HOST_URL, INFLUXDB3_HOST_URL] "
        f"(default {DEFAULT_HOST})",
    )
    group.add_argument(
        "--token",
        metavar="TOKEN",
        help="sent as bearer token [HEADRACE_AUTH_TOKEN, INFLUXDB3_AUTH_TOKEN]",
    )
    group.add_argument(
        "--tls-ca",
        metavar="FILE",
        help="certificates (PEM) to trust besides the system's [HEADRACE_TLS_CA, INFLUXDB3_TLS_CA]",
    )
    group.add_argument(
        "--tls-no-verify",
        action="store_true",
        default=default,
        help="do not check the server's certificate [HEADRACE_TLS_NO_VERIFY, "
        "INFLUXDB3_TLS_NO_VERIFY]",
    )
    group.add_argument(
        "--profile",
        metavar="NAME",
        help="take these from a profile of the profile file [HEADRACE_PROFILE] (default 'default')",
    )
    return parent


def database(*, repeated: bool = False) -> Parser:
    """Which database; the command cannot do without. `repeated` as in `connection`."""
    parent = Parser(add_help=False, argument_default=argparse.SUPPRESS if repeated else None)
    parent.add_argument(
        "-d",
        "--database",
        metavar="NAME",
        help="database [HEADRACE_DATABASE_NAME, INFLUXDB3_DATABASE_NAME]",
    )
    parent.set_defaults(needs_database=True)
    return parent


def add_database_name(parser: Parser) -> None:
    """The database that a command is about, by position or by flag."""
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument(
        "-d",
        "--database",
        metavar="NAME",
        help="the same [HEADRACE_DATABASE_NAME, INFLUXDB3_DATABASE_NAME]",
    )
    parser.set_defaults(is_about_database=True)


def add_host_of(parser: Parser, work: str) -> None:
    """A server for one kind of work, in place of --host."""
    names = (f"HEADRACE_{work.upper()}_HOST_URL", f"INFLUXDB3_{work.upper()}_HOST_URL")
    parser.add_argument(
        f"--{work}-host",
        dest="host",
        metavar="URL",
        help=f"in place of --host [{', '.join(names)}]",
    )
    parser.set_defaults(host_environment=names)


def answer(*, short: bool = True) -> Parser:
    """The form of the answer, and where it goes; the latter also as ``-o`` if `short`."""
    parent = Parser(add_help=False)
    parent.add_argument(
        "--format", choices=FORMATS, default="pretty", help="form of the answer (default pretty)"
    )
    spellings = ("-o", "--output") if short else ("--output",)
    parent.add_argument(*spellings, metavar="FILE", help="write the answer to this file")
    return parent


def destruction() -> Parser:
    """What every command has that destroys something."""
    parent = Parser(add_help=False)
    parent.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parent.add_argument(
        "--dry-run", action="store_true", help="say what would be destroyed, and do nothing"
    )
    return parent
