"""Collects what rules and links need to know about a request: client, host names and decision.

Used only on routes that change something.
"""

from typing import NamedTuple

from corsproxy.policy.compiled import Route, Upstream
from corsproxy.policy.cors.decision import Decision, parse_lines
from corsproxy.policy.cors.reasons import Verdict
from corsproxy.policy.fields import UNDERSCORED, Field
from corsproxy.policy.routing.links import BaseUrl, Links
from corsproxy.policy.rules.apply import apply
from corsproxy.policy.rules.variables import Context
from corsproxy.policy.transform import transform_origin
from corsproxy.proxy.forwarded import Caller
from corsproxy.proxy.http.request_head import RequestHead


def host_sent(head: RequestHead, upstream: Upstream) -> bytes:
    """Return the Host to send to `upstream`; it does not affect which server is connected to (H2)."""
    if upstream.host_header == "upstream":
        return upstream.authority
    if upstream.host_header == "preserve":
        return head.host or upstream.authority
    return upstream.host_header


class RequestContext(NamedTuple):
    """One request on its route. `decision` is None if the route has no policy."""

    route: Route
    head: RequestHead
    caller: Caller
    request_id: bytes
    decision: Decision | None

    @property
    def public(self) -> BaseUrl:
        """The proxy's URL for the client: `public_url`, else scheme and Host of the request (cors.md 55, 58)."""
        return self.route.upstream.public or BaseUrl(self.caller.scheme, self.caller.host.lower())

    def links(self) -> Links | None:
        """Return how to map the links of the response; None to leave them as they are.

        Without a Host (HTTP/1.0) there is no public name to map them to.
        """
        public = self.public
        if not self.route.maps_links or not public.authority:
            return None
        upstream, sent = self.route.upstream, self._site_sent
        own = sent._replace(authority=upstream.authority)
        return Links((own,) if own == sent else (own, sent), public, self.route.mapping)

    @property
    def _site_sent(self) -> BaseUrl:
        """The URL that the upstream considers its own: that of the Host sent to it."""
        upstream = self.route.upstream
        return BaseUrl(upstream.scheme.encode(), host_sent(self.head, upstream))

    def context(self, status: int = 0) -> Context:
        """Return the values for conditions and variables of rules; `status` is the response's."""
        head, decision = self.head, self.decision
        return Context(
            status=status,
            method=head.method,
            origin="none" if decision is None else decision.verdict.value,
            request_id=self.request_id,
            request_host=head.host,
            request_origin=head.origin[0] if len(head.origin) == 1 else b"",
            client_address=self.caller.client,
            route_name=self.route.name.encode(),
        )

    def fields_sent(self, added: bytes) -> list[Field]:
        """Return the fields for the upstream: the client's, then `added`, the proxy's own lines.

        The user's rules are applied last, to both (configuration.md L15).
        """
        route, fields = self.route, self.head.fields
        names = route.spoofable_names
        if names is not None and (self.head.kinds & UNDERSCORED or names.has_underscores):
            fields = names.without_spoofed(fields)
        how = route.upstream.origin_header
        if how == "strip" or (how == "rewrite" and self._may_vouch()):
            fields = transform_origin(fields, how, self._site_sent)
        fields = [*fields, *parse_lines(added)]
        return apply(route.request_rules, fields, self.context()) if route.request_rules else fields

    def _may_vouch(self) -> bool:
        """Return whether the upstream may treat the request as coming from one of its own pages.

        Rewriting the Origin of a request that the policy refuses would carry another site's POST
        through the upstream's CSRF filter (cors.md 52, 55). The API's own public origin is not
        another site.
        """
        if self.decision is None or self.decision.verdict is not Verdict.refused:
            return True
        return self.head.origin == (b"%b://%b" % self.public,)
