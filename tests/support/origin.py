"""An ordinary origin server on threads, and clients that keep on asking."""

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import NamedTuple, Self

from tests.support.service import LONG

ORIGIN = "https://app.example"
BODY = b"hello"


class Origin(ThreadingHTTPServer):
    """Respond to every request; one to /held only once `release` is set, with `arrived` set before."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrived = Event()
        self.release = Event()
        self.body = BODY + b" from %d" % self.port

    @property
    def port(self) -> int:
        """Where it listens on the loopback."""
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in one piece: a second one would wait for an acknowledgement.
    wbufsize = -1
    server: Origin

    def do_GET(self) -> None:
        """Respond with the port that was asked, so that origins can be told apart."""
        if self.path == "/held":
            self.server.arrived.set()
            self.server.release.wait(LONG)
        body = self.server.body
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def origin() -> Iterator[Origin]:
    """Run an origin server."""
    with Origin() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
            thread.join()


class LocalResponse(NamedTuple):
    """What came back: status, headers by their names in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    connection: HTTPConnection,
    path: str = "/",
    method: str = "GET",
    headers: dict[str, str] | None = None,
) -> LocalResponse:
    """Send a request with an Origin and return the whole response."""
    connection.request(method, path, headers={"Origin": ORIGIN} | (headers or {}))
    return read(connection.getresponse())


def read(answer: HTTPResponse) -> LocalResponse:
    """Return the whole response."""
    fields = {name.lower(): value for name, value in answer.getheaders()}
    return LocalResponse(answer.status, fields, answer.read())


def connect(port: int) -> HTTPConnection:
    """Return a connection to a loopback port; it connects when it is used."""
    return HTTPConnection("127.0.0.1", port, timeout=LONG)


def get(port: int, path: str = "/") -> LocalResponse:
    """Ask a loopback port once, on a connection of its own."""
    with closing(connect(port)) as connection:
        return ask(connection, path)


def accepts(port: int) -> bool:
    """Return whether somebody listens on a loopback port."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Load:
    """Clients that ask again and again and note what they got.

    `port` gives the port to ask before each new connection, None for nobody: then a client waits.
    A connection is kept until a response says otherwise, as a balancer's is.
    """

    def __init__(self, port: Callable[[], int | None], clients: int) -> None:
        self.answers: Counter[int] = Counter()
        self.failures: list[str] = []
        self.connections = 0
        self._port = port
        self._stop = Event()
        self._threads = [Thread(target=self._ask_on) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client finish its request, and wait for that."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def total(self) -> int:
        """The number of responses so far."""
        return sum(self.answers.values())

    def _ask_on(self) -> None:
        while not self._stop.is_set():
            port = self._port()
            if port is None:
                self._stop.wait(0.005)
                continue
            self.connections += 1
            with closing(connect(port)) as connection:
                self._ask_by(connection, port)

    def _ask_by(self, connection: HTTPConnection, port: int) -> None:
        while not self._stop.is_set() and self._port() == port:
            try:
                answer = ask(connection)
            except (HTTPException, OSError) as failure:
                self.failures.append(repr(failure))
                return
            self.answers[answer.status] += 1
            if answer.headers.get("connection", "").lower() == "close":
                return
