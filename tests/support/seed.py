# Owns the reading of the seed document's example plugins, so that tests run them word for word.
"""Example plugins of the seed document."""

import re
import textwrap

from tests.support.shared import require_shared


def seed_plugin(entry_point: str, marker: str) -> str:
    """Source of the example that defines `entry_point` and contains `marker`.

    Skips the test where the seed document is absent.
    """
    text = (require_shared() / "seed" / "processing-engine.txt").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (source,) = [block for block in blocks if f"def {entry_point}(" in block and marker in block]
    return textwrap.dedent(source)
