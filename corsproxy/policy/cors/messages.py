"""The kinds of problems that a CORS policy can have (cors.md 20-31)."""

from typing import Final

from corsproxy.policy.problems import ProblemKind, by_slug

KINDS: Final = by_slug(
    ProblemKind(
        "E100",
        "origins_missing",
        'the policy "{value}" allows no origin; there is no default',
        "list the origins of the pages that may call the API, such as https://app.example.com",
    ),
    ProblemKind(
        "E101",
        "credentials_with_any_origin",
        '"{value}" with allow_credentials: true lets every site act as the signed-in user',
        "list the origins that need credentials, or set allow_credentials: false",
    ),
    ProblemKind(
        "E102",
        "origin_any_not_alone",
        "* allows every origin, so the other entries have no effect",
        "remove * to allow only the others, or remove the others",
    ),
    ProblemKind(
        "E103",
        "origin_means_any",
        'the pattern "{value}" would match every origin',
        'write "*" if every origin is meant, else include a host: https://*.example.com',
    ),
    ProblemKind(
        "E104",
        "credentials_with_null_origin",
        "null with allow_credentials: true lets any sandboxed frame act as the signed-in user",
        "remove null, or set allow_credentials: false",
    ),
    ProblemKind(
        "E105",
        "origin_null",
        "null is the origin of every sandboxed frame and local file, not of one page",
        "remove it, or set dangerously_allow_null_origin: true in this policy",
    ),
    ProblemKind(
        "E106",
        "credentials_with_insecure_origin",
        "{value} with allow_credentials: true: anyone on the network path can act as the user",
        "write {detail}, or set dangerously_allow_insecure_origins: true in this policy",
    ),
    ProblemKind(
        "E107",
        "credentials_with_public_suffix_wildcard",
        "anyone can register a name under {detail}, and {value} with credentials trusts them all",
        "include the part that is yours, or set dangerously_allow_public_suffix_wildcards: true",
    ),
    ProblemKind(
        "W100",
        "public_suffix_wildcard",
        "anyone can register a name under {detail}, and {value} allows them all",
        "include the part that is yours, or set dangerously_allow_public_suffix_wildcards: true",
    ),
    ProblemKind(
        "E108",
        "origin_wildcard_joins_domain",
        "{value} matches domains that others can register: the wildcard is part of the registered name",
        "did you mean {detail}?",
    ),
    ProblemKind(
        "E109",
        "origin_empty",
        "an origin is empty",
        "write an origin such as {detail}, or remove the item",
    ),
    ProblemKind(
        "E110",
        "origin_whitespace",
        'the origin "{value}" contains white space or a control character',
        "write {detail}, one origin per item",
    ),
    ProblemKind(
        "E111",
        "origin_list",
        '"{value}" contains a comma; each item is one origin',
        "write each origin as an item of its own, such as {detail}",
    ),
    ProblemKind(
        "E112",
        "origin_scheme_missing",
        'the origin "{value}" has no scheme',
        "did you mean {detail}?",
    ),
    ProblemKind(
        "E113",
        "origin_scheme_invalid",
        'the scheme of "{value}" is not valid',
        "use only letters, digits, +, - and . before ://, such as {detail}",
    ),
    ProblemKind(
        "E114",
        "origin_file_scheme",
        '"{value}" can never match: pages opened from files have the origin null',
        "serve the page over http, for example from http://localhost:3000",
    ),
    ProblemKind(
        "E115",
        "origin_userinfo",
        '"{value}" contains a user name; an origin has none',
        "write {detail}",
    ),
    ProblemKind(
        "E116",
        "origin_trailing_slash",
        '"{value}" ends in a slash; an origin has no path',
        "write {detail}",
    ),
    ProblemKind(
        "E117", "origin_path", '"{value}" contains a path; an origin has none', "write {detail}"
    ),
    ProblemKind(
        "E118", "origin_query", '"{value}" contains a query; an origin has none', "write {detail}"
    ),
    ProblemKind(
        "E119",
        "origin_fragment",
        '"{value}" contains a fragment; an origin has none',
        "write {detail}",
    ),
    ProblemKind(
        "E120",
        "origin_uppercase",
        '"{value}" has upper-case letters; browsers send origins in lower case',
        "write {detail}",
    ),
    ProblemKind(
        "E121",
        "origin_unicode",
        '"{value}" is not ASCII; browsers send such names as xn-- labels',
        "write {detail}",
    ),
    ProblemKind(
        "E122", "origin_host_missing", '"{value}" has no host', "write an origin such as {detail}"
    ),
    ProblemKind(
        "E123",
        "origin_host_invalid",
        'the host of "{value}" contains an invalid character',
        "use only letters, digits, -, . and _, such as {detail}",
    ),
    ProblemKind(
        "E124",
        "origin_empty_label",
        'the host of "{value}" has an empty label: two dots in a row, or a leading dot',
        "remove the extra dot, such as {detail}",
    ),
    ProblemKind(
        "E125",
        "origin_label_too_long",
        'a label of the host of "{value}" is longer than 63 characters',
        "check the name; such a host cannot exist",
    ),
    ProblemKind(
        "E126",
        "origin_host_too_long",
        'the host of "{value}" is longer than 253 characters',
        "check the name; such a host cannot exist",
    ),
    ProblemKind(
        "E127",
        "origin_port_invalid",
        'the port of "{value}" is not a number from 1 to 65535',
        "write a port without leading zeros, :* for any port, or no port, such as {detail}",
    ),
    ProblemKind(
        "E128",
        "origin_default_port",
        '"{value}" contains the default port, which browsers omit',
        "write {detail}",
    ),
    ProblemKind(
        "E129",
        "origin_wildcard_misplaced",
        'the * of "{value}" is in a position where it is not allowed',
        "use one * as, or within, the leftmost label, or as the port: https://*.example.com, "
        "https://pr-*.example.com, http://localhost:*",
    ),
    ProblemKind(
        "E130",
        "origin_wildcard_on_ip",
        '"{value}" is a wildcard on an IP address, which has no subdomains',
        "list each address; only the port can be *",
    ),
    ProblemKind(
        "E131",
        "origin_ipv4_invalid",
        'browsers parse the host of "{value}" as an IPv4 address, and it is not a valid one',
        "write four decimal numbers from 0 to 255 without leading zeros, such as http://127.0.0.1",
    ),
    ProblemKind(
        "E132",
        "origin_ipv6_invalid",
        'the host of "{value}" is not a valid IPv6 address',
        "write it in brackets, such as http://[::1]:8080",
    ),
    ProblemKind(
        "E133",
        "origin_ipv6_not_canonical",
        '"{value}" is not the short form that browsers send (RFC 5952)',
        "write {detail}",
    ),
    ProblemKind(
        "E134",
        "origin_ipv6_mapped",
        '"{value}" is an IPv4-mapped IPv6 address; browsers send the IPv4 address',
        "write {detail}",
    ),
    ProblemKind(
        "E135",
        "origin_ipv6_zone",
        '"{value}" contains an IPv6 zone, which browsers never send',
        "write {detail}",
    ),
    ProblemKind(
        "E136",
        "origin_punycode_invalid",
        'an xn-- label of "{value}" does not decode to a name',
        "copy the name from the browser's address bar",
    ),
    ProblemKind(
        "E137",
        "method_invalid",
        '"{value}" is not a valid method',
        "write a method such as PUT, of at most 128 characters, one per item",
    ),
    ProblemKind(
        "E138",
        "method_forbidden",
        "browsers forbid {value}, so no policy can allow it",
        "remove it",
    ),
    ProblemKind(
        "W101",
        "method_lowercase",
        "methods are case-sensitive: {value} does not match {detail}",
        "did you mean {detail}?",
    ),
    ProblemKind(
        "W102",
        "method_options",
        "{value} is not needed for preflights: the proxy responds to them itself",
        "remove it, unless scripts send OPTIONS requests",
    ),
    ProblemKind(
        "E139",
        "allow_header_invalid",
        '"{value}" is not a valid request header name',
        "use only letters, digits and -, at most 128 characters, one name per item",
    ),
    ProblemKind(
        "E140",
        "allow_header_forbidden",
        "browsers set {value} themselves; pages cannot set it",
        "remove it",
    ),
    ProblemKind(
        "E141",
        "allow_header_of_response",
        "{value} is a response header; pages do not send it",
        "remove it; the proxy writes this header itself",
    ),
    ProblemKind(
        "W103",
        "allow_headers_without_authorization",
        "* does not cover authorization, which has to be listed by name",
        "add authorization next to * if pages send it, else list the headers by name",
    ),
    ProblemKind(
        "E142",
        "expose_header_invalid",
        '"{value}" is not a valid response header name',
        "use only letters, digits and -, at most 128 characters, one name per item",
    ),
    ProblemKind("E143", "expose_header_forbidden", "pages can never read {value}", "remove it"),
    ProblemKind(
        "W104",
        "expose_header_needless",
        "pages can read {value} even if it is not exposed",
        "remove it",
    ),
    ProblemKind(
        "E144",
        "max_age_negative",
        "max_age is negative: {value} s",
        "write 0 for no caching, or up to 2h",
    ),
    ProblemKind(
        "E145",
        "max_age_too_long",
        "max_age is {value} s; no browser caches a preflight longer than 86400 s",
        "write 2h, the maximum of Chromium, or at most 24h",
    ),
    ProblemKind(
        "W105",
        "max_age_above_chromium",
        "max_age is {value} s; Chromium caches a preflight for at most 7200 s, Safari for 600 s",
        "write 2h or less",
    ),
    ProblemKind(
        "E146",
        "preflight_status_invalid",
        "preflight.status is {value}; browsers require a status from 200 to 299",
        "write 204, or another status in this range",
    ),
    ProblemKind(
        "E147",
        "preflight_refused_status_invalid",
        "preflight.refused_status is {value}, which is not a valid status for it",
        "write 403, 200, 204, or a status from 400 to 499 except 401 and 407 (they ask for a password)",
    ),
    ProblemKind(
        "E148",
        "timing_origins_missing",
        'timing_allow_origins of the policy "{value}" is empty',
        'list origins, write "same", or remove the key',
    ),
)
