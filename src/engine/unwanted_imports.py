# Owns which libraries a server process does without though they are installed: other libraries look
# for them, and load them, to know their objects, of which there are none here.
"""Libraries that are not to be loaded."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# pyarrow asks with each list that it is given whether this is a Series. Loading it takes half a
# second and 50 MB.
UNWANTED = frozenset({"pandas"})


class _Refusal(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in UNWANTED:
            raise ModuleNotFoundError(f"{fullname} is not used in this process", name=fullname)
        return None


def refuse_unwanted() -> None:
    """From now on they count as not installed; plugins have processes of their own."""
    sys.meta_path.insert(0, _Refusal())
