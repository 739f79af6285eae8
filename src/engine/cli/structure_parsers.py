# Owns the flags of the commands on tables, and of what is deleted; structure.py has the commands.
"""Command line of tables."""

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
    """``headrace delete table``."""
    table = nouns.add_parser(
        "table",
        help="delete a table with all its rows",
        parents=[connection, database, destruction],
    )
    table.add_argument("name", metavar="NAME")
    add_hard_delete(table)
    table.set_defaults(module="structure", function="delete_table")
