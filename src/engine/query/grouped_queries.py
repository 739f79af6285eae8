# Owns the second way to run a query that groups, if only into one: over groups of whole files that
# are known, and over the rows of what is left. The executor asks for its text, and runs the query
# as it stands where there is none.
"""Queries over known groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import pyarrow

from engine.query.file_parts import FileParts, coverable, told
from engine.query.group_parts import PARTS_VIEW
from engine.query.kept import Kept
from engine.query.rewrite import view_name
from engine.query.table_sources import Found, TableSources
from engine.query.template import Template
from engine.store.manifest import FileEntry
from engine.store.time_ranges import TimeRange

_KNOWN_VIEW = f"{PARTS_VIEW} known"


class Grouping(NamedTuple):
    """A query over one table.

    Attributes:
        template: Its translation.
        params: Values of its parameters.
        now_ns: Its moment.
        met: Times at which all rows meet its conditions.
        renamed: Names that columns have in DuckDB, where they differ.
        names: As `columns_reached` gives them.
    """

    template: Template
    params: Mapping[str, object]
    now_ns: int
    met: TimeRange
    renamed: dict[str, str]
    names: frozenset[str] | None


class GroupedQueries:
    """Writes queries over known groups; any thread may ask."""

    def __init__(self, sources: TableSources, directory: Path, bytes_max: int) -> None:
        """Keep groups of files in `directory`, up to `bytes_max`."""
        self._sources = sources
        self._parts = FileParts(Kept(directory, bytes_max))

    def files_removed(self) -> None:
        """Forget files that are gone."""
        self._parts.kept.forget_removed()

    def text(
        self, cursor: duckdb.DuckDBPyConnection, found: Found, grouping: Grouping
    ) -> str | None:
        """The query over known groups; what it reads is made visible in the cursor.

        None where there are none. What is not known yet is computed when it is asked for again.

        Raises:
            duckdb.Error: It was interrupted.
        """
        parts, snapshot = grouping.template.parts, found.snapshot
        if parts is None or snapshot is None or not snapshot.files:
            return None
        found = self._sources.looked_up(cursor, found)
        files = coverable(snapshot, grouping.met, found.repeated or {})
        if not files:
            return None
        if parts.told:
            groups = told(files, parts.told, found.repeated or {})
            return self._over(cursor, found, grouping, files, groups)
        known = self._known(cursor, found, grouping, files)
        if not known:
            return None
        used = [entry for entry in files if entry.path in known]
        return self._over(cursor, found, grouping, used, pyarrow.concat_tables(known.values()))

    def _known(
        self,
        cursor: duckdb.DuckDBPyConnection,
        found: Found,
        grouping: Grouping,
        files: Sequence[FileEntry],
    ) -> dict[str, Any]:
        """The groups of those of the files of which they are known, by path."""
        assert grouping.template.parts is not None
        question = grouping.template.parts.whole.bind(grouping.params, grouping.now_ns)
        if not self._parts.is_asked_again(question):
            return {}

        def computed(entry: FileEntry) -> Any:
            return self._computed(cursor, found, entry, question, grouping)

        try:
            return self._parts.of(question, files, computed, found.repeated or {})
        except duckdb.InterruptException:
            raise
        except (duckdb.Error, pyarrow.ArrowException, OSError):
            # The query itself comes across the same, and says what it is.
            return {}

    def _over(
        self,
        cursor: duckdb.DuckDBPyConnection,
        found: Found,
        grouping: Grouping,
        files: Sequence[FileEntry],
        groups: Any,
    ) -> str:
        """The query over the `groups` of these files, and over all other rows."""
        parts, snapshot = grouping.template.parts, found.snapshot
        assert parts is not None
        assert snapshot is not None
        used = frozenset(entry.number for entry in files)
        if found.repeated is None:
            left = tuple(entry for entry in snapshot.files if entry.number not in used)
            rest = msgspec.structs.replace(
                found, snapshot=msgspec.structs.replace(snapshot, files=left)
            )
        else:
            # Rows of these files that later ones repeat are still to be folded with them.
            rest = msgspec.structs.replace(found, left_out=used)
        definitions = []
        select = self._show(cursor, rest, grouping)
        if select is not None:
            definitions.append(f'"{view_name(0)}" AS NOT MATERIALIZED ({select})')
        cursor.register(_KNOWN_VIEW, groups)
        inner = parts.inner.bind(grouping.params, grouping.now_ns)
        definitions.append(
            f'"{PARTS_VIEW}" AS NOT MATERIALIZED ({inner} UNION ALL {_shown(groups)})'
        )
        outer = parts.outer.bind(grouping.params, grouping.now_ns)
        return f"WITH {', '.join(definitions)} {outer}"

    def _computed(
        self,
        cursor: duckdb.DuckDBPyConnection,
        found: Found,
        entry: FileEntry,
        question: str,
        grouping: Grouping,
    ) -> Any:
        assert found.snapshot is not None
        alone = msgspec.structs.replace(
            found, snapshot=msgspec.structs.replace(found.snapshot, files=(entry,))
        )
        select = self._sources.standing(
            cursor, view_name(0), alone, grouping.renamed, grouping.names
        )
        text = f'WITH "{view_name(0)}" AS NOT MATERIALIZED ({select}) {question}'
        return cursor.sql(text).to_arrow_table()

    def _show(
        self, cursor: duckdb.DuckDBPyConnection, found: Found, grouping: Grouping
    ) -> str | None:
        return self._sources.show(cursor, view_name(0), found, grouping.renamed, grouping.names)


def _shown(groups: Any) -> str:
    """The SELECT that gives groups as DuckDB had them.

    Sums of whole numbers have 128 bits, which Arrow has as decimals only.
    """
    columns = [
        f'CAST("{field.name}" AS HUGEINT) AS "{field.name}"'
        if pyarrow.types.is_decimal(field.type)
        else f'"{field.name}"'
        for field in groups.schema
    ]
    return f'SELECT {", ".join(columns)} FROM "{_KNOWN_VIEW}"'  # noqa: S608 names are ours
