"""Tables in memory and on disk."""
