# Owns what /health tells of the storage: whether the log takes records, and what was found damaged.
# Reads only.
"""Health of the storage."""

from engine.damage import DamageBook
from engine.disk_reserve import DiskReserve
from engine.wal.log import Log


class ServerHealth:
    """What /health reports."""

    def __init__(self, log: Log, damage: DamageBook, reserve: DiskReserve) -> None:
        self._log = log
        self._damage = damage
        self._reserve = reserve

    def failures(self) -> list[str]:
        """Reasons why the server is not healthy."""
        if self._log.failure is not None:
            return [f"{self._log.failure.message}; {self._log.failure.hint}"]
        if self._reserve.is_used or self._log.is_full:
            return ["the disk is full: no rows are taken until space is free"]
        return []

    def damage(self) -> list[str]:
        """What was found damaged; the rest is served. Without names: everybody may ask."""
        count = len(self._damage.entries())
        return [f"damaged parts of files: {count}, see system.damage"] if count else []
