# Owns the shortest way from plugin source to what it did on a real server: each call makes the file,
# the trigger and the event, and gives back the answer or the lines that the plugin logged.
"""Plugins on a real server, for tests of rules."""

import hashlib
import json
import re
import textwrap

from tests.support.server import Answer, ServerProcess
from tests.support.waiting import wait_for

_END_MARKS = ("finished execution", "error executing", "error running")


class Probe:
    """A database of a server, and plugins in it."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        self.server = server
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        self.database = re.sub(r"\W+", "-", name)[:50].strip("-_") + "-" + digest
        self._plugins = 0
        created = server.request(
            "POST",
            "/api/v3/configure/database",
            json.dumps({"db": self.database}).encode(),
            headers={"Content-Type": "application/json"},
        )
        assert created.status == 200, created.body

    def file(self, source: str, name: str | None = None) -> str:
        """Put a plugin file into the plugin directory; return its name there."""
        self._plugins += 1
        filename = name or f"{self.database}_{self._plugins}.py"
        return self.server.plugin(filename, textwrap.dedent(source))

    def trigger(
        self,
        spec: str,
        source: str,
        *,
        arguments: dict[str, str] | None = None,
        filename: str | None = None,
        **settings: object,
    ) -> str:
        """Create a trigger for `source`; return the trigger's name."""
        name = f"{self.database}-{self._plugins + 1}"
        filename = self.file(source, filename)
        answer = self.server.create_trigger(
            self.database, name, spec, filename, arguments=arguments, **settings
        )
        assert answer.status == 200, answer.body
        return name

    def endpoint(self, source: str, *, arguments: dict[str, str] | None = None) -> str:
        """Create a request trigger for `source`; return the path of its URL."""
        path = f"{self.database}/{self._plugins + 1}"
        self.trigger(f"request:{path}", source, arguments=arguments)
        return f"/api/v3/engine/{path}"

    def ask(
        self,
        source: str,
        *,
        arguments: dict[str, str] | None = None,
        method: str = "GET",
        query: str = "",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Call the request plugin of `source` once."""
        path = self.endpoint(source, arguments=arguments)
        return self.server.request(method, path + query, body, headers=headers)

    def value(self, source: str, **call: object) -> object:
        """What the request plugin of `source` answers, as JSON."""
        answer = self.ask(source, **call)  # type: ignore[arg-type]
        assert answer.status == 200, answer.body
        return answer.json()

    def write(self, lines: str, precision: str = "ns") -> None:
        """Write lines that are all accepted."""
        answer = self.server.write(self.database, lines, precision=precision)
        assert answer.status == 204, answer.body

    def texts(self, trigger: str) -> list[str]:
        """Everything that a trigger has logged, the server's own lines included."""
        return [line["log_text"] for line in self.server.logs(self.database, trigger)]

    def own_texts(self, trigger: str, *, runs: int = 1) -> list[str]:
        """What the plugin itself logged, once that many runs have ended."""

        def ended() -> bool:
            marks = [text for text in self.texts(trigger) if text.startswith(_END_MARKS)]
            return len(marks) >= runs

        wait_for(ended, f"{runs} runs of {trigger} end")
        return [
            text
            for text in self.texts(trigger)
            if not text.startswith(("starting execution", "finished execution"))
        ]

    def after_write(
        self,
        source: str,
        lines: str,
        *,
        spec: str = "all_tables",
        arguments: dict[str, str] | None = None,
        precision: str = "ns",
    ) -> list[str]:
        """What the write plugin of `source` logs about `lines`."""
        trigger = self.trigger(spec, source, arguments=arguments)
        self.write(lines, precision)
        return self.own_texts(trigger)
