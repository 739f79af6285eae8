# Owns a chain of directories that nobody can walk by recursion.
"""Directories without end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEPTH = 1_200


@contextmanager
def deep_directories(top: Path) -> Iterator[None]:
    """`DEPTH` directories within each other below `top`; gone at the end, as nobody else can."""
    made = [str(top)]
    for _ in range(DEPTH):
        made.append(f"{made[-1]}/d")
        os.mkdir(made[-1])  # noqa: PTH102 - Path would take it apart each time
    try:
        yield
    finally:
        for path in reversed(made[1:]):
            os.rmdir(path)  # noqa: PTH106 - as above
