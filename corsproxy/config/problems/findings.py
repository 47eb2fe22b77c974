"""The stable ids of what the policy modules find. Knows their tables of words, no words of its own."""

from collections.abc import Mapping
from typing import Final

from corsproxy.policy.cookies import check as cookies
from corsproxy.policy.cookies import sites
from corsproxy.policy.cors import messages
from corsproxy.policy.problems import Words
from corsproxy.policy.routing import bypasses, links, paths
from corsproxy.policy.routing import check as routing
from corsproxy.policy.rules import check as rules

_TABLES: Final[tuple[Mapping[str, Words], ...]] = (
    messages.WORDS,
    rules.WORDS,
    routing.WORDS,
    paths.WORDS,
    links.WORDS,
    cookies.WORDS,
    sites.WORDS,
    bypasses.WORDS,
)

FINDINGS: Final[Mapping[str, str]] = {
    # CORS policies (policy.checks).
    "origins_missing": "E100",
    "credentials_with_any_origin": "E101",
    "origin_any_not_alone": "E102",
    "origin_means_any": "E103",
    "credentials_with_null_origin": "E104",
    "origin_null": "E105",
    "credentials_with_insecure_origin": "E106",
    "credentials_with_public_suffix_wildcard": "E107",
    "public_suffix_wildcard": "W100",
    "origin_wildcard_joins_domain": "E108",
    "origin_empty": "E109",
    "origin_whitespace": "E110",
    "origin_list": "E111",
    "origin_scheme_missing": "E112",
    "origin_scheme_invalid": "E113",
    "origin_file_scheme": "E114",
    "origin_userinfo": "E115",
    "origin_trailing_slash": "E116",
    "origin_path": "E117",
    "origin_query": "E118",
    "origin_fragment": "E119",
    "origin_uppercase": "E120",
    "origin_unicode": "E121",
    "origin_host_missing": "E122",
    "origin_host_invalid": "E123",
    "origin_empty_label": "E124",
    "origin_label_too_long": "E125",
    "origin_host_too_long": "E126",
    "origin_port_invalid": "E127",
    "origin_default_port": "E128",
    "origin_wildcard_misplaced": "E129",
    "origin_wildcard_on_ip": "E130",
    "origin_ipv4_invalid": "E131",
    "origin_ipv6_invalid": "E132",
    "origin_ipv6_not_canonical": "E133",
    "origin_ipv6_mapped": "E134",
    "origin_ipv6_zone": "E135",
    "origin_punycode_invalid": "E136",
    "method_invalid": "E137",
    "method_forbidden": "E138",
    "method_lowercase": "W101",
    "method_options": "W102",
    "allow_header_invalid": "E139",
    "allow_header_forbidden": "E140",
    "allow_header_of_response": "E141",
    "allow_headers_without_authorization": "W103",
    "expose_header_invalid": "E142",
    "expose_header_forbidden": "E143",
    "expose_header_needless": "W104",
    "max_age_negative": "E144",
    "max_age_too_long": "E145",
    "max_age_above_chromium": "W105",
    "preflight_status_invalid": "E146",
    "preflight_refused_status_invalid": "E147",
    "timing_origins_missing": "E148",
    # Header rules (policy.rule_checks).
    "rule_name_invalid": "E200",
    "rule_touches_hop_by_hop": "E201",
    "rule_touches_length": "E202",
    "rule_touches_cors": "E203",
    "rule_touches_host": "E204",
    "rule_touches_expect": "E205",
    "rule_value_unsendable": "E206",
    "rule_variable_unknown": "E207",
    "rule_find_empty": "E208",
    "rule_status_invalid": "E209",
    "rule_status_of_request": "E210",
    "rule_content_type_invalid": "E211",
    "rule_method_invalid": "E212",
    "rule_without_effect": "W200",
    "rule_add_repeats": "W201",
    "rule_when_empty": "W202",
    # What routes match (policy.route_checks, policy.routing.bypasses).
    "route_host_invalid": "E230",
    "route_path_invalid": "E231",
    "route_method_invalid": "E232",
    "route_path_ambiguous": "W230",
    "route_method_never": "W231",
    "route_method_case": "W232",
    "route_methods_empty": "W233",
    "route_path_broader": "W234",
    # Paths and links (policy.paths, policy.location).
    "path_prefix_invalid": "E240",
    "path_prefix_twice": "E241",
    "path_replace_unclear": "E242",
    "path_strip_never": "W240",
    "public_url_invalid": "E243",
    # Cookies (policy.cookie_checks, policy.sites).
    "cookie_name_invalid": "E250",
    "cookie_domain_invalid": "E251",
    "cookie_path_invalid": "E252",
    "cookie_path_repeated": "E253",
    "cookie_secure_needed": "E254",
    "cookie_prefix_broken": "E255",
    "cookie_rule_idle": "W250",
    "cookie_rule_unreached": "W251",
    "credentials_across_sites": "W252",
}


def words_of(slug: str) -> Words:
    """Return the words of `slug` from the table that has it."""
    return next(table[slug] for table in _TABLES if slug in table)


def all_slugs() -> list[str]:
    """Return the slug of everything that a policy module can find."""
    return [slug for table in _TABLES for slug in table]
