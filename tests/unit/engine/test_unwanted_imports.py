"""A server does not load what is only there for others."""

import subprocess
import sys

import pytest

CODE = """
import sys
from engine.unwanted_imports import refuse_unwanted
{refuse}
import engine.server
import pyarrow
pyarrow.array([1])
print("pandas" in sys.modules)
"""


@pytest.mark.parametrize(("refuse", "is_loaded"), [("refuse_unwanted()", False), ("", True)])
def test_pandas_is_not_loaded_though_pyarrow_looks_for_it(refuse: str, is_loaded: bool) -> None:
    pytest.importorskip("pandas")
    code = CODE.format(refuse=refuse)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == str(is_loaded)
