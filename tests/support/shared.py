# Owns the way to the language-neutral test vectors, which live beside the repository, not in it.
"""Where the shared vectors are."""

import os
from pathlib import Path

import pytest

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]


def shared_dir() -> Path | None:
    """Return the directory of the shared vectors, or None when this machine has none."""
    configured = os.environ.get("HEADRACE_SHARED_DIR")
    directory = Path(configured) if configured else REPOSITORY_ROOT.parent / "shared"
    return directory if directory.is_dir() else None


def require_shared() -> Path:
    """Return the directory of the shared vectors, or skip the running test."""
    directory = shared_dir()
    if directory is None:
        pytest.skip("the shared vectors are not on this machine (HEADRACE_SHARED_DIR)")
    return directory
