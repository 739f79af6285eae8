# Owns the settings of the C library's allocator. Called once, at the start of a server.
"""Memory of the C library."""

import ctypes
import os

# How much free memory the end of a heap may have before it is given back, and from which size on
# an allocation is a mapping of its own. A body of 5 MB comes in pieces and is put together; with
# glibc's own values its pages were given back and asked for again with each, a fifth of the
# server's time. The price: up to so many bytes per heap are kept though nobody uses them.
KEPT_BYTES_MAX = 32 * 1024 * 1024
MAPPED_BYTES_MIN = 16 * 1024 * 1024

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# With one of these somebody else has decided.
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_memory() -> None:
    """Let memory of large bodies be used again instead of being given back after each.

    Where the C library is not glibc, or the environment sets its values, nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name in os.environ for name in _VARIABLES):
        return
    mallopt(_TRIM_THRESHOLD, KEPT_BYTES_MAX)
    mallopt(_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
