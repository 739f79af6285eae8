# Owns the question how many bytes are allocated at this moment, exactly, for tests of leaks: from
# the C library, or from the sanitizer that took its place. Python's own small blocks are counted too.
"""Live memory of this process."""

import ctypes
import gc
import sys

from lp_core._buffer_pool import HELD_BYTES_MAX, limit_held_bytes

_PROCESS = ctypes.CDLL(None)
_SANITIZER_COUNTER = "__sanitizer_get_current_allocated_bytes"
is_sanitized = hasattr(_PROCESS, _SANITIZER_COUNTER)
is_countable = is_sanitized or hasattr(_PROCESS, "mallinfo2")


class _MallocInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def live_memory() -> tuple[int, int]:
    """Bytes that C code holds, and blocks that Python holds, after a collection."""
    gc.collect()
    limit_held_bytes(0)
    limit_held_bytes(HELD_BYTES_MAX)
    if is_sanitized:
        counter = getattr(_PROCESS, _SANITIZER_COUNTER)
        counter.restype = ctypes.c_size_t
        return counter(), 0
    _PROCESS.mallinfo2.restype = _MallocInfo
    info = _PROCESS.mallinfo2()
    return info.uordblks + info.hblkhd, sys.getallocatedblocks()
