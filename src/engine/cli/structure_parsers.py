# Owns the flags of the commands on tables and rows, and of what is deleted; the commands are in
# structure.py.
"""Command line of tables and rows."""

from engine.cli.parsing import Parser, Verbs


def add_create(nouns: Verbs, connection: Parser, database: Parser) -> None:
    """``headrace create table``."""
    table = nouns.add_parser(
        "table",
        help="create a table with its columns",
        parents=[connection, database],
        description="Create a table with its columns. A write creates its table by itself; do it "
        "before to fix the types.",
    )
    table.add_argument("name", metavar="NAME")
    table.add_argument("--tags", metavar="NAME,NAME", default="", help="tags, most used first")
    table.add_argument(
        "-f",
        "--fields",
        metavar="NAME:TYPE,…",
        default="",
        help="fields; types are utf8, int64, uint64, float64 and bool",
    )
    table.set_defaults(module="structure", function="create_table")


def add_show(nouns: Verbs, connection: Parser, database: Parser, answer: Parser) -> None:
    """``headrace show tables``."""
    tables = nouns.add_parser("tables", help="list tables", parents=[connection, database, answer])
    tables.set_defaults(module="structure", function="show_tables")


def add_hard_delete(parser: Parser) -> None:
    """When the rows of what is deleted go."""
    parser.add_argument(
        "--hard-delete",
        metavar="WHEN",
        default="default",
        help="when its rows go for good: now, never, default (in 72 hours), or a time; its name is "
        "free at once",
    )


def add_delete(nouns: Verbs, connection: Parser, database: Parser, destruction: Parser) -> None:
    """``headrace delete table`` and ``headrace delete rows``."""
    table = nouns.add_parser(
        "table",
        help="delete a table with all its rows",
        parents=[connection, database, destruction],
    )
    table.add_argument("name", metavar="NAME")
    add_hard_delete(table)
    table.set_defaults(module="structure", function="delete_table")
    rows = nouns.add_parser(
        "rows",
        help="delete rows of a table, by tags and time",
        parents=[connection, database, destruction],
        description="Delete rows that were written before. They are gone from queries at once, and "
        "for good.",
    )
    rows.add_argument("-t", "--table", required=True, metavar="NAME", help="table of the rows")
    rows.add_argument(
        "--where",
        metavar="CONDITION",
        help="on tags and time, such as \"host = 'a' AND area IN ('x', 'y')\"",
    )
    rows.add_argument("--from", dest="start", metavar="TIME", help="rows of this time or later")
    rows.add_argument("--to", dest="end", metavar="TIME", help="rows before this time")
    rows.set_defaults(module="structure", function="delete_rows")
