# The only place that builds file names below the data directory. The node id is part of every path,
# so that several writers can share one store later.
"""File layout of a data directory."""

from pathlib import Path

SEGMENT_SUFFIX = ".wal"
CHECKPOINT_SUFFIX = ".checkpoint"
# Directories within each other below the plugin directory. Plugins may make more, which are left
# alone: who walks into them needs as many calls or open files at a time.
PLUGIN_PATH_PARTS_MAX = 32


class DataPaths:
    """Names of everything below ``<data-dir>/<node-id>/``."""

    def __init__(self, data_dir: Path, node_id: str) -> None:
        self.data_dir = data_dir
        self.node_dir = data_dir / node_id
        self.wal_dir = self.node_dir / "wal"
        # Plugin files fetched from the web, each below the hash of its content.
        self.fetched_plugins_dir = self.node_dir / "fetched-plugins"
        self.cluster_uuid_file = self.node_dir / "cluster-uuid"
        # Values that trigger arguments name; readable for the server's user alone.
        self.secrets_dir = self.node_dir / "secrets"
        # The tokens once more, for the case that the log loses a change of them.
        self.tokens_file = self.node_dir / "tokens"
        # Log lines of plugins, in files numbered from the oldest on.
        self.plugin_logs_dir = self.node_dir / "plugin-logs"
        self.lock_file = self.node_dir / "lock"
        self.checkpoint_dir = self.node_dir / "checkpoints"
        self.parquet_dir = self.node_dir / "parquet"
        # Copies of damaged files, and notes about what is lost.
        self.damaged_dir = self.node_dir / "damaged"
        # What large queries put aside while they run.
        self.query_temp_dir = self.node_dir / "query-temp"
        # Not a segment before it is renamed to one: recovery does not look at it.
        self.prepared_segment = self.wal_dir / "next.prepared"

    def segment(self, first_position: int) -> Path:
        """Log segment that starts at `first_position`."""
        return self.wal_dir / f"{first_position:020d}{SEGMENT_SUFFIX}"

    def segments(self) -> list[Path]:
        """Log segments on disk, oldest first."""
        return sorted(self.wal_dir.glob(f"*{SEGMENT_SUFFIX}"))

    def checkpoint(self, position: int) -> Path:
        """Checkpoint of the state after `position`."""
        return self.checkpoint_dir / f"{position:020d}{CHECKPOINT_SUFFIX}"

    def checkpoints(self) -> list[Path]:
        """Checkpoints on disk, oldest first."""
        return sorted(self.checkpoint_dir.glob(f"*{CHECKPOINT_SUFFIX}"))
