"""A catalogue on loopback: one recorded answer to /search, and files with range requests, as object stores serve them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Catalogue:
    """What is served, and what was asked."""

    answer: bytes = b""
    status: int = 200
    files: dict[str, bytes] = field(default_factory=dict)  # path → bytes
    asked: list[dict[str, Any]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving(catalogue: Catalogue) -> Iterator[Catalogue]:
    """Serve on a free port of 127.0.0.1 while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            catalogue.asked.append({"path": self.path, **json.loads(self.rfile.read(size))})
            self._send(catalogue.status, catalogue.answer, "application/geo+json")

        def do_HEAD(self) -> None:
            self._file()

        def do_GET(self) -> None:
            self._file()

        def _file(self) -> None:
            data = catalogue.files.get(self.path)
            if data is None:
                self._send(404, b"", "text/plain")
                return
            wanted = self.headers.get("Range")
            if wanted is None or not wanted.startswith("bytes="):
                self._send(200, data, "image/tiff")
                return
            catalogue.ranges.append(f"{self.path} {wanted}")
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
            if start >= len(data):
                self._send(416, b"", "text/plain")
                return
            span = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
            self._send(206, data[start : end + 1], "image/tiff", span)

        def _send(self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
            self.send_response(status)
            headers = {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "Accept-Ranges": "bytes",
                **(more or {}),
            }
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    catalogue.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield catalogue
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
