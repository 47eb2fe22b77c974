"""The requests that a page's browser sends, and two policies that apply to them."""

ORIGIN = "https://app.example.com"
OTHER = "https://evil.example"

# A route's keys: the policy of a page with credentials, and one for any origin without.
SPA = f"""
cors:
  allow_origins: [{ORIGIN}, "https://*.preview.example.com"]
  allow_methods: [GET, PUT, DELETE]
  allow_headers: [authorization, content-type]
  expose_headers: [x-total, x-page]
  allow_credentials: true
  max_age: 10m
"""
ANY = """
cors:
  allow_origins: ["*"]
  allow_methods: ["*"]
  allow_headers: ["*"]
  expose_headers: ["*"]
"""


def preflight(
    *,
    origin: str = ORIGIN,
    method: str = "PUT",
    headers: str | None = None,
    path: str = "/",
    more: str = "",
    version: str = "1.1",
) -> bytes:
    """Return the preflight that a browser sends."""
    asked = "" if headers is None else f"Access-Control-Request-Headers: {headers}\r\n"
    return (
        f"OPTIONS {path} HTTP/{version}\r\nHost: api.example.com\r\nOrigin: {origin}\r\n"
        f"Access-Control-Request-Method: {method}\r\n{asked}{more}\r\n"
    ).encode()


def get(
    origin: str | None = ORIGIN, *, method: str = "GET", path: str = "/", more: str = ""
) -> bytes:
    """Return an actual request."""
    line = "" if origin is None else f"Origin: {origin}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: api.example.com\r\n{line}{more}\r\n".encode()
