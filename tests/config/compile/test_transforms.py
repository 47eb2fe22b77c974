"""Rules for headers, paths, links and cookies are compiled, and no secret is shown."""

from typing import Final

import yaml

from corsproxy.config.effective import MASK, effective_text
from corsproxy.config.load import load_text
from corsproxy.policy.compiled import Route
from corsproxy.policy.fields import LOCATION, REQUEST_ID, SET_COOKIE
from corsproxy.policy.routing.links import BaseUrl
from corsproxy.policy.routing.paths import UNCHANGED, PathMapping
from corsproxy.policy.rules.apply import apply
from corsproxy.policy.rules.variables import Context

WHOLE: Final = """
version: 1
upstreams:
  legacy: {url: "http://h", origin_header: rewrite, public_url: "https://api.example.com:8443/"}
routes:
  - upstream: legacy
    cors: false
    match: {path: /api/}
    path: {strip_prefix: /api, add_prefix: /v1/}
    request_headers: [{set: {X-Key: "${KEY}"}}, {when: {methods: GET}, remove: [Cookie, X-A]}]
    response_headers: [{default: {X-B: c}}]
    cookies:
      - {name: sid, domain: example.com, path: {/app: /}, secure: true, http_only: false}
      - {same_site: none, partitioned: false}
  - upstream: legacy
    cors: false
    match: {path: /old/}
    path: {replace_prefix: /new}
    location: keep
  - {upstream: "http://other", cors: false}
"""


def routes() -> tuple[Route, ...]:
    """Return the routes of the file."""
    loaded = load_text(WHOLE, "f.yaml", {"KEY": "a${request.id}"})
    assert loaded.config is not None, loaded.problems
    return tuple(loaded.config.routes)


def test_every_key_is_compiled() -> None:
    """Each setting of a route and its upstream is in the compiled configuration."""
    first, second, third = routes()
    assert first.upstream.origin_header == "rewrite"
    assert first.upstream.public == BaseUrl(b"https", b"api.example.com:8443")
    assert first.mapping == PathMapping(b"/api", b"/v1")
    assert [(rule.op, rule.name) for rule in first.request_rules] == [
        ("set", b"X-Key"),
        ("remove", b"Cookie"),
        ("remove", b"X-A"),
    ]
    assert [rule.op for rule in first.response_rules] == ["default"]
    sid, others, rest = first.cookies
    assert (sid.domain, sid.paths, sid.prefix) == (b"example.com", ((b"/app", b""),), None)
    assert (sid.secure, sid.http_only, sid.same_site) == (True, False, None)
    assert (others.same_site, others.secure, others.partitioned) == (b"None", True, False)
    assert rest.prefix == others.prefix == (b"/v1", b"/api")
    assert second.mapping == PathMapping(b"/old", b"/new")
    assert not second.maps_links
    assert second.cookies == ()
    assert third.mapping == UNCHANGED


def test_a_route_has_flags_for_what_it_transforms() -> None:
    """A route without rules costs one test; the kinds of fields to transform are computed once."""
    first, second, third = routes()
    assert first.transforms_requests
    assert first.transformed_kinds == LOCATION | SET_COOKIE | REQUEST_ID
    assert second.transforms_requests
    assert second.transformed_kinds == 0
    assert not third.transforms_requests
    assert third.transformed_kinds == LOCATION


def test_a_value_of_the_environment_in_a_rule_is_literal() -> None:
    """L11: a value of the environment is text, never a variable of the request."""
    rules = routes()[0].request_rules
    assert apply(rules, [], Context(method=b"PUT", request_id=b"id")) == [
        (b"X-Key", b"a${request.id}"),
    ]


def test_secrets_in_request_rules_are_masked() -> None:
    """L8: secrets never appear in what `check --print` shows."""
    loaded = load_text(WHOLE, "f.yaml", {"KEY": "hidden"})
    assert loaded.settings is not None
    assert loaded.document is not None
    text = effective_text(loaded.settings, loaded.document)
    assert "hidden" not in text
    tree = yaml.safe_load(text)
    assert tree["routes"][0]["request_headers"][0] == {"set": {"X-Key": MASK}}
    assert tree["routes"][0]["cookies"][0]["path"] == {"/app": "/"}
