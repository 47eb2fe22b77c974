"""Explanations under a whole configuration, if no policy decides (cors.md 51, 62, 73)."""

import pytest
import yaml

from corsproxy.config.load import load_text
from corsproxy.explain.explain import explain
from corsproxy.explain.fetch_algorithm import BrowserRefusal, PageRequest
from corsproxy.explain.request import UPSTREAM_NOTE, explain_request
from corsproxy.policy.compiled import CompiledConfig
from corsproxy.policy.cors.reasons import Verdict

APP = b"https://app.example.com"
TEXT = """
version: 1
routes:
  - name: api
    match: {host: api.example.com, path: /api/, methods: [PUT]}
    upstream: http://localhost:9000
    cors: {allow_origins: [https://app.example.com], allow_methods: [PUT]}
  - name: bare
    match: {path: /bare/}
    upstream: http://localhost:9000
    cors: false
"""


def config_of(text: str = TEXT) -> CompiledConfig:
    """Return the plan of a configuration."""
    loaded = load_text(text, "config.yaml", {})
    assert loaded.config is not None, loaded.problems
    return loaded.config


def test_the_route_is_the_first_step() -> None:
    """Host without port, path without query, the method that the preflight announces (6, 72)."""
    found = explain_request(
        config_of(), PageRequest(b"put", "http://API.example.com:8080/api/a?b", APP)
    )
    assert found.works
    assert found.route == "api"
    assert found.policy == "routes.api"
    assert found.steps[0].name == "route"
    assert str(found.steps[0].pos) == "config.yaml:4:5"
    policy = config_of().routes.match(b"api.example.com", b"/api/a", b"PUT")
    assert policy is not None
    assert policy.policy is not None
    alone = explain(policy.policy, PageRequest(b"PUT", "http://api.example.com:8080/api/a?b", APP))
    assert found.steps[1:] == alone.steps


@pytest.mark.parametrize(
    ("method", "url"),
    [
        (b"GET", "http://api.example.com/api/a"),
        (b"PUT", "http://www.example.com/api/a"),
        (b"PUT", "http://api.example.com/API/a"),
    ],
)
def test_a_missing_route_is_reported_first(method: bytes, url: str) -> None:
    """cors.md 73: 404, and what to add."""
    found = explain_request(config_of(), PageRequest(method, url, APP))
    assert not found.works
    assert found.verdict is Verdict.none
    assert found.responses[0].status == 404
    assert found.responses[0].fields == ()
    assert found.words == "no route matches this request"
    assert found.fix == "add a route that matches this host, path and method"
    assert found.pos is None
    assert found.change is None


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/%61pi/a",
        "http://api.example.com.:8080/ap%69/%7E",
        "http://API.example.com/api",
    ],
)
def test_70_the_route_is_found_in_every_spelling(url: str) -> None:
    """cors.md 70-72: unreserved characters decoded, no root dot, as requests are matched."""
    assert explain_request(config_of(), PageRequest(b"PUT", url, APP)).route == "api"


def test_h1_a_dot_segment_before_an_encoded_semicolon_is_refused_too() -> None:
    """H1, cors.md 70: explained as it is served."""
    found = explain_request(
        config_of(), PageRequest(b"PUT", "http://api.example.com/api/..%3bx/a", APP)
    )
    assert (found.works, found.responses[0].status) == (False, 400)


def test_a_404_that_a_page_may_read_does_not_work_either() -> None:
    """cors.md 62: the headers are those of `defaults.cors`."""
    text = TEXT + "defaults: {cors: {allow_origins: ['*']}}\n"
    found = explain_request(config_of(text), PageRequest(b"GET", "http://h/", APP))
    assert not found.works
    assert found.reason is None
    assert found.responses[0].fields == ((b"Access-Control-Allow-Origin", b"*"),)
    assert not any(found.consoles.values())


def test_an_ambiguous_path_is_refused_with_the_route_s_headers() -> None:
    """cors.md 71: 400, and the setting that would forward it."""
    page_request = PageRequest(b"PUT", "http://api.example.com/api/%00", APP)
    found = explain_request(config_of(), page_request)
    assert found.responses[0].status == 400
    assert (b"Access-Control-Allow-Origin", APP) in found.responses[0].fields
    assert found.reason is BrowserRefusal.preflight_status
    assert "ambiguous_paths: forward" in found.fix
    passed = TEXT.replace("    cors: {", "    ambiguous_paths: forward\n    cors: {")
    assert explain_request(config_of(passed), page_request).works


def test_a_method_that_is_never_served_is_reported() -> None:
    """forwarding.md H4; no page can send it, so only a page of the proxy's own origin gets that far."""
    page_request = PageRequest(b"TRACE", "http://api.example.com/bare/", b"http://api.example.com")
    found = explain_request(config_of(), page_request)
    assert not found.works
    assert found.responses[0].status == 405


@pytest.mark.parametrize("method", [b"GET", b"PUT"])
def test_without_a_policy_the_upstream_decides(method: bytes) -> None:
    """cors.md 7, 51: what is blocked if the upstream sends no CORS headers, and a policy that would help."""
    page_request = PageRequest(method, "http://h/bare/", APP, ((b"X-A", b"1"),), credentials=True)
    found = explain_request(config_of(), page_request)
    assert not found.works
    assert found.verdict is Verdict.none
    assert found.reason is BrowserRefusal.allow_origin_missing
    assert "the route bare has no policy" in found.words
    assert UPSTREAM_NOTE in found.notes
    assert found.change is not None
    change = yaml.safe_load(found.change.yaml())
    assert change["cors"]["allow_headers"] == ["x-a"]
    assert explain_request(config_of(_with_policy(found.change.yaml())), page_request).works


def _with_policy(change: str) -> str:
    lines = "".join(f"    {line}\n" for line in change.splitlines())
    return TEXT.replace("    cors: false\n", lines)


def test_without_a_policy_a_page_of_the_same_origin_works() -> None:
    """cors.md 5: no browser checks CORS."""
    found = explain_request(config_of(), PageRequest(b"PUT", "http://h/bare/", b"http://h"))
    assert found.works
    assert found.change is None
    assert found.notes == ()


def test_an_invalid_url_is_an_error() -> None:
    """A page could not call it."""
    with pytest.raises(ValueError, match="write it as"):
        explain_request(config_of(), PageRequest(b"GET", "/bare/", APP))
