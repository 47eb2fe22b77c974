"""Compiles a CORS policy to sets, flags and prebuilt bytes for serving requests."""

from typing import Final

from corsproxy.policy.cors.check import check_policy
from corsproxy.policy.cors.decision import Decision, Outcome
from corsproxy.policy.cors.origins import OriginSet
from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.policy.cors.spec import PolicySpec, UpstreamCorsHeaders
from corsproxy.policy.fetch_lists import SAFELISTED_METHODS
from corsproxy.policy.problems import Report, ignore, require_sound
from corsproxy.policy.source import SourcePos, SourceText

ALLOW_ORIGIN: Final = b"Access-Control-Allow-Origin: "
ALLOW_METHODS: Final = b"Access-Control-Allow-Methods: "
ALLOW_HEADERS: Final = b"Access-Control-Allow-Headers: "
EXPOSE_HEADERS: Final = b"Access-Control-Expose-Headers: "
TIMING: Final = b"Timing-Allow-Origin: "

_ALLOW_CREDENTIALS: Final = b"Access-Control-Allow-Credentials: true\r\n"
_MAX_AGE: Final = b"Access-Control-Max-Age: %d\r\n"
_RESOURCE_POLICY: Final = b"Cross-Origin-Resource-Policy: %b\r\n"
_REQUESTED: Final = b"Access-Control-Request-Method, Access-Control-Request-Headers"


class Policy:
    """One compiled, immutable policy; `compile_policy` creates it.

    `any_origin`: `*` without credentials, so no response depends on the Origin; then
    `constant_decisions` are the decisions for actual requests without and with an Origin.
    `reflects_method`, `reflects_headers`: the response to a preflight lists what was requested instead
    of `methods_line`, `headers_line` (cors.md 35). `expands_expose_headers`: the header names of each
    response are listed (cors.md 28). Attributes that end in `_line`, `_tail` or `after_origin` are
    serialized header lines, CRLF included.
    """

    __slots__ = (
        "after_origin",
        "allow_credentials_line",
        "any_header",
        "any_method",
        "any_origin",
        "blocks_refused",
        "checks_websockets",
        "constant_decisions",
        "debug",
        "exact_origins",
        "expands_expose_headers",
        "expose_line",
        "fixed_extra",
        "headers",
        "headers_line",
        "headers_outcome",
        "headers_pos",
        "methods",
        "methods_line",
        "methods_pos",
        "minimal",
        "name",
        "origins",
        "origins_pos",
        "pos",
        "preflight_after_origin",
        "preflight_status",
        "preflight_tail",
        "preflight_vary",
        "reflects_headers",
        "reflects_method",
        "refused_status",
        "sets_resource_policy",
        "sets_timing",
        "spec",
        "timing_as_allow_origin",
        "timing_origins",
        "upstream_cors_headers",
        "vary",
    )

    def __init__(self, spec: PolicySpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.pos: SourcePos | None = spec.pos
        self.debug = spec.debug
        self.upstream_cors_headers: UpstreamCorsHeaders = spec.upstream_cors_headers
        self.checks_websockets = spec.check_websocket_origin
        self.blocks_refused = spec.on_refused == "block"
        self._compile_origins()
        self._compile_methods()
        self._compile_headers()
        self._compile_timing()
        self._compile_responses()
        self._compile_preflight()

    def __repr__(self) -> str:
        return f"<Policy {self.name!r} at {self.pos}>"

    def _compile_origins(self) -> None:
        self.origins = OriginSet(self.spec.allow_origins)
        self.any_origin = self.origins.any_pattern is not None
        self.origins_pos = self.spec.place_of("allow_origins")
        self.exact_origins: dict[bytes, Outcome] = {
            origin: Outcome(Reason.allowed, origin, item.pos)
            for origin, item in self.origins.exact.items()
        }

    def _compile_methods(self) -> None:
        spec = self.spec
        self.methods_pos = spec.place_of("allow_methods")
        # GET, HEAD and POST pass without being listed
        # (https://fetch.spec.whatwg.org/#cors-safelisted-method; cors.md 25, 33).
        self.methods: dict[bytes, Outcome] = {
            name: Outcome(Reason.allowed, name, self.methods_pos) for name in SAFELISTED_METHODS
        }
        named = [item for item in spec.allow_methods if item.text != "*"]
        for item in named:
            name = item.text.encode("ascii")
            self.methods[name] = Outcome(Reason.allowed, name, item.pos)
        self.any_method = len(named) < len(spec.allow_methods)
        self.minimal = spec.preflight.style == "minimal"
        open_to_all = self.any_method and not spec.allow_credentials
        self.methods_line = _line(ALLOW_METHODS, ["*"] if open_to_all else _names(named))
        # For a request with credentials, * is literally a method called "*"
        # (https://fetch.spec.whatwg.org/#cors-protocol-and-credentials), so the method is named.
        self.reflects_method = (self.any_method or self.minimal) and not open_to_all

    def _compile_headers(self) -> None:
        spec = self.spec
        self.headers_pos = spec.place_of("allow_headers")
        named = [item for item in spec.allow_headers if item.text != "*"]
        self.headers = frozenset(item.text.lower().encode("ascii") for item in named)
        self.any_header = len(named) < len(spec.allow_headers)
        self.headers_outcome = Outcome(Reason.allowed, b"", self.headers_pos)
        open_to_all = self.any_header and not spec.allow_credentials
        if open_to_all:
            # * never covers Authorization
            # (https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name). Tempting to name it
            # only if requested: then the cached preflights of one page would not serve each other.
            names = ["*", "authorization"] if b"authorization" in self.headers else ["*"]
        else:
            names = _names(named)
        self.headers_line = _line(ALLOW_HEADERS, names)
        self.reflects_headers = (self.any_header or self.minimal) and not open_to_all

    def _compile_timing(self) -> None:
        """Compile Timing-Allow-Origin and Cross-Origin-Resource-Policy (cors.md 53)."""
        spec = self.spec
        timing = spec.timing_allow_origins
        policy = spec.resource_policy
        self.sets_timing = timing is not None
        self.sets_resource_policy = policy is not None
        self.fixed_extra = _RESOURCE_POLICY % policy.encode("ascii") if policy else b""
        own = OriginSet(timing) if isinstance(timing, tuple) else None
        if (timing == "same" and self.any_origin) or (own and own.any_pattern):
            self.fixed_extra += TIMING + b"*\r\n"
            own = None
        self.timing_as_allow_origin = timing == "same" and not self.any_origin
        self.timing_origins: OriginSet | None = own
        # Vary names Origin on every response, even to a request without one: otherwise a shared cache
        # would serve one origin's response to another
        # (https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches; cors.md 44). Tempting to omit
        # it for a single allowed origin: then a cached response without CORS headers would be reused.
        self.vary = b"Origin" if own or not self.any_origin else b""

    def _compile_responses(self) -> None:
        spec = self.spec
        self.allow_credentials_line = _ALLOW_CREDENTIALS if spec.allow_credentials else b""
        exposed = _names(spec.expose_headers)
        self.expands_expose_headers = spec.allow_credentials and "*" in exposed
        if self.expands_expose_headers:
            # For a request with credentials, * is literally a header called "*", so `rewrite` lists the
            # names of each response (cors.md 28).
            exposed = []
        self.expose_line = _line(EXPOSE_HEADERS, ["*"] if "*" in exposed else exposed)
        self.after_origin = b"\r\n" + self.allow_credentials_line + self.expose_line
        self.constant_decisions = (
            self._constant_decisions() if self.any_origin and not self.vary else None
        )

    def _compile_preflight(self) -> None:
        spec = self.spec
        self.preflight_status = spec.preflight.status
        self.refused_status = spec.preflight.refused_status
        self.preflight_vary = b""
        if spec.preflight.vary:
            names = _REQUESTED if self.any_origin else b"Origin, " + _REQUESTED
            self.preflight_vary = b"Vary: " + names + b"\r\n"
        max_age = _MAX_AGE % spec.max_age if spec.max_age is not None else b""
        self.preflight_tail = max_age + self.expose_line + self.preflight_vary
        start = b"\r\n" + self.allow_credentials_line
        # None if the lines after the origin depend on the requested method or headers.
        self.preflight_after_origin: bytes | None = None
        if not (self.reflects_method or self.reflects_headers):
            lists = self.methods_line + self.headers_line
            self.preflight_after_origin = start + lists + self.preflight_tail

    def _constant_decisions(self) -> tuple[Decision, Decision]:
        """Return the decisions for requests without and with an Origin, whose value is not read (cors.md 43)."""
        item = self.origins.any_pattern
        pos = item.pos if item else None
        extra = self.fixed_extra
        block = ALLOW_ORIGIN + b"*" + self.after_origin + extra
        return (
            Decision(Verdict.none, Reason.no_origin, b"", pos, block, b"", 0, extra),
            Decision(Verdict.allowed, Reason.allowed, b"*", pos, block, b"", 0, extra),
        )


def compile_policy(spec: PolicySpec, report: Report = ignore) -> Policy:
    """Return `spec` compiled; report what `check_policy` finds, raise `BadSpec` for an error."""
    require_sound(check_policy(spec), report)
    return Policy(spec)


def _names(spec: list[SourceText] | tuple[SourceText, ...]) -> list[str]:
    return [item.text for item in spec]


def _line(start: bytes, names: list[str]) -> bytes:
    """Return a header line that lists `names`; b"" if there are none."""
    return start + ", ".join(names).encode("ascii") + b"\r\n" if names else b""
