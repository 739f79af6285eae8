# Owns the switch between the ways in which parse() reads lines like the one before, for tests.
"""Parsing on every path that the processor has."""

from collections.abc import Iterator
from contextlib import contextmanager

from lp_core._parse import simd_paths, use_simd_path

SIMD_PATHS = simd_paths()


@contextmanager
def simd_path(name: str) -> Iterator[None]:
    """Let parse() take that path, and the best one again afterwards."""
    use_simd_path(name)
    try:
        yield
    finally:
        use_simd_path(SIMD_PATHS[0])
