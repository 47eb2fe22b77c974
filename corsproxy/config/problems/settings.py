"""What can be wrong with keys, values and names, and with inline tests."""

from typing import Final

from corsproxy.config.problems.entry import Entry

SETTINGS: Final[dict[str, Entry]] = {
    # Keys and kinds of values.
    "unknown_key": Entry(
        "E040",
        "{key} is not known {where}",
        "{advice}",
        "Keys have exactly one spelling; none is ignored, for it was written for a reason.",
    ),
    "missing_key": Entry(
        "E041",
        "{key} is missing {where}",
        "add {key}: {description}",
        "This key has no default.",
    ),
    "empty_value": Entry(
        "E042",
        "{key} has no value",
        "give it one, or remove the key to have the default",
        "A key with nothing after it is null in YAML; it is not clear what was meant.",
    ),
    "not_a_text": Entry(
        "E043",
        "{key} is a text, not {found}",
        "write one value after the colon",
        "This key takes one plain value.",
    ),
    "not_a_flag": Entry(
        "E044",
        "{key} is true or false, not {found}",
        "write true or false, without quotes",
        "YAML 1.2 knows true and false; yes, no, on and off are texts.",
    ),
    "not_a_number": Entry(
        "E045",
        "{key} is a whole number, not {found}",
        "write digits only, without quotes",
        "This key counts something.",
    ),
    "out_of_range": Entry(
        "E046",
        "{key} is {found}, which is not between {minimum} and {maximum}",
        "write a number from {minimum} to {maximum}",
        "The number is outside of what makes sense for this key.",
    ),
    "not_a_duration": Entry(
        "E047",
        "{key} is a duration, not {found}",
        "write 250ms, 10s, 5m or 1h; a plain number means seconds",
        "Durations have the units ms, s, m and h.",
    ),
    "duration_out_of_range": Entry(
        "E048",
        "{key} is {found}, which is not between 0s and 8760h",
        "write a duration of up to 8760h; 0s where there should be no limit",
        "Durations are not negative and not longer than a year.",
    ),
    "not_whole_seconds": Entry(
        "E049",
        "{key} is {found}, and Access-Control-Max-Age counts whole seconds",
        "write whole seconds, such as 600s",
        "Fractions of a second cannot be sent.",
    ),
    "not_a_size": Entry(
        "E050",
        "{key} is a size, not {found}",
        "write 8KiB, 10MB or 1GiB; a plain number means bytes",
        "Sizes have the units B, KB, MB, GB (powers of 1000) and KiB, MiB, GiB (powers of 1024).",
    ),
    "not_a_list": Entry(
        "E051",
        "{key} is a list, not {found}",
        "write [a, b], or one item a line with - in front",
        "This key takes several values.",
    ),
    "not_a_section": Entry(
        "E052",
        "{key} holds keys of its own, and is not {found}",
        "write its keys below it, indented",
        "This key takes a mapping.",
    ),
    "not_a_choice": Entry(
        "E053",
        "{key} cannot be {found}",
        "write {choices}",
        "This key has a fixed set of values.",
    ),
    "cors_true": Entry(
        "E054",
        "cors: true does not say which policy",
        "name a policy, write one here, or write false for none",
        "A route has the policy that is named or written; false lets everything pass untouched.",
    ),
    "name_invalid": Entry(
        "E055",
        "{found} is no name",
        "use letters, digits, - _ and . only, at most 64, a letter or digit first",
        "Names stand in logs, labels of metrics and headers.",
    ),
    "version_unknown": Entry(
        "E056",
        "version is {found}; this program reads version 1",
        "write `version: 1`",
        "The version tells which language the file is written in; there is one so far.",
    ),
    # Addresses.
    "address_invalid": Entry(
        "E060",
        "{found} is no address to listen on: {detail}",
        "write host:port, [::1]:8080, or unix:/run/corsproxy.sock",
        "Names are resolved when the proxy starts.",
    ),
    "address_twice": Entry(
        "E061",
        "{found} is listened on twice; {where} already",
        "give each listener an address of its own",
        "Only one listener can have an address. A wildcard such as 0.0.0.0 has all of its family.",
    ),
    "network_invalid": Entry(
        "E062",
        "{found} is no network: {detail}",
        "write an address or a network such as 10.0.0.0/8 or fd00::/8, or unix for unix sockets",
        "Proxies that are trusted are known by their addresses.",
    ),
    "url_invalid": Entry(
        "E063",
        "{found} is no URL of an upstream: {detail}",
        "write http://host:port, https://host:port or unix:/run/app.sock",
        "An upstream is a server: a scheme, a host and a port. Paths are a matter of routes.",
    ),
    "host_header_invalid": Entry(
        "E064",
        "host_header cannot be {found}",
        "write upstream, preserve, or a host such as api.internal or api.internal:8443",
        "The Host header says which site is meant; it is a name with or without a port.",
    ),
    "upstream_is_self": Entry(
        "E065",
        "the upstream {found} is where this proxy itself listens",
        "give the upstream's own address",
        "Requests would be forwarded to the proxy again, until no connection is left.",
    ),
    "tls_file_invalid": Entry(
        "E066",
        "{key} cannot be {found}: {detail}",
        "name a file in PEM that exists and that this user may read",
        "Certificates and keys are read when the configuration is, and again when they change.",
    ),
    "tls_pair_incomplete": Entry(
        "E067",
        "{written} is here and {missing} is not",
        "add {missing}; it may be the same file, if that holds both",
        "A certificate can be shown only together with its private key.",
    ),
    # Names that point elsewhere, and routes.
    "policy_unknown": Entry(
        "E070",
        "there is no policy {found}",
        "{advice}",
        "cors: names a policy of `policies`, holds one itself, or is false.",
    ),
    "upstream_unknown": Entry(
        "E071",
        "there is no upstream {found}",
        "{advice}",
        "upstream: names an upstream of `upstreams`, or is a URL.",
    ),
    "routes_empty": Entry(
        "E072",
        "there is no route",
        "add at least one: `- upstream: http://127.0.0.1:9000`",
        "Without a route every request would get 404.",
    ),
    "route_name_twice": Entry(
        "E073",
        "the route of line {line} is called {found} too",
        "give each route a name of its own",
        "Names tell routes apart in logs and metrics.",
    ),
    "route_tie": Entry(
        "E074",
        "this route matches the same requests as {other} on line {line}: {what}",
        "give one of them another host, path or method, or remove it",
        "The most specific route wins (cors.md 72); of two alike, neither is.",
    ),
    "rule_operations": Entry(
        "E075",
        "a rule has one operation, and this one has {found}",
        "write each of set, add, default, remove, rename and replace as an item of its own",
        "Rules are applied in order; within one item there would be none.",
    ),
    "status_invalid": Entry(
        "E076",
        "{found} is no status or range of statuses",
        "write 404, or 500-599",
        "Statuses are three digits; a range is two of them with - between.",
    ),
    "upgrade_invalid": Entry(
        "E077",
        "{found} is no name of a protocol",
        "write the name as it stands in the Upgrade header, such as websocket",
        "A client asks for another protocol by its name in the Upgrade header.",
    ),
    "upgrade_carries_requests": Entry(
        "E078",
        "a tunnel of {found} would carry requests past every route and policy",
        "remove it: such a request is served as an ordinary one, without its Upgrade",
        "What is inside of a tunnel is not looked at; protocols that hold HTTP requests get none.",
    ),
    # Inline tests.
    "test_verdict": Entry(
        "E080",
        "this test expects {expected}, and the policy says {got}",
        "correct the policy or the test; {what}",
        "The test asks the policy just as a browser would, and got another verdict.",
    ),
    "test_reason": Entry(
        "E081",
        "this test expects the reason {expected}, and got {got}",
        "correct the policy or the test; {what}",
        "The verdict is as expected, but for another reason.",
    ),
    "test_route": Entry(
        "E082",
        "this test's request comes to {got}, not to {expected}",
        "correct the path of the test, or match of the routes",
        "A test with a path checks that the path belongs to its route.",
    ),
    "test_without_policy": Entry(
        "E083",
        "a test of a route without a policy can only fail",
        "give the route a policy, or remove the test",
        "Without a policy everything passes as the upstream answers it.",
    ),
    # Warnings.
    "policy_unused": Entry(
        "W001",
        "no route uses the policy {found}",
        "name it in cors: of a route or in defaults.cors, or remove it",
        "A policy that is not used protects nothing; perhaps a route should name it.",
    ),
    "upstream_unused": Entry(
        "W002",
        "no route uses the upstream {found}",
        "name it in upstream: of a route, or remove it",
        "An upstream that is not used gets no request.",
    ),
    "route_without_policy": Entry(
        "W003",
        "this route has no policy, and there is no defaults.cors",
        "name a policy in cors:, or write cors: false if it should have none",
        "Without a policy the answers pass as the upstream gives them (cors.md 51).",
    ),
    "no_effect": Entry(
        "W004",
        "{key} has no effect: {reason}",
        "{advice}",
        "The setting is legal, but another one makes it meaningless.",
    ),
    "problems_left_out": Entry(
        "W005",
        "there are more problems than the {count} that are shown",
        "solve these first",
        "So many problems have one cause; the first show it.",
    ),
}
