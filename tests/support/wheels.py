# Owns tiny packages made on the fly, so that tests of installs need no network: pip is pointed at
# their directory by its environment variables.
"""Packages for tests of installs."""

import base64
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path


def make_wheel(
    directory: Path, name: str, version: str, source: str, requires: Sequence[str] = ()
) -> Path:
    """Write a pure wheel of one module; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={_digest(content)},{len(content.encode())}\n"
        for path, content in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for filename, content in files.items():
            wheel.writestr(filename, content)
    return path


def offline_pip(directory: Path) -> dict[str, str]:
    """Environment variables that let pip find packages in `directory` and nowhere else."""
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(directory),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "",
        "PIP_EXTRA_INDEX_URL": "",
    }


def _digest(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
