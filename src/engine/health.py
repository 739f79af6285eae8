# Owns what /health tells of the storage: whether the log takes records, and what was found damaged.
# Reads only.
"""Health of the storage."""

from engine.damage import DamageBook
from engine.wal.log import Log


class ServerHealth:
    """What /health reports."""

    def __init__(self, log: Log, damage: DamageBook) -> None:
        self._log = log
        self._damage = damage

    def failures(self) -> list[str]:
        """Reasons why the server is not healthy."""
        return [] if self._log.failure is None else [self._log.failure.message]

    def damage(self) -> list[str]:
        """What was found damaged; the rest is served."""
        return [f"{one.file}: {one.reason}" for one in self._damage.entries()]
