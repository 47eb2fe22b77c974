"""From upstreams as written to upstreams as dialled. Knows which names exist, and no routes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from corsproxy.config.addresses import Fault, UpstreamUrl, read_host, read_url
from corsproxy.config.compile.context import Draft
from corsproxy.config.compile.names import check_known
from corsproxy.config.compile.server import Listeners
from corsproxy.config.compile.tls import check_tls
from corsproxy.config.models.upstreams import UpstreamSection, UpstreamTlsSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.compiled import (
    CircuitBreaker,
    PoolLimits,
    Upstream,
    UpstreamTimeouts,
    UpstreamTls,
)
from corsproxy.policy.routing.links import Site, check_public_url, compile_public_url
from corsproxy.policy.source import Term
from corsproxy.tls.contexts import upstream_context

_HOST_WORDS: Final[tuple[Literal["upstream", "preserve"], ...]] = ("upstream", "preserve")


class Upstreams:
    """The upstreams of a file: those with a name, and those that routes give by URL."""

    def __init__(
        self,
        draft: Draft,
        sections: Mapping[str, UpstreamSection],
        listeners: Listeners,
    ) -> None:
        self._draft = draft
        self._listeners = listeners
        self._by_name = {name: self._named(section, name) for name, section in sections.items()}
        self._by_url: dict[str, Upstream] = {}

    def resolve(self, text: str, path: Path) -> Upstream | None:
        """Return the upstream that the value at `path` names; None with a problem noted.

        Routes that give the same URL share one upstream and its connections.
        """
        if "://" in text or text.startswith("unix:"):
            if text not in self._by_url:
                section = UpstreamSection.model_construct(url=text)
                made = self._build(section, path, path)
                if made is None:
                    return None
                self._by_url[text] = made
            return self._by_url[text]
        if text in self._by_name:
            return self._by_name[text]
        check_known(self._draft, ("upstreams", text), "upstream_unknown", path)
        return None

    def all(self) -> tuple[Upstream, ...]:
        """Return every upstream that could be read, those with names first."""
        named = [upstream for upstream in self._by_name.values() if upstream is not None]
        return (*named, *self._by_url.values())

    def _named(self, section: UpstreamSection, name: str) -> Upstream | None:
        path = ("upstreams", name)
        made = self._build(section, (*path, "url"), path)
        return None if made is None else replace(made, name=name)

    def _build(self, section: UpstreamSection, url: Path, path: Path) -> Upstream | None:
        found = self._draft.shown(url, section.url)
        try:
            parts = read_url(section.url)
        except Fault as fault:
            self._draft.note("url_invalid", url, found=found, detail=fault)
            return None
        if self._listeners.reach(parts.address):
            self._draft.note("upstream_is_self", url, found=found)
        return _upstream(self._draft, section, parts, url, path)


def _upstream(
    draft: Draft,
    section: UpstreamSection,
    parts: UpstreamUrl,
    url: Path,
    path: Path,
) -> Upstream:
    breaker = section.circuit_breaker
    return Upstream(
        name=str(parts.address),
        scheme=parts.scheme,
        address=parts.address,
        authority=parts.authority,
        timeouts=UpstreamTimeouts(**dict(section.timeouts)),
        pool=PoolLimits(**dict(section.pool)),
        host_header=_host_header(draft, section.host_header, (*path, "host_header")),
        origin_header=section.origin_header,
        public=_public(draft, section.public_url, (*path, "public_url")),
        forwarded=section.forwarded,
        retries=section.retries.attempts,
        circuit_breaker=None if breaker is None else CircuitBreaker(**dict(breaker)),
        tls=_tls(draft, section.tls, (*path, "tls")),
        place=draft.place(url),
    )


def _tls(draft: Draft, section: UpstreamTlsSection | None, path: Path) -> UpstreamTls:
    if section is None:
        return UpstreamTls()
    tls = UpstreamTls(**{key: value for key, value in section if value is not None})
    if bool(tls.cert_file) != bool(tls.key_file):
        written, missing = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
        draft.note("tls_pair_incomplete", (*path, written), written=written, missing=missing)
        return tls
    check_tls(draft, path, lambda: upstream_context(tls))
    return tls


def _public(draft: Draft, text: str | None, path: Path) -> Site | None:
    if text is None:
        return None
    term = Term(text, draft.place(path))
    return compile_public_url(term) if draft.take(check_public_url(term), path) else None


def _host_header(draft: Draft, text: str, path: Path) -> Literal["upstream", "preserve"] | bytes:
    for word in _HOST_WORDS:
        if text == word:
            return word
    try:
        return read_host(text)
    except Fault:
        draft.note("host_header_invalid", path, found=draft.shown(path, text))
        return "upstream"
