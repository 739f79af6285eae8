# lp_core is a library of its own: it comes up, and works, with nothing installed beside it.
import subprocess
import sys
from pathlib import Path

import lp_core

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import lp_core
batch = lp_core.parse(b"m,t=a f=1.5 7\\n", precision="ns", now_ns=0).batch["m"]
assert batch.rows() == [{"t": "a", "f": 1.5, "time": 7}]
assert lp_core.build_lines(batch) == b"m,t=a f=1.5 7\\n"
assert not {"numpy", "pyarrow", "msgspec", "duckdb", "engine"} & set(sys.modules)
"""


def test_it_needs_nothing_but_the_interpreter():
    root = Path(lp_core.__file__).parent.parent
    subprocess.run([sys.executable, "-I", "-S", "-c", PROGRAM, str(root)], check=True, timeout=60)
