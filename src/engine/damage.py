# Owns what is known of damaged files: the copies that are kept aside, the notes about them, and the
# Parquet files that cannot be read. Notes about the log stay until somebody removes them, for the
# log itself shows nothing any more once its good part is written anew.
"""Damage that was found, and what was kept of it."""

import logging
import threading
from pathlib import Path

import msgspec

from engine.clock import Clock
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.paths import DataPaths

logger = logging.getLogger(__name__)

NOTE_SUFFIX = ".json"


class Damage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One damaged file, or one damaged part of a file.

    Attributes:
        kind: ``log``, ``parquet`` or ``checkpoint``.
        file: Below the node's directory.
        reason: What does not hold.
        found_ns: When that was seen.
        offset_bytes: Where in the file it begins.
        size_bytes: How much of it is not whole.
        after_position: Positions of the log behind this one are lost …
        before_position: … up to the one before this; None where it is not known.
        content: What the lost frames were: ``write``, ``commit``, ``catalog``, or ``unknown``.
        kept: Where the damaged bytes are, below the node's directory; empty for where they were.
        database: Whose rows they are.
        table: Whose rows they are.
        rows: How many.
        min_time_ns: Least time of them.
        max_time_ns: Greatest time of them.
    """

    kind: str
    file: str
    reason: str
    found_ns: int
    offset_bytes: int = 0
    size_bytes: int = 0
    after_position: Position | None = None
    before_position: Position | None = None
    content: tuple[str, ...] = ()
    kept: str = ""
    database: str = ""
    table: str = ""
    rows: int | None = None
    min_time_ns: int | None = None
    max_time_ns: int | None = None

    @property
    def lost_positions(self) -> int:
        """How many frames of the log are lost."""
        if self.after_position is None or self.before_position is None:
            return 0
        return self.before_position - self.after_position - 1


class DamageBook:
    """All damage that is known; may be asked and added to from any thread."""

    def __init__(self, paths: DataPaths, filesystem: FileSystem, clock: Clock) -> None:
        """Nothing is read before `load`."""
        self._paths = paths
        self._filesystem = filesystem
        self._clock = clock
        self._lock = threading.Lock()
        self._notes: list[Damage] = []
        # By path below the Parquet directory.
        self._parquet: dict[str, Damage] = {}

    def load(self) -> None:
        """Read the notes of earlier starts.

        Raises:
            OSError: They cannot be read.
        """
        for path in sorted(self._paths.damaged_dir.glob(f"*{NOTE_SUFFIX}")):
            try:
                note = msgspec.json.decode(self._filesystem.read(path), type=Damage)
            except msgspec.DecodeError as error:
                logger.warning("note about damage not read", extra=keys(file=path, error=error))
                continue
            self._notes.append(note)

    def now_ns(self) -> int:
        """Time at which damage is found now."""
        return self._clock.now_ns()

    def keep(self, path: Path, content: bytes) -> str:
        """Keep `content`, which `path` has, aside; return where, below the node's directory.

        Raises:
            OSError: It cannot be kept, so it must not be changed where it is.
        """
        self._filesystem.make_directory(self._paths.damaged_dir)
        number = 0
        while True:
            name = path.name if not number else f"{path.name}.{number}"
            kept = self._paths.damaged_dir / name
            if not kept.exists():
                self._filesystem.write_whole(kept, content)
                break
            # A crash may have come between this and what was to follow.
            if self._filesystem.read(kept) == content:
                break
            number += 1
        return self.relative(kept)

    def put_aside(self, path: Path) -> None:
        """Move a file, which nothing refers to, to what is kept; durable soon.

        Raises:
            OSError: It cannot be moved.
        """
        target = self._paths.damaged_dir / path.relative_to(self._paths.node_dir)
        self._filesystem.prepare_directory(target.parent)
        self._filesystem.replace(path, target)
        logger.warning("file of no table kept aside", extra=keys(file=path, kept=target))

    def note(self, damage: Damage) -> None:
        """Say and remember durably what was found; once for the same.

        Raises:
            OSError: It cannot be written down.
        """
        with self._lock:
            known = [msgspec.structs.replace(one, found_ns=damage.found_ns) for one in self._notes]
        if damage in known:
            return
        self._filesystem.make_directory(self._paths.damaged_dir)
        place = f"{damage.offset_bytes:012d}-{damage.after_position or 0}"
        name = f"{Path(damage.file).name}.{place}-{damage.found_ns}{NOTE_SUFFIX}"
        content = msgspec.json.format(msgspec.json.encode(damage), indent=2)
        self._filesystem.write_whole(self._paths.damaged_dir / name, content)
        with self._lock:
            self._notes.append(damage)
        said = {name: value for name, value in msgspec.structs.asdict(damage).items() if value}
        logger.error("damage found", extra=keys(**said))

    def note_parquet(self, damage: Damage) -> None:
        """Say and remember until the next start that a Parquet file cannot be read."""
        relative = str(Path(damage.file).relative_to("parquet"))
        with self._lock:
            is_new = relative not in self._parquet
            self._parquet[relative] = damage
        if is_new:
            logger.error(
                "Parquet file damaged",
                extra=keys(file=damage.file, reason=damage.reason, rows=damage.rows),
            )

    def parquet(self, relative: str) -> Damage | None:
        """What is wrong with a file of the Parquet directory; None when nothing is known."""
        return self._parquet.get(relative)

    @property
    def num_notes(self) -> int:
        """How many notes there are that stay."""
        return len(self._notes)

    def entries(self) -> list[Damage]:
        """All that is known."""
        with self._lock:
            return [*self._notes, *self._parquet.values()]

    def knows_gap(self, after: Position, before: Position) -> bool:
        """Whether it is noted that the log has nothing between two positions."""
        return any(
            one.after_position is not None
            and one.before_position is not None
            and one.after_position <= after
            and before <= one.before_position
            for one in self.entries()
        )

    def gaps_behind(self, position: Position) -> list[Damage]:
        """Where frames behind `position` are lost, or may be."""
        return [
            one
            for one in self.entries()
            if one.after_position is not None
            and (
                one.before_position is None
                or (one.lost_positions and one.before_position > position + 1)
            )
        ]

    def path(self, relative: str) -> Path:
        """The path that is `relative` below the node's directory."""
        return self._paths.node_dir / relative

    def relative(self, path: Path) -> str:
        """A path below the node's directory."""
        return str(path.relative_to(self._paths.node_dir))
