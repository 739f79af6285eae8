# Owns the identifier types. A NewType each, so that a database id cannot stand where a trigger id
# is meant.
"""Identifiers used across the server."""

from typing import NewType

DatabaseId = NewType("DatabaseId", int)
TriggerId = NewType("TriggerId", int)
TokenId = NewType("TokenId", int)

# Position of a frame in the writer's log: 1, 2, 3 … in the order of commits; gaps are legal (a
# group that could not be written keeps its numbers), going back is not.
Position = NewType("Position", int)
