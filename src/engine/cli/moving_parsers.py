# Owns the command line of what moves data in and out as a whole: export, import, backup, restore,
# and of doctor, which looks after it.
"""Command line of import, export and backups."""

from engine.cli.parsing import Parser, Verbs
from engine.cli.rows_files import COMPRESSIONS, FORMATS


def add_export(verbs: Verbs, parents: list[Parser]) -> None:
    """``headrace export``."""
    parser = verbs.add_parser(
        "export",
        help="write rows to files",
        parents=parents,
        description="Write the rows of a database, of tables, or of a stretch of time to standard "
        "output or to files.",
    )
    parser.add_argument(
        "--table", action="append", metavar="NAME", help="only this table; may be repeated"
    )
    parser.add_argument(
        "--from", dest="from_time", metavar="TIME", help="rows from this time on: RFC 3339 or ns"
    )
    parser.add_argument("--to", dest="to_time", metavar="TIME", help="rows before this time")
    parser.add_argument(
        "--format", choices=FORMATS, help="form of the rows (default by the file's name, else lp)"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write to this file; .gz and .zst compress"
    )
    parser.add_argument("--directory", metavar="DIR", help="write a file for each table into it")
    parser.add_argument(
        "--compress", choices=tuple(COMPRESSIONS), help="of the files of --directory"
    )
    parser.add_argument(
        "--plain", action="store_true", help="no lines in front that tell unit and types"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    parser.set_defaults(module="export", function="export")


def add_import(verbs: Verbs, parents: list[Parser]) -> None:
    """``headrace import``."""
    parser = verbs.add_parser(
        "import",
        help="write rows of files",
        parents=parents,
        description="Write the rows of files, or of standard input. Interrupted, it goes on where "
        "it was when it is run again.",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="- or none: standard input")
    parser.add_argument(
        "--format", choices=FORMATS, help="form of the files (default by their names)"
    )
    parser.add_argument("--table", metavar="NAME", help="csv, jsonl, parquet: the table")
    parser.add_argument(
        "--tags", metavar="COLUMNS", help="columns that are tags, separated by commas"
    )
    parser.add_argument("--time", metavar="COLUMN", help="column of the times (default time)")
    parser.add_argument(
        "--types",
        metavar="COLUMN=TYPE,…",
        help="of columns that do not tell: double, long, unsignedLong, boolean, string, tag",
    )
    parser.add_argument(
        "-p",
        "--precision",
        choices=("auto", "ns", "us", "ms", "s"),
        help="unit of times that are numbers (default auto for lp, else ns)",
    )
    parser.add_argument(
        "--batch-bytes", metavar="SIZE", default="4MB", help="size of a request (default 4MB)"
    )
    parser.add_argument(
        "--rejects", metavar="FILE", help="for refused lines (default FILE.rejects)"
    )
    parser.add_argument(
        "--state", metavar="FILE", help="remembers how far it is (default FILE.import-state)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    parser.set_defaults(module="import_rows", function="import_rows")


def add_backup(verbs: Verbs, connection: Parser) -> None:
    """``headrace backup``."""
    parser = verbs.add_parser(
        "backup",
        help="back up a running server",
        parents=[connection],
        description="Copy everything of a running server that a directory does not have yet, or "
        "look whether a backup is whole.",
    )
    parser.add_argument("directory", metavar="DIR", help="of backups of this server alone")
    parser.add_argument(
        "--verify", action="store_true", help="read all files of the backup and compare; no server"
    )
    parser.add_argument("--without-secrets", action="store_true", help="leave out secrets")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    parser.set_defaults(module="backup", function="backup")


def add_restore(verbs: Verbs) -> None:
    """``headrace restore``."""
    parser = verbs.add_parser(
        "restore",
        help="make the directory of a server of a backup",
        description="Make the data directory of a new server of a backup, and check every file of "
        "it.",
    )
    parser.add_argument("directory", metavar="DIR", help="the backup")
    parser.add_argument("--data-dir", required=True, metavar="NEW", help="new, or empty")
    parser.add_argument(
        "--plugin-dir", metavar="DIR", help="for plugins, new or empty (default NEW/plugins)"
    )
    parser.add_argument("--node-id", metavar="NAME", help="default: as it was")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    parser.set_defaults(module="backup", function="restore")


def add_doctor(verbs: Verbs, connection: Parser) -> None:
    """``headrace doctor``."""
    parser = verbs.add_parser(
        "doctor",
        help="look whether machine, directories and files are fit",
        parents=[connection],
        description="Look at disk, clock, permissions, plugin environment and files of a server, "
        "whether it runs or not. Exit status 1 if something is not as it must be.",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="as of 'serve'")
    parser.add_argument("--node-id", metavar="NAME", help="as of 'serve'")
    parser.add_argument("--plugin-dir", metavar="DIR", help="as of 'serve'")
    parser.add_argument("--virtual-env-location", metavar="DIR", help="as of 'serve'")
    parser.add_argument("--config", metavar="FILE", help="as of 'serve'")
    parser.add_argument("--quick", action="store_true", help="do not look into files")
    parser.add_argument("--deep", action="store_true", help="read Parquet files from end to end")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(module="doctor", function="doctor")
