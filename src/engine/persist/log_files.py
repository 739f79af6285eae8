# Owns which files of the log go: those that checkpoints and triggers do without, and, when the log
# passes its budget, also what a trigger has not read, loudly. Writes never wait for a trigger.
"""Removal of log files."""

import itertools
import logging

from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.paths import DataPaths
from engine.persist import planner
from engine.persist.planner import SegmentExtent
from engine.persist.ports import LogPort, StatePort

logger = logging.getLogger(__name__)


class LogFiles:
    """The sealed files of the log."""

    def __init__(
        self,
        paths: DataPaths,
        filesystem: FileSystem,
        state: StatePort,
        log: LogPort,
        *,
        kept_bytes_max: int,
    ) -> None:
        self._paths = paths
        self._filesystem = filesystem
        self._state = state
        self._log = log
        self._kept_bytes_max = kept_bytes_max

    def sealed(self) -> list[SegmentExtent]:
        """The files that get no more frames, oldest first."""
        paths = self._paths.segments()
        return [
            SegmentExtent(
                Position(int(path.stem) - 1), Position(int(after.stem) - 1), path.stat().st_size
            )
            for path, after in itertools.pairwise(paths)
        ]

    def applied(self, through: Position) -> list[SegmentExtent]:
        """What of all files, the one in use included, has taken effect up to a position."""
        paths = self._paths.segments()
        ends = [*(Position(int(path.stem) - 1) for path in paths[1:]), through]
        extents = [
            SegmentExtent(Position(int(path.stem) - 1), min(last, through), path.stat().st_size)
            for path, last in zip(paths, ends, strict=True)
        ]
        return [extent for extent in extents if extent.before < extent.last]

    def trim(self, covered: Position) -> int:
        """Remove what nobody needs; `covered` says what checkpoints do without. Return how many.

        Raises:
            OSError: A file cannot be removed.
            WalError, BackPressureError: The log does not take what a trigger loses.
        """
        sealed = self.sealed()
        if not planner.removable(sealed, covered):
            return 0
        readers = self._log.call(self._state.log_readers)
        lost = planner.skipped_through(sealed, covered, kept_bytes_max=self._kept_bytes_max)
        passed = covered
        for reader in readers:
            if reader.keeps:
                passed = min(passed, reader.passed)
                continue
            if reader.passed < lost:
                self._log.skip(reader, lost)
            passed = min(passed, max(reader.passed, lost))
        removed = planner.removable(sealed, passed)
        if removed:
            # First, so that no trigger begins to read what is about to go.
            self._log.call(lambda: self._state.forget_log(removed[-1].last))
        for segment in removed:
            self._filesystem.remove(self._paths.segment(segment.before + 1))
        if removed:
            self._filesystem.sync_directory(self._paths.wal_dir)
            logger.info(
                "log files removed", extra=keys(files=len(removed), through=removed[-1].last)
            )
        return len(removed)
