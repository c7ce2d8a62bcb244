"""A web server for one page on this machine: bound to the loopback address, and reached only by who
knows its address.

What it does not answer matters most. Every path begins with a secret, so that other users of the
machine, and pages of other sites open in the same browser, cannot guess it; a request that names
another host is refused (a page could point a name of its own at 127.0.0.1); and the page may load
from this server alone, which the browser enforces.
"""

import contextlib
import io
import secrets
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

Answer = tuple[str, bytes]
"""Content type and content."""

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


REQUEST = 20.0
"""A request must have arrived whole after this time, however slowly its bytes come; idle
connections are closed, too [s].
"""

ANSWER = 120.0
"""An answer must have been taken after this time [s]."""

CONNECTIONS = 64
"""Connections at a time; a browser opens six, and a stream of events for each page."""


class _Deadline(io.RawIOBase):
    """What a client sends, as long as it does so in time: a byte now and then does not keep a
    thread for ever.
    """

    def __init__(self, connection: socket.socket, patience: float):
        self._connection, self._patience = connection, patience
        self.restart()

    def restart(self) -> None:
        self._until = time.monotonic() + self._patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not arrive in time")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class LoopbackServer:
    """Answers requests below ``http://127.0.0.1:<port>/v/<secret>/`` from threads of its own, until
    it is closed.

    The form of the address, and the stream ``/events/<secret>`` that stays open, are what
    neuroglancer's client expects.

    Parameters
    ----------
    answer
        Returns content for a path below the secret, such as "image/zarr.json"; None if there is
        none. Called by several threads. A content type of "location" sends the browser elsewhere.
    port
        Port to listen on [-]; 0 for any that is free.
    request, answer_within, connections
        How long a request and an answer may take [s], and how many connections there may be.

    Raises
    ------
    OSError
        If the port is taken.
    """

    def __init__(
        self,
        answer: Callable[[str], Answer | None],
        port: int = 0,
        *,
        request: float = REQUEST,
        answer_within: float = ANSWER,
        connections: int = CONNECTIONS,
    ):
        self.secret = secrets.token_urlsafe(16)
        self.requests: list[tuple[str, int]] = []
        """Path (below the secret) and status of the latest requests."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                self._sent = _Deadline(self.connection, request)
                self.rfile = io.BufferedReader(self._sent)

            def handle_one_request(self) -> None:
                self._sent.restart()
                super().handle_one_request()

            def do_GET(self) -> None:
                self.connection.settimeout(answer_within)
                outer._respond(self, answer)

            do_HEAD = do_GET

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            free = threading.BoundedSemaphore(connections)

            def process_request(self, request: Any, client_address: Any) -> None:
                if self.free.acquire(blocking=False):
                    super().process_request(request, client_address)
                else:
                    self.shutdown_request(request)

            def process_request_thread(self, request: Any, client_address: Any) -> None:
                try:
                    super().process_request_thread(request, client_address)
                finally:
                    self.free.release()

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a browser that closes a connection early is no error

        self._closed = threading.Event()
        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="lithax-web", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/v/{self.secret}/"

    def _respond(self, handler: BaseHTTPRequestHandler, answer: Callable[[str], Answer | None]) -> None:
        host = handler.headers.get("Host", "")
        kind, _, rest = unquote(urlsplit(handler.path).path).lstrip("/").partition("/")
        secret, _, path = rest.partition("/")
        found = None
        if host not in (f"127.0.0.1:{self.port}", f"localhost:{self.port}"):
            status = 403
        elif (kind, rest) == ("favicon.ico", ""):  # every browser asks for it, at the root
            status = 204
        elif not secrets.compare_digest(secret.encode(), self.secret.encode()):
            status = 404
        elif (kind, path) == ("events", ""):
            self._stay(handler)
            return
        elif kind != "v":
            status = 404
        else:
            try:
                found = answer(path)
                status = 404 if found is None else 302 if found[0] == "location" else 200
            except Exception as error:  # a damaged chunk; the page goes on with the others
                status, found = 500, ("text/plain; charset=utf-8", str(error).encode())
            self.requests.append((path, status))
            del self.requests[:-10_000]
        kind, content = ("text/plain", b"") if found is None else found
        handler.send_response(status)
        if status == 302:
            handler.send_header("Location", content.decode())
            content = b""
        handler.send_header("Content-Type", kind if status != 302 else "text/plain")
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("Content-Security-Policy", _POLICY)
        handler.send_header("X-Content-Type-Options", "nosniff")
        handler.send_header("Referrer-Policy", "no-referrer")
        handler.send_header("Cross-Origin-Resource-Policy", "same-origin")
        handler.send_header("Cache-Control", "no-store" if status != 200 else "private, max-age=3600")
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    def _stay(self, handler: BaseHTTPRequestHandler) -> None:
        """Keep a stream of events open, in which nothing happens, so that the page knows that the
        server is there.
        """
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Cache-Control", "no-store")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(b": here\n\n")
            while not self._closed.wait(10.0):
                handler.wfile.write(b": still here\n\n")

    def wait(self) -> None:
        """Serve until the server is closed, or Ctrl-C."""
        while self._thread.is_alive():
            self._thread.join(1.0)

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
