"""A legacy API with a login by cookie, and a page of another site: plain HTTP, in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

SESSION = "JSESSIONID=31d4d96e407aad42"


class _Api(BaseHTTPRequestHandler):
    """POST /app/login gives a cookie, as if all its users were on its own pages; GET /app/me asks."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Log in, and send the client on by the name the server knows itself by."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(303)
        self.send_header("Location", f"http://{self.headers['Host']}/app/me")
        self.send_header("Set-Cookie", f"{SESSION}; Path=/app; HttpOnly; SameSite=Lax")
        self._end("")

    def do_GET(self) -> None:
        """Return who is logged in; any other path is an empty page."""
        if self.path.startswith("/app/me"):
            is_known = SESSION in self.headers.get("Cookie", "")
            self.send_response(200 if is_known else 401)
            self._end("ada" if is_known else "nobody")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self._end("<!doctype html><title>page</title>")

    def _end(self, body: str) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def legacy_login() -> Iterator[str]:
    """Serve on a free loopback port; return the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
