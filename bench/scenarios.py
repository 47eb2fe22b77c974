"""The requests that are measured, and the checks of their responses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPResponse

ORIGIN = "https://app.example.com"
STRANGER = "https://evil.example"
SMALL = 302
LARGE = 1024 * 1024

_ALLOW_ORIGIN = "Access-Control-Allow-Origin"


def _opened(answer: HTTPResponse, body: bytes) -> str | None:
    """Return what is wrong with a response that the page of ORIGIN must be able to read."""
    if answer.status >= 300:
        return f"status {answer.status}"
    if answer.headers.get_all(_ALLOW_ORIGIN) != [ORIGIN]:
        return f"{_ALLOW_ORIGIN} is {answer.headers.get_all(_ALLOW_ORIGIN)}, not once {ORIGIN}"
    if answer.getheader("Access-Control-Allow-Credentials") != "true":
        return "Access-Control-Allow-Credentials is missing"
    length = answer.getheader("Content-Length")
    return f"{len(body)} bytes, not {length}" if length and int(length) != len(body) else None


def _closed(answer: HTTPResponse, _body: bytes) -> str | None:
    """Return what is wrong with a response that must allow nothing to STRANGER."""
    allowed = answer.getheader(_ALLOW_ORIGIN)
    return f"{_ALLOW_ORIGIN} is {allowed}" if allowed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of request. `fault` returns what is wrong with a sample response, or None.

    With `varied`, each request has another query, and every second one another unknown origin, so
    that a cache of earlier decisions is of no advantage.
    """

    name: str
    title: str
    method: str = "GET"
    path: str = "/small.json"
    headers: dict[str, str] = field(default_factory=lambda: {"Origin": ORIGIN})
    body_bytes: int = 0
    varied: bool = False
    fault: Callable[[HTTPResponse, bytes], str | None] = _opened


def _preflight(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type",
    }


SCENARIOS = (
    Scenario(name="get", title=f"GET {SMALL} B"),
    Scenario(
        name="preflight",
        title="preflight",
        method="OPTIONS",
        headers=_preflight(ORIGIN),
    ),
    Scenario(
        name="refused",
        title="refused preflight",
        method="OPTIONS",
        headers=_preflight(STRANGER),
        fault=_closed,
    ),
    Scenario(
        name="post",
        title="POST 10 KiB",
        method="POST",
        path="/posted",
        headers={"Origin": ORIGIN, "Content-Type": "application/octet-stream"},
        body_bytes=10 * 1024,
    ),
    Scenario(name="large", title="GET 1 MiB", path="/large.bin"),
    Scenario(name="varied", title="GET varied", varied=True),
)
