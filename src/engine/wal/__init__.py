"""The write-ahead log: group commit, recovery."""
