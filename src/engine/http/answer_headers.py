# Owns the headers that every answer carries, whatever the route: who answered, which request, and
# that web pages may read it.
"""Headers of all answers."""

import random
import re
import time

import engine
from engine.http.asgi import Request, Response, SentHeaders, encoded

PREFLIGHT_HEADERS = [
    ("access-control-allow-methods", "*"),
    # The star does not stand for Authorization, says the standard.
    ("access-control-allow-headers", "*, Authorization"),
    ("access-control-max-age", "86400"),
]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_ERROR_CHARACTERS_MAX = 300
# An id is no secret, so the quick generator will do.
_random_bits = random.Random().getrandbits  # noqa: S311


def request_id_of(request: Request) -> str:
    """The id under which the request is logged and answered: the client's if it has a fit one."""
    given = request.headers.get("x-request-id") or request.headers.get("request-id")
    return given if given is not None and _REQUEST_ID.match(given) else new_request_id()


class _RequestIds:
    """UUIDs of version 7: unique, and in the order of time; within a millisecond they count up."""

    def __init__(self) -> None:
        self._time_ms = 0
        self._begin(0)

    def _begin(self, time_ms: int) -> None:
        self._time_ms = time_ms
        bits = time_ms << 32 | 0x7 << 28 | _random_bits(12) << 16 | 0x2 << 14 | _random_bits(14)
        text = f"{bits:020x}"
        self._start = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-"
        # Half of the range at least is left to count.
        self._rest = _random_bits(47)

    def new(self) -> str:
        """The next one."""
        time_ms = time.time_ns() // 1_000_000
        # A clock that was set back does not matter.
        if time_ms > self._time_ms:
            self._begin(time_ms)
        self._rest += 1
        return f"{self._start}{self._rest:012x}"


new_request_id = _RequestIds().new


def error_header(message: str) -> tuple[str, str]:
    """The header in which clients of version 1 look for the reason of a refusal."""
    text = message[:_ERROR_CHARACTERS_MAX]
    safe = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return ("x-influxdb-error", safe.strip())


class AnswerHeaders:
    """What all answers of a server have in common."""

    def __init__(self, cluster_uuid: str) -> None:
        self._fixed = encoded(
            [
                ("cluster-uuid", cluster_uuid),
                ("access-control-allow-origin", "*"),
                ("x-influxdb-version", engine.__version__),
                ("x-influxdb-build", "Core"),
            ]
        )

    def common(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Those of an answer that has none of its own."""
        sent_id = request_id.encode()
        return [*self._fixed, (b"request-id", sent_id), (b"x-request-id", sent_id)]

    def of(self, response: Response, request_id: str) -> SentHeaders:
        """The common headers of `response`, without those that it has itself."""
        common = self.common(request_id)
        if not response.headers:
            return common
        # A plugin may have its own idea, of the origins for instance; twice would be wrong.
        names = {name.lower().encode("latin-1") for name, _ in response.headers}
        return [header for header in common if header[0] not in names]
