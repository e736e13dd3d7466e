"""A small HTTP server for tests: whole files or ranges, with versions, that breaks off where it is told."""

import contextlib
import re
import threading
from collections.abc import Iterator
from http import server


class Files(server.ThreadingHTTPServer):
    """`files`: content by path; `cut`: bytes of the body after which the next answer breaks off; `asked`: what was."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.cut: int | None = None
        self.asked: list[tuple[str, str]] = []  # path and Range

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(server.BaseHTTPRequestHandler):
    server: Files
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append((path, self.headers.get("Range", "")))
        content = self.server.files.get(path)
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")  # as the hub says it
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        version = f'"{hash(content)}"'
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(span[1]) if span and self.headers.get("If-Range", version) == version else 0
        beyond = start >= len(content) > 0
        self.send_response(416 if beyond else 206 if start else 200)
        if beyond or start:
            span_text = "*" if beyond else f"{start}-{len(content) - 1}"
            self.send_header("Content-Range", f"bytes {span_text}/{len(content)}")
        part = b"" if beyond else content[start:]
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", version)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        cut, self.server.cut = self.server.cut, None
        if body:
            self.wfile.write(part[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[Files]:
    files = Files()
    thread = threading.Thread(target=files.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        files.shutdown()
        files.server_close()
        thread.join(5)
