"""The kinds of warnings: valid settings that have no effect or are probably a mistake."""

from typing import Final

from corsproxy.policy.problems import ProblemKind, by_slug

KINDS: Final = by_slug(
    ProblemKind(
        "W001",
        "policy_unused",
        "the policy {found} is not used by any route",
        "add it to cors: of a route or to defaults.cors, or remove it",
        "An unused policy protects nothing; perhaps it is missing from a route.",
    ),
    ProblemKind(
        "W002",
        "upstream_unused",
        "the upstream {found} is not used by any route",
        "add it to upstream: of a route, or remove it",
        "An unused upstream receives no requests.",
    ),
    ProblemKind(
        "W003",
        "route_without_policy",
        "this route has no policy, and there is no defaults.cors",
        "add cors: with a policy, or cors: false if it should have none",
        "Without a policy responses are forwarded unchanged (cors.md 51).",
    ),
    ProblemKind(
        "W004",
        "no_effect",
        "{key} has no effect: {reason}",
        "{advice}",
        "The setting is valid, but another one makes it ineffective.",
    ),
    ProblemKind(
        "W005",
        "problems_left_out",
        "only the first {count} problems are shown",
        "fix these first",
        "So many problems usually have one cause, which the first ones show.",
    ),
)
