# Owns how much memory a server takes while something goes on: looked up all the time, since the
# kernel keeps no peak of memory that belongs to a process alone.
"""Memory of a server over time."""

import resource
import threading
from pathlib import Path

from load.servers import descendants

_LOOK_SECONDS = 0.1


def limited(bytes_max):
    """A `preexec_fn` after which a process fails to allocate more than `bytes_max` of its own.

    Mapped files do not count, as the kernel may take their pages back at any time.
    """
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (bytes_max, bytes_max))


class MemoryWatch:
    """Looks at a process and its descendants, from the beginning of a block to its end.

    Attributes:
        own_bytes: Most that was seen of memory that has no file behind it.
        all_bytes: The same with mapped pages of files.
    """

    def __init__(self, pid):
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.own_bytes = 0
        self.all_bytes = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _look(self):
        while not self._stop.wait(_LOOK_SECONDS):
            found = [_sizes(pid) for pid in descendants(self._pid)]
            self.own_bytes = max(self.own_bytes, sum(own for own, _ in found))
            self.all_bytes = max(self.all_bytes, sum(whole for _, whole in found))


def _sizes(pid):
    """Bytes of its own and all bytes of a process, as far as they are in memory."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    sizes = {}
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "VmRSS"):
            sizes[name] = int(value.split()[0]) * 1024
    # One that has ended, and waits to be noticed, has neither.
    return sizes.get("RssAnon", 0), sizes.get("VmRSS", 0)
