# Owns the arguments of the commands on caches of tables.
"""Arguments of create, show and delete of caches."""

from collections.abc import Sequence

from engine.cli.parsing import Parser, Verbs


def add_create(nouns: Verbs, parents: Sequence[Parser]) -> None:
    """``headrace create last_cache`` and ``headrace create distinct_cache``."""
    last = nouns.add_parser(
        "last_cache",
        help="keep the last rows of each series at hand",
        parents=list(parents),
        description="Keep the last rows of each series of a table, or of other groups, at hand for "
        "the SQL function last_cache('TABLE', 'CACHE_NAME').",
    )
    _add_name(last)
    last.add_argument(
        "--key-columns", metavar="A,B", help="what makes a group of rows (default: all tags)"
    )
    last.add_argument(
        "--value-columns", metavar="A,B", help="what is shown beside it (default: all the rest)"
    )
    last.add_argument("--count", default="1", metavar="N", help="rows of a group (default 1)")
    last.add_argument(
        "--ttl",
        default="4 hours",
        metavar="DURATION",
        help="rows whose time is longer ago are not in it (default '4 hours')",
    )
    last.set_defaults(module="caches", function="create_last")
    distinct = nouns.add_parser(
        "distinct_cache",
        help="keep the values that columns have at hand",
        parents=list(parents),
        description="Keep the combinations of values that columns of a table have at hand for the "
        "SQL function distinct_cache('TABLE', 'CACHE_NAME').",
    )
    _add_name(distinct)
    distinct.add_argument("--columns", required=True, metavar="A,B", help="tags, or string fields")
    distinct.add_argument(
        "--max-cardinality",
        default="100000",
        metavar="N",
        help="combinations that are kept, the latest ones (default 100000)",
    )
    distinct.add_argument(
        "--max-age",
        default="1d",
        metavar="DURATION",
        help="combinations that no row of this time has are not in it (default 1d)",
    )
    distinct.set_defaults(module="caches", function="create_distinct")


def add_show(nouns: Verbs, parents: Sequence[Parser]) -> None:
    """``headrace show last_caches`` and ``headrace show distinct_caches``."""
    for noun, text in (
        ("last_caches", "list the caches of last rows of a database"),
        ("distinct_caches", "list the caches of distinct values of a database"),
    ):
        parser = nouns.add_parser(noun, help=text, parents=list(parents))
        parser.set_defaults(module="caches", function="show", noun=noun)


def add_delete(nouns: Verbs, parents: Sequence[Parser]) -> None:
    """``headrace delete last_cache`` and ``headrace delete distinct_cache``."""
    for noun, text in (
        ("last_cache", "delete a cache of last rows"),
        ("distinct_cache", "delete a cache of distinct values"),
    ):
        parser = nouns.add_parser(noun, help=text, parents=list(parents))
        parser.add_argument("name", metavar="CACHE_NAME")
        parser.add_argument("-t", "--table", required=True, metavar="NAME")
        parser.set_defaults(module="caches", function="delete", noun=noun)


def _add_name(parser: Parser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="CACHE_NAME", help="default: made of table and columns"
    )
    parser.add_argument("-t", "--table", required=True, metavar="NAME")
