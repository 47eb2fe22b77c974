"""The kinds of warnings: settings that are valid and without effect, or hardly meant."""

from typing import Final

from corsproxy.policy.problems import ProblemKind, by_slug

KINDS: Final = by_slug(
    ProblemKind(
        "W001",
        "policy_unused",
        "no route uses the policy {found}",
        "name it in cors: of a route or in defaults.cors, or remove it",
        "A policy that is not used protects nothing; perhaps a route should name it.",
    ),
    ProblemKind(
        "W002",
        "upstream_unused",
        "no route uses the upstream {found}",
        "name it in upstream: of a route, or remove it",
        "An upstream that is not used gets no request.",
    ),
    ProblemKind(
        "W003",
        "route_without_policy",
        "this route has no policy, and there is no defaults.cors",
        "name a policy in cors:, or write cors: false if it should have none",
        "Without a policy the answers pass as the upstream gives them (cors.md 51).",
    ),
    ProblemKind(
        "W004",
        "no_effect",
        "{key} has no effect: {reason}",
        "{advice}",
        "The setting is legal, but another one makes it meaningless.",
    ),
    ProblemKind(
        "W005",
        "problems_left_out",
        "there are more problems than the {count} that are shown",
        "solve these first",
        "So many problems have one cause; the first show it.",
    ),
)
