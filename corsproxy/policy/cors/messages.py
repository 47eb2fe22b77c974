"""The words for each mistake in a policy, by slug (cors.md 20-31). Knows no way to find one."""

from typing import Final

from corsproxy.policy.problems import Words

WORDS: Final[dict[str, Words]] = {
    "origins_missing": Words(
        "error",
        'the policy "{value}" allows no origin; there is no default',
        "list the origins of the pages that may call, such as https://app.example.com",
    ),
    "credentials_with_any_origin": Words(
        "error",
        '"{value}" with allow_credentials: true lets every site act as the signed-in user',
        "list the origins that need credentials, or set allow_credentials: false",
    ),
    "origin_any_not_alone": Words(
        "error",
        "* allows every origin, so the other entries mean nothing",
        "remove * to allow only the others, or remove the others",
    ),
    "origin_means_any": Words(
        "error",
        'the pattern "{value}" would match every origin',
        'write "*" if every origin is meant, else name a host: https://*.example.com',
    ),
    "credentials_with_null_origin": Words(
        "error",
        "null with allow_credentials: true lets any sandboxed frame act as the signed-in user",
        "remove null, or set allow_credentials: false",
    ),
    "origin_null": Words(
        "error",
        "null is the origin of every sandboxed frame and local file, not of one page",
        "remove it, or set dangerously_allow_null_origin: true in this policy",
    ),
    "credentials_with_insecure_origin": Words(
        "error",
        "{value} with allow_credentials: true: whoever is on the way can act as the user",
        "write {detail}, or set dangerously_allow_insecure_origins: true in this policy",
    ),
    "credentials_with_public_suffix_wildcard": Words(
        "error",
        "anybody can get a name under {detail}, and {value} with credentials trusts them all",
        "name the part that is yours, or set dangerously_allow_public_suffix_wildcards: true",
    ),
    "public_suffix_wildcard": Words(
        "warning",
        "anybody can get a name under {detail}, and {value} allows them all",
        "name the part that is yours, or set dangerously_allow_public_suffix_wildcards: true",
    ),
    "origin_wildcard_joins_domain": Words(
        "error",
        "{value} matches domains of strangers: the wildcard stands in the registered name itself",
        "did you mean {detail}?",
    ),
    "origin_empty": Words(
        "error", "an origin is empty", "write an origin such as {detail}, or remove the item"
    ),
    "origin_whitespace": Words(
        "error",
        'the origin "{value}" holds white space or a control character',
        "write {detail}, one origin an item",
    ),
    "origin_list": Words(
        "error",
        '"{value}" holds a comma: it is not one origin',
        "write each origin as an item of its own, such as {detail}",
    ),
    "origin_scheme_missing": Words(
        "error", 'the origin "{value}" has no scheme', "did you mean {detail}?"
    ),
    "origin_scheme_invalid": Words(
        "error",
        'the scheme of "{value}" is none',
        "write letters, digits, +, - or . before ://, such as {detail}",
    ),
    "origin_file_scheme": Words(
        "error",
        '"{value}" can never match: pages opened from files have the origin null',
        "serve the page over http, such as from http://localhost:3000",
    ),
    "origin_userinfo": Words(
        "error", '"{value}" holds a user name; an origin has none', "write {detail}"
    ),
    "origin_trailing_slash": Words(
        "error", '"{value}" ends in a slash; an origin has no path', "write {detail}"
    ),
    "origin_path": Words("error", '"{value}" holds a path; an origin has none', "write {detail}"),
    "origin_query": Words("error", '"{value}" holds a query; an origin has none', "write {detail}"),
    "origin_fragment": Words(
        "error", '"{value}" holds a fragment; an origin has none', "write {detail}"
    ),
    "origin_uppercase": Words(
        "error",
        '"{value}" has upper-case letters; browsers send origins in lower case',
        "write {detail}",
    ),
    "origin_unicode": Words(
        "error",
        '"{value}" is not ASCII; browsers send such names encoded',
        "write {detail}",
    ),
    "origin_host_missing": Words(
        "error", '"{value}" names no host', "write an origin such as {detail}"
    ),
    "origin_host_invalid": Words(
        "error",
        'the host of "{value}" holds a character that no host has',
        "use letters, digits, - . and _ only, such as {detail}",
    ),
    "origin_empty_label": Words(
        "error",
        'the host of "{value}" has nothing between two dots, or before the first',
        "remove the extra dot, such as {detail}",
    ),
    "origin_label_too_long": Words(
        "error",
        'a part of the host of "{value}" is longer than 63 characters',
        "check the name: no such host can exist",
    ),
    "origin_host_too_long": Words(
        "error",
        'the host of "{value}" is longer than 253 characters',
        "check the name: no such host can exist",
    ),
    "origin_port_invalid": Words(
        "error",
        'the port of "{value}" is no number from 1 to 65535',
        "write a port without leading zeros, :* for any, or none, such as {detail}",
    ),
    "origin_default_port": Words(
        "error",
        '"{value}" spells out the default port; browsers leave it out',
        "write {detail}",
    ),
    "origin_wildcard_misplaced": Words(
        "error",
        'the * of "{value}" stands where none may',
        "use one * as or in the leftmost label, or as the port: https://*.example.com, "
        "https://pr-*.example.com, http://localhost:*",
    ),
    "origin_wildcard_on_ip": Words(
        "error",
        '"{value}" is a wildcard on an IP address, which has no subdomains',
        "list each address; only the port may be *",
    ),
    "origin_ipv4_invalid": Words(
        "error",
        'browsers take the host of "{value}" for an IPv4 address, and it is not four numbers',
        "write four decimal numbers from 0 to 255 without leading zeros, such as http://127.0.0.1",
    ),
    "origin_ipv6_invalid": Words(
        "error",
        'the host of "{value}" is no IPv6 address',
        "write it in brackets, such as http://[::1]:8080",
    ),
    "origin_ipv6_not_canonical": Words(
        "error",
        '"{value}" is not the short form that browsers send (RFC 5952)',
        "write {detail}",
    ),
    "origin_ipv6_mapped": Words(
        "error",
        '"{value}" is an IPv4 address in IPv6 clothing, which no page has',
        "write {detail}",
    ),
    "origin_ipv6_zone": Words(
        "error", '"{value}" holds a zone, which is never sent', "write {detail}"
    ),
    "origin_punycode_invalid": Words(
        "error",
        'an xn-- part of "{value}" does not decode to a name',
        "check the spelling against what the browser's address bar copies",
    ),
    "method_invalid": Words(
        "error",
        '"{value}" is no method name',
        "write letters such as PUT, at most 128 of them, one method an item",
    ),
    "method_forbidden": Words(
        "error", "browsers forbid {value} to pages, so no policy can allow it", "remove it"
    ),
    "method_lowercase": Words(
        "warning",
        "methods are case-sensitive, and {value} is not {detail}",
        "did you mean {detail}?",
    ),
    "method_options": Words(
        "warning",
        "{value} need not be listed: preflights are answered anyway",
        "remove it, unless pages themselves send OPTIONS",
    ),
    "allow_header_invalid": Words(
        "error",
        '"{value}" is no header name',
        "use letters, digits and -, at most 128 of them, one name an item",
    ),
    "allow_header_forbidden": Words(
        "error", "browsers set {value} themselves and let no page do it", "remove it"
    ),
    "allow_header_of_response": Words(
        "error",
        "{value} is a header of answers; pages need not send it",
        "remove it; the proxy writes this header itself",
    ),
    "allow_headers_without_authorization": Words(
        "warning",
        "* does not cover authorization, which browsers want named",
        "add authorization beside * if pages send it, else list the headers by name",
    ),
    "expose_header_invalid": Words(
        "error",
        '"{value}" is no header name that could be exposed',
        "use letters, digits and -, at most 128 of them, one name an item",
    ),
    "expose_header_forbidden": Words("error", "browsers never show {value} to a page", "remove it"),
    "expose_header_needless": Words(
        "warning", "pages can read {value} without its being exposed", "remove it"
    ),
    "max_age_negative": Words(
        "error", "max_age is {value} s", "write 0 for no caching, or up to 2h"
    ),
    "max_age_too_long": Words(
        "error",
        "max_age is {value} s; no browser keeps a preflight longer than 86400 s",
        "write 2h, which is all that Chromium keeps, or at most 24h",
    ),
    "max_age_above_chromium": Words(
        "warning",
        "max_age is {value} s; Chromium keeps a preflight for 7200 s, Safari for 600 s",
        "write 2h or less",
    ),
    "preflight_status_invalid": Words(
        "error",
        "preflight.status is {value}; browsers want a success",
        "write 204, or another status from 200 to 299",
    ),
    "preflight_refused_status_invalid": Words(
        "error",
        "preflight.refused_status is {value}",
        "write 403, 200, 204 or another status from 400 to 499; 401 and 407 ask for a password",
    ),
    "timing_origins_missing": Words(
        "error",
        'timing_allow_origins of the policy "{value}" is empty',
        'list origins, write "same", or remove the key',
    ),
}
