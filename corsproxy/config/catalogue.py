"""Every problem a configuration can have: its stable id, its words, and why it is one.

The words of what the policy modules find stand in their own tables; here they only get their ids.
An id is never used twice; that of a problem which is gone stays unused.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from corsproxy.config.catalogue_findings import FINDINGS, words_of


class Entry(NamedTuple):
    """One kind of problem. `message` and `advice` hold {names} of values, `why` is for reading."""

    id: str
    message: str
    advice: str
    why: str


_OWN: Final[dict[str, Entry]] = {
    # The file and its YAML (forwarding.md K1).
    "file_unreadable": Entry(
        "E001",
        "{file} cannot be read: {reason}",
        "check the path and its permissions",
        "The configuration file does not exist, is a directory, or may not be read by this user.",
    ),
    "file_too_large": Entry(
        "E002",
        "the file is larger than {limit} bytes",
        "check that this is the right file; long lists of origins often become one pattern",
        "Files above 1 MiB are refused, so that a wrong file cannot take the memory.",
    ),
    "not_utf8": Entry(
        "E003",
        "byte {byte} is not UTF-8",
        "save the file as UTF-8",
        "YAML files for corsproxy are UTF-8, with or without a byte order mark.",
    ),
    "file_empty": Entry(
        "E004",
        "the file is empty",
        "begin with the output of `corsproxy init minimal`",
        "A configuration needs a version and at least one route.",
    ),
    "not_a_mapping": Entry(
        "E005",
        "the file does not begin with a mapping of keys",
        "begin with `version: 1`",
        "The top of the file is a mapping: version, routes and what else is set.",
    ),
    "second_document": Entry(
        "E006",
        "a second document begins here",
        "remove the `---`; one file is one configuration",
        "YAML allows several documents in a file; which of them should count would be a guess.",
    ),
    "too_deep": Entry(
        "E007",
        "values are nested deeper than {limit} levels",
        "flatten the file; no setting needs more than 8 levels",
        "Depth is bounded, so that a hostile file cannot exhaust the stack.",
    ),
    "too_many_nodes": Entry(
        "E008",
        "the file holds more than {limit} values, aliases expanded",
        "check that this is the right file, and that anchors do not multiply each other",
        "Nested aliases can expand a small file to gigabytes; what is expanded is counted.",
    ),
    "alias_unknown": Entry(
        "E009",
        "there is no anchor &{name} above this alias",
        "define &{name} first, or quote the text if it should begin with *",
        "An alias (*name) repeats what was marked with an anchor (&name) earlier in the file.",
    ),
    "alias_recursive": Entry(
        "E010",
        "the alias *{name} stands inside of what it repeats",
        "remove the alias",
        "A value that contains itself has no end.",
    ),
    "key_not_scalar": Entry(
        "E011",
        "a list or a mapping cannot be a key",
        "write the key as plain text; a value that holds {{ or [ at its start needs quotes",
        "YAML allows any value as a key; settings have names.",
    ),
    "duplicate_key": Entry(
        "E012",
        "{key} stands here a second time; line {line} has it already",
        "keep one of the two",
        "Many YAML readers keep the last of equal keys silently; here it is a mistake.",
    ),
    "merge_key": Entry(
        "E013",
        "<< is no key here: YAML 1.2 has no merge",
        "write the keys out, or use an alias for the whole value",
        "The merge key was part of YAML 1.1 and is not part of YAML 1.2.",
    ),
    "tag": Entry(
        "E014",
        "the tag {tag} is not allowed",
        'remove it; quote the text if it should begin with "!"',
        "Tags make a YAML reader build other types than the file shows; none are needed here.",
    ),
    "yaml_star": Entry(
        "E015",
        "a * at the start of a value begins an alias",
        'put it in quotes: "*"',
        "In YAML a plain * refers to an anchor. Origins and headers that begin with * need quotes.",
    ),
    "yaml_ampersand": Entry(
        "E016",
        "an & at the start of a value begins an anchor, and a name has to follow",
        'put the value in quotes: "&…"',
        "In YAML a plain & marks a value so that *name can repeat it.",
    ),
    "yaml_colon": Entry(
        "E017",
        "a second `: ` on this line, or a key that is indented too far",
        "put a value that holds `: ` in quotes; give keys of one mapping the same indentation",
        "`: ` ends a key. Inside a plain value it looks like a mapping within a line.",
    ),
    "yaml_quote_open": Entry(
        "E018",
        "the quote that begins on line {line} has no end",
        "close the quote",
        "A quoted text goes on over lines until the same quote ends it.",
    ),
    "yaml_escape": Entry(
        "E019",
        "this is no escape that double quotes know",
        "use single quotes, or write \\\\ for a backslash",
        "In double quotes a backslash begins an escape such as \\n or \\u00e9.",
    ),
    "yaml_bracket_open": Entry(
        "E020",
        "the list that begins with [ on line {line} has no , or ] here",
        "close it with ], or quote items that hold [ ] {{ }} or ,",
        "A list in brackets is items with commas between them.",
    ),
    "yaml_brace_open": Entry(
        "E021",
        "the mapping that begins with {{ on line {line} has no , or }} here",
        "close it with }}, or quote values that hold [ ] {{ }} or ,",
        "A mapping in braces is `key: value` pairs with commas between them.",
    ),
    "yaml_no_colon": Entry(
        "E022",
        "the key that begins on line {line} has no : after it",
        "write `key: value`",
        "Each line of a mapping is a key, a colon, and a value.",
    ),
    "yaml_indentation": Entry(
        "E023",
        "this line does not continue what begins on line {line}",
        "give keys of one mapping, and the - of one list, the same indentation",
        "Indentation decides what belongs to what; a line that is out of step belongs to nothing.",
    ),
    "yaml_tab": Entry(
        "E024",
        "a tab cannot indent",
        "indent with spaces",
        "YAML allows only spaces as indentation, because tabs have no fixed width.",
    ),
    "yaml_reserved": Entry(
        "E025",
        "a value cannot begin with {char}",
        "put it in quotes",
        "@, `, % and a few more are reserved or have another meaning at the start of a value.",
    ),
    "yaml_control": Entry(
        "E026",
        "the character {char} may not stand in a YAML file",
        'remove it, or write it as an escape in double quotes, such as "\\x07"',
        "Control characters are invisible, and forbidden in YAML.",
    ),
    "yaml_other": Entry(
        "E027",
        "this is no YAML: {what}",
        "compare the line with the example that `corsproxy init full` prints",
        "The YAML parser stopped here.",
    ),
    "yaml_no_value": Entry(
        "E028",
        "no value can begin here",
        "write one; a value that begins with : , ] or }} needs quotes",
        "These characters part values from each other between brackets and braces.",
    ),
    # The environment (forwarding.md K2).
    "variable_missing": Entry(
        "E030",
        "the environment has no variable {name}",
        "set {name}, or give a default: ${{{name}:-…}}",
        "${NAME} is replaced by the variable of the environment, which has to exist.",
    ),
    "variable_malformed": Entry(
        "E031",
        "{text} is no reference to a variable",
        "write ${{NAME}} or ${{NAME:-default}}; $${{ stands for ${{ itself",
        "Names of variables are letters, digits and _, and do not begin with a digit.",
    ),
    "variable_of_request": Entry(
        "E032",
        "{text} is known in header values of rules only",
        "write a fixed value here; $${{ stands for ${{ itself",
        "Variables such as ${request.id} have a value while a request is served, not before.",
    ),
    "environment_too_large": Entry(
        "E033",
        "with the values of the environment the file grows beyond {limit} bytes",
        "check which variables are used",
        "What the environment adds is bounded like the file itself.",
    ),
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
        "{found} is listened on twice; line {line} has it already",
        "give each listener an address of its own",
        "Only one listener can have an address.",
    ),
    "network_invalid": Entry(
        "E062",
        "{found} is no network: {detail}",
        "write an address or a network such as 10.0.0.0/8 or fd00::/8",
        "Proxies that are trusted are known by their addresses.",
    ),
    "url_invalid": Entry(
        "E063",
        "{found} is no URL of an upstream: {detail}",
        "write http://host:port or unix:/run/app.sock",
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


def _entry(slug: str, id_: str) -> Entry:
    """Return the entry of what a policy module finds, with the module's own words."""
    words = words_of(slug)
    return Entry(id_, words.message, words.suggestion, "")


ENTRIES: Final[Mapping[str, Entry]] = {
    **_OWN,
    **{slug: _entry(slug, id_) for slug, id_ in FINDINGS.items()},
}

SLUGS: Final[Mapping[str, str]] = {entry.id: slug for slug, entry in ENTRIES.items()}
