"""Compiles the upstreams of a file: named ones, and URLs in routes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final, Literal

from corsproxy.config.addresses import UpstreamUrl, read_host, read_url
from corsproxy.config.compile.context import CompileContext
from corsproxy.config.compile.names import check_known
from corsproxy.config.compile.server import BoundAddresses
from corsproxy.config.compile.tls import UPSTREAM_TLS_KEYS, check_tls
from corsproxy.config.models.upstreams import UpstreamSection, UpstreamTlsSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.authority import AddressError
from corsproxy.policy.compiled import (
    CircuitBreaker,
    PoolLimits,
    Upstream,
    UpstreamTimeouts,
    UpstreamTls,
)
from corsproxy.policy.routing.links import BaseUrl, compile_public_url
from corsproxy.policy.source import SourceText
from corsproxy.tls.contexts import upstream_context

_HOST_WORDS: Final[tuple[Literal["upstream", "preserve"], ...]] = ("upstream", "preserve")


class Upstreams:
    """The upstreams of a file: named ones, and URLs in routes."""

    def __init__(
        self,
        context: CompileContext,
        sections: Mapping[str, UpstreamSection],
        listeners: BoundAddresses,
    ) -> None:
        self._context = context
        self._listeners = listeners
        self._by_name = {name: self._named(section, name) for name, section in sections.items()}
        self._by_url: dict[str, Upstream] = {}

    def resolve(self, text: str, path: Path) -> Upstream | None:
        """Return the upstream that the value at `path` names; report errors and return None if any.

        Routes with the same URL share one upstream and its connections.
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
        check_known(self._context, ("upstreams", text), "upstream_unknown", path)
        return None

    def all(self) -> tuple[Upstream, ...]:
        """Return every valid upstream, named ones first."""
        named = [upstream for upstream in self._by_name.values() if upstream is not None]
        return (*named, *self._by_url.values())

    def _named(self, section: UpstreamSection, name: str) -> Upstream | None:
        path = ("upstreams", name)
        made = self._build(section, (*path, "url"), path)
        return None if made is None else replace(made, name=name)

    def _build(self, section: UpstreamSection, url: Path, path: Path) -> Upstream | None:
        found = self._context.masked(url, section.url)
        try:
            parts = read_url(section.url)
        except AddressError as fault:
            self._context.report("url_invalid", url, found=found, fault=fault)
            return None
        if self._listeners.reaches(parts.address):
            self._context.report("upstream_is_self", url, found=found)
        return _upstream(self._context, section, parts, url, path)


def _upstream(
    context: CompileContext,
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
        host_header=_host_header(context, section.host_header, (*path, "host_header")),
        origin_header=section.origin_header,
        public=_public(context, section.public_url, (*path, "public_url")),
        forwarded=section.forwarded,
        retries=section.retries.attempts,
        circuit_breaker=None if breaker is None else CircuitBreaker(**dict(breaker)),
        tls=_tls(context, section.tls, (*path, "tls")),
        pos=context.pos(url),
    )


def _tls(context: CompileContext, section: UpstreamTlsSection | None, path: Path) -> UpstreamTls:
    if section is None:
        return UpstreamTls()
    tls = UpstreamTls(**{key: value for key, value in section if value is not None})
    if bool(tls.cert_file) != bool(tls.key_file):
        written, missing = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
        context.report("tls_pair_incomplete", (*path, written), written=written, missing=missing)
        return tls
    check_tls(context, path, UPSTREAM_TLS_KEYS, lambda: upstream_context(tls))
    return tls


def _public(context: CompileContext, text: str | None, path: Path) -> BaseUrl | None:
    if text is None:
        return None
    url = SourceText(text, context.pos(path))
    return context.compiled(partial(compile_public_url, url))


def _host_header(
    context: CompileContext, text: str, path: Path
) -> Literal["upstream", "preserve"] | bytes:
    for word in _HOST_WORDS:
        if text == word:
            return word
    try:
        return read_host(text)
    except AddressError:
        context.report("host_header_invalid", path, found=context.masked(path, text))
        return "upstream"
