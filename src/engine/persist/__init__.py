"""From log to Parquet files: persisting, compaction, retention, checkpoints."""
