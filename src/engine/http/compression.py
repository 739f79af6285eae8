# Owns whether and how an answer is compressed.
"""Compression of answers."""

import asyncio

import msgspec
from isal import igzip

from engine.http.asgi import Request, Response

# Smaller answers fit into a packet or two as they are.
BYTES_MIN = 1400
# Above this a thread does it, so that the loop goes on.
_INLINE_BYTES_MAX = 64 * 1024
_LEVEL = 1
_COMPRESSIBLE = ("text/", "application/json", "application/jsonl", "application/csv")


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header permits gzip."""
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in ("gzip", "*"):
            weight = parameters.partition("q=")[2].strip()
            return not weight or weight.strip("0.") != ""
    return False


async def compressed(request: Request, response: Response) -> Response:
    """`response`, with its body compressed where client and content allow and gain by it."""
    if len(response.body) < BYTES_MIN or response.content_type is None:
        return response
    if not response.content_type.startswith(_COMPRESSIBLE):
        return response
    if any(name.lower() == "content-encoding" for name, _ in response.headers):
        return response
    # Caches on the way must not give one form to who asked for the other.
    response.headers.append(("vary", "accept-encoding"))
    if not accepts_gzip(request.headers.get("accept-encoding", "")):
        return response
    if len(response.body) <= _INLINE_BYTES_MAX:
        body = igzip.compress(response.body, _LEVEL)
    else:
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(None, igzip.compress, response.body, _LEVEL)
    response.headers.append(("content-encoding", "gzip"))
    return msgspec.structs.replace(response, body=body)
