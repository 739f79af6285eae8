# Owns an InfluxDB 1.x of one's own, where one is installed: the reference for answers to InfluxQL. Run
# as a program it records the answers that tests compare with where there is none:
#     python -m tests.support.influxd
"""InfluxDB 1.x beside tests."""

import itertools
import json
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from tests.support import influxql_corpus
from tests.support.server import free_port
from tests.support.waiting import wait_for

BINARY = shutil.which("influxd")
DIRECTORY = Path(__file__).resolve().parents[1] / "corpus" / "influxql"
RECORDED_SEED, RECORDED_COUNT = 7, 25

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{directory}/meta"
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
[http]
  bind-address = "127.0.0.1:{port}"
[monitor]
  store-enabled = false
"""


class Influxd:
    """One server with the rows of the corpus in database ``db``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()

    def __enter__(self) -> "Influxd":
        assert BINARY is not None
        config = self._directory / "influxd.conf"
        config.write_text(
            _CONFIG.format(directory=self._directory, port=self._port, rpc=free_port())
        )
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen([BINARY, "-config", config], stdout=log, stderr=log)
        wait_for(self._is_up, "influxd answers")
        self.ask("CREATE DATABASE db")
        self._post("/write?db=db&precision=s", influxql_corpus.lines().encode())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def ask(self, text: str) -> list[dict[str, Any]]:
        """The results of the statements in `text`; each has an ``error`` where it failed."""
        form = urlencode({"db": "db", "q": text}).encode()
        try:
            answer = json.loads(self._post("/query", form))
        except urllib.error.HTTPError as error:
            answer = json.loads(error.read())
        results: list[dict[str, Any]] = answer.get("results") or [{"error": answer["error"]}]
        return results

    def _is_up(self) -> bool:
        try:
            self._post("/query", b"q=SHOW+DATABASES")
        except OSError:
            return False
        return True

    def _post(self, path: str, body: bytes) -> bytes:
        url = f"http://127.0.0.1:{self._port}{path}"
        with urllib.request.urlopen(url, data=body, timeout=10) as answer:
            content: bytes = answer.read()
        return content


def record() -> None:
    """Write the answers to the statements of the corpus, and to some at random, to its file."""
    written = (DIRECTORY / "statements.txt").read_text().splitlines()
    statements = [text for text in written if text and not text.startswith("#")]
    at_random = influxql_corpus.Statements(RECORDED_SEED)
    statements += itertools.islice(at_random, RECORDED_COUNT)
    with tempfile.TemporaryDirectory() as directory, Influxd(Path(directory)) as influxd:
        lines = [json.dumps({"q": text, "results": influxd.ask(text)}) for text in statements]
    (DIRECTORY / "answers.jsonl").write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    record()
