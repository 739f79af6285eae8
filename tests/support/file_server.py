# Owns a small HTTP server of files for tests: the other end of `gh:`.
"""Files over HTTP."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class FileServer:
    """Serves the bytes of `files` by path, and remembers what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        # Paths that lead to another address.
        self.redirects: dict[str, str] = {}
        # Bytes that these files lack at their end, though their length is announced.
        self.missing_bytes: dict[str, int] = {}
        # Files that come byte by byte, until this is set.
        self.trickling: set[str] = set()
        self.ended = threading.Event()
        self.requests: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                target = outer.redirects.get(self.path)
                if target is not None:
                    self.send_response(302)
                    self.send_header("Location", target)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = outer.files.get(self.path)
                missing = outer.missing_bytes.get(self.path, 0)
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Length", str(len(content or b"") + missing))
                self.end_headers()
                if self.path in outer.trickling:
                    self._trickle(content or b"")
                else:
                    self.wfile.write(content or b"")
                if missing:
                    self.close_connection = True

            def _trickle(self, content: bytes) -> None:
                with contextlib.suppress(OSError):  # the client has had enough
                    for byte in content:
                        if outer.ended.wait(0.02):
                            return
                        self.wfile.write(bytes([byte]))

            def log_request(self, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["FileServer"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()
