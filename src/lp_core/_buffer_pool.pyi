HELD_BYTES_MAX: int

def statistics() -> dict[str, int]:
    """Return what the pool did so far, by name.

    Returns:
        ``held_bytes`` and ``held_bytes_max``, and how many buffers were ``reused``, ``fresh``,
        ``kept`` and ``dropped``.
    """

def limit_held_bytes(held_bytes_max: int = ...) -> None:
    """Set how many bytes the pool may keep, and free what is above that; 0 turns it off."""
