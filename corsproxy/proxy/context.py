"""Gives rules and links what they use of a request: who asked for what, by which names.

Made only for routes that change something.
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
    """Return the Host that `upstream` gets; it does not decide where a request goes (H2)."""
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
        """What the client calls this proxy: `public_url`, else what it asked for (cors.md 55, 58)."""
        return self.route.upstream.public or BaseUrl(self.caller.scheme, self.caller.host.lower())

    def links(self) -> Links | None:
        """Return how links of the response are mapped; None if they stay.

        A client that named no host (HTTP/1.0) has no public name to map them to.
        """
        public = self.public
        if not self.route.maps_links or not public.authority:
            return None
        upstream, sent = self.route.upstream, self._site_sent
        own = sent._replace(authority=upstream.authority)
        return Links((own,) if own == sent else (own, sent), public, self.route.mapping)

    @property
    def _site_sent(self) -> BaseUrl:
        """What the upstream takes for its own name: that of the Host it gets."""
        upstream = self.route.upstream
        return BaseUrl(upstream.scheme.encode(), host_sent(self.head, upstream))

    def context(self, status: int = 0) -> Context:
        """Return what conditions and variables of rules can use; `status` is the response's."""
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

        The user's rules come last and see both (configuration.md L15).
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
        """Return whether the upstream may take the request for one of its own pages.

        To rewrite the Origin of a request that the policy refuses would carry another site's POST
        through the upstream's CSRF filter (cors.md 52, 55); the API's own public pages are none.
        """
        if self.decision is None or self.decision.verdict is not Verdict.refused:
            return True
        return self.head.origin == (b"%b://%b" % self.public,)
