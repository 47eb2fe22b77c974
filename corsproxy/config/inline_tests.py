"""Runs the `tests:` of routes: evaluates the policy for each request and compares the verdict.

The decision is made by the same function as for requests (cors.md 70).
"""

from collections.abc import Iterator
from typing import NamedTuple

from corsproxy.config.compile import CompileContext
from corsproxy.config.load import Loaded
from corsproxy.config.models.routes import InlineTestSection
from corsproxy.config.problems.found import Found
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.compiled import CompiledConfig, Route
from corsproxy.policy.cors.decide import decide
from corsproxy.policy.cors.decision import Decision, Facts
from corsproxy.policy.cors.reasons import describe
from corsproxy.policy.problems import Problem


class RoutedTest(NamedTuple):
    """A test with a path, and the route that its request has to match."""

    route: Route
    hosts: list[str]
    test: InlineTestSection


def count_tests(loaded: Loaded) -> int:
    """Return the number of tests in a file."""
    return sum(len(route.tests) for route in loaded.settings.routes) if loaded.settings else 0


def run_tests(loaded: Loaded) -> tuple[Problem, ...]:
    """Return a problem for each test that fails, in the order of the file.

    If the file has errors, no tests are run.
    """
    config, settings, document = loaded.config, loaded.settings, loaded.document
    if config is None or settings is None or document is None:
        return ()
    found = Found(document.file)
    context = CompileContext(document, found)
    for index, (section, route) in enumerate(zip(settings.routes, config.routes, strict=True)):
        for number, test in enumerate(section.tests):
            path = ("routes", index, "tests", number)
            if test.path is not None:
                _check_path(context, config, RoutedTest(route, section.match.host, test), path)
            _run(context, route, test, path)
    return found.in_order(loaded.text.splitlines())


def facts_of(test: InlineTestSection) -> Facts:
    """Return the preflight that a browser would send for the test's request.

    A preflight covers origin, method and headers at once; a request that needs none gets the same
    verdict. Without an Origin, the request itself is evaluated.
    """
    if test.origin is None:
        return Facts(method=test.method.encode())
    return Facts(
        method=b"OPTIONS",
        origin=(test.origin.encode(),),
        request_method=(test.method.encode(),),
        request_headers=(",".join(test.headers).encode(),) if test.headers else (),
    )


def _run(context: CompileContext, route: Route, test: InlineTestSection, path: Path) -> None:
    if route.policy is None:
        context.report("test_without_policy", path)
        return
    decision = decide(route.policy, facts_of(test))
    what = context.reference(path) or "; ".join(_account(decision))
    if decision.verdict != test.expect:
        context.report(
            "test_verdict",
            (*path, "expect"),
            expected=test.expect,
            got=_verdict(decision),
            what=what,
        )
    elif test.reason is not None and decision.reason != test.reason:
        context.report(
            "test_reason",
            (*path, "reason"),
            expected=test.reason,
            got=decision.reason,
            what=what,
        )


def _verdict(decision: Decision) -> str:
    reason = "" if str(decision.reason) == str(decision.verdict) else f" ({decision.reason})"
    return f"{decision.verdict}{reason}"


def _account(decision: Decision) -> Iterator[str]:
    yield describe(decision.reason, decision.subject)
    if decision.pos is not None:
        yield f"decided at {decision.pos}"


def _check_path(
    context: CompileContext, config: CompiledConfig, test: RoutedTest, path: Path
) -> None:
    """Check that the path of a test matches its route (cors.md 72)."""
    target = (test.test.path or "").encode().partition(b"?")[0]
    found = config.routes.match(_host(test.hosts), target, test.test.method.encode())
    if found is not test.route:
        got = "no route" if found is None else f"the route {found.name}"
        context.report("test_route", (*path, "path"), got=got, expected=test.route.name)


def _host(hosts: list[str]) -> bytes:
    """Return a Host header that the route matches."""
    first = hosts[0] if hosts else "localhost"
    return f"any{first[1:]}".encode() if first.startswith("*.") else first.encode()
