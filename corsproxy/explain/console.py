"""The messages that browsers print on the console if they block a response, word for word.

The wording is that of Chromium 156, Firefox 153 and WebKitGTK 2.50; braces mark what is filled in.
"""

from collections.abc import Sequence
from typing import Final, Literal

from corsproxy.explain.fetch_algorithm import UNENFORCED, Blocked, BrowserRefusal, PageRequest
from corsproxy.policy.printable import printable_ascii

Browser = Literal["chromium", "firefox", "safari"]

_CHROMIUM: Final = (
    "Access to fetch at '{url}' from origin '{origin}' has been blocked by CORS policy: "
)
_CHROMIUM_PREFLIGHT: Final = "Response to preflight request doesn't pass access control check: "
_CHROMIUM_WORDS: Final[dict[BrowserRefusal, str]] = {
    BrowserRefusal.allow_origin_missing: (
        "No 'Access-Control-Allow-Origin' header is present on the requested resource."
    ),
    BrowserRefusal.allow_origin_multiple: (
        "The 'Access-Control-Allow-Origin' header contains multiple values '{subject}', "
        "but only one is allowed. Have the server send the header with a valid value."
    ),
    BrowserRefusal.allow_origin_list: (
        "The 'Access-Control-Allow-Origin' header contains multiple values '{subject}', "
        "but only one is allowed. Have the server send the header with a valid value."
    ),
    BrowserRefusal.allow_origin_mismatch: (
        "The 'Access-Control-Allow-Origin' header has a value '{subject}' "
        "that is not equal to the supplied origin. Have the server send the header with a valid value."
    ),
    BrowserRefusal.wildcard_with_credentials: (
        "The value of the 'Access-Control-Allow-Origin' header in the response must not be the "
        "wildcard '*' when the request's credentials mode is 'include'."
    ),
    BrowserRefusal.credentials_not_true: (
        "The value of the 'Access-Control-Allow-Credentials' header in the response is "
        "'{subject}' which must be 'true' when the request's credentials mode is 'include'."
    ),
    BrowserRefusal.preflight_redirect: "Redirect is not allowed for a preflight request.",
    BrowserRefusal.preflight_status: "It does not have HTTP ok status.",
    BrowserRefusal.methods_unreadable: (
        "Cannot parse Access-Control-Allow-Methods response header field in preflight response."
    ),
    BrowserRefusal.headers_unreadable: (
        "Cannot parse Access-Control-Allow-Headers response header field in preflight response."
    ),
    BrowserRefusal.method_not_allowed: (
        "Method {subject} is not allowed by Access-Control-Allow-Methods in preflight response."
    ),
    BrowserRefusal.header_not_allowed: (
        "Request header field {subject} is not allowed by Access-Control-Allow-Headers "
        "in preflight response."
    ),
}
_CHROMIUM_INVALID: Final = (
    "The 'Access-Control-Allow-Origin' header contains the invalid value '{subject}'. "
    "Have the server send the header with a valid value."
)
# Messages that mention the preflight themselves: Chromium does not put the sentence about it first.
_CHROMIUM_PLAIN: Final = frozenset(
    {
        BrowserRefusal.methods_unreadable,
        BrowserRefusal.headers_unreadable,
        BrowserRefusal.method_not_allowed,
        BrowserRefusal.header_not_allowed,
    },
)

_FIREFOX: Final = (
    "Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource "
    "at {url}. (Reason: {reason})."
)
_FIREFOX_QUOTED: Final = _FIREFOX.replace("{url}", "\u2018{url}\u2019")
_FIREFOX_STATUS: Final = " Status code: {status}."
_FIREFOX_WORDS: Final[dict[BrowserRefusal, str]] = {
    BrowserRefusal.allow_origin_missing: "CORS header \u2018Access-Control-Allow-Origin\u2019 missing",
    BrowserRefusal.allow_origin_multiple: (
        "Multiple CORS header \u2018Access-Control-Allow-Origin\u2019 not allowed"
    ),
    BrowserRefusal.allow_origin_list: (
        "CORS header \u2018Access-Control-Allow-Origin\u2019 does not match \u2018{subject}\u2019"
    ),
    BrowserRefusal.allow_origin_mismatch: (
        "CORS header \u2018Access-Control-Allow-Origin\u2019 does not match \u2018{subject}\u2019"
    ),
    BrowserRefusal.wildcard_with_credentials: (
        "Credential is not supported if the CORS header "
        "\u2018Access-Control-Allow-Origin\u2019 is \u2018*\u2019"
    ),
    BrowserRefusal.credentials_not_true: (
        "expected \u2018true\u2019 in CORS header \u2018Access-Control-Allow-Credentials\u2019"
    ),
    BrowserRefusal.preflight_redirect: "CORS request external redirect not allowed",
    BrowserRefusal.preflight_status: "CORS preflight response did not succeed",
    BrowserRefusal.methods_unreadable: (
        "invalid token \u2018{subject}\u2019 in CORS header "
        "\u2018Access-Control-Allow-Methods\u2019"
    ),
    BrowserRefusal.headers_unreadable: (
        "invalid token \u2018{subject}\u2019 in CORS header "
        "\u2018Access-Control-Allow-Headers\u2019"
    ),
    BrowserRefusal.method_not_allowed: (
        "Did not find method in CORS header \u2018Access-Control-Allow-Methods\u2019"
    ),
    BrowserRefusal.header_not_allowed: (
        "header \u2018{subject}\u2019 is not allowed according to header "
        "\u2018Access-Control-Allow-Headers\u2019 from CORS preflight response"
    ),
}
_NO_STATUS: Final = " Status code: (null)."
_FIREFOX_WITH_STATUS: Final = frozenset(
    {BrowserRefusal.allow_origin_missing, BrowserRefusal.preflight_status}
)

_WEBKIT_END: Final = "Fetch API cannot load {url} due to access control checks."
_WEBKIT_ORIGIN: Final = (
    "Origin {origin} is not allowed by Access-Control-Allow-Origin. Status code: {status}"
)
_WEBKIT_STATUS: Final = "Preflight response is not successful. Status code: {status}"
_WEBKIT_WORDS: Final[dict[BrowserRefusal, str]] = {
    BrowserRefusal.allow_origin_missing: _WEBKIT_ORIGIN,
    BrowserRefusal.allow_origin_multiple: "Access-Control-Allow-Origin cannot contain more than one origin.",
    BrowserRefusal.allow_origin_list: "Access-Control-Allow-Origin cannot contain more than one origin.",
    BrowserRefusal.allow_origin_mismatch: _WEBKIT_ORIGIN,
    BrowserRefusal.wildcard_with_credentials: (
        "Cannot use wildcard in Access-Control-Allow-Origin when credentials flag is true."
    ),
    BrowserRefusal.credentials_not_true: (
        'Credentials flag is true, but Access-Control-Allow-Credentials is not "true".'
    ),
    BrowserRefusal.preflight_redirect: _WEBKIT_STATUS,
    BrowserRefusal.preflight_status: _WEBKIT_STATUS,
    BrowserRefusal.methods_unreadable: (
        "Header Access-Control-Allow-Methods has an invalid value: {subject}"
    ),
    BrowserRefusal.headers_unreadable: (
        "Header Access-Control-Allow-Headers has an invalid value: {subject}"
    ),
    BrowserRefusal.method_not_allowed: "Method {subject} is not allowed by Access-Control-Allow-Methods.",
    BrowserRefusal.header_not_allowed: (
        "Request header field {subject} is not allowed by Access-Control-Allow-Headers."
    ),
}


def console(page_request: PageRequest, found: Sequence[Blocked]) -> dict[Browser, list[str]]:
    """Return the lines that each browser prints for `found`, which is in the order of Fetch.

    Each prints only the first failure; WebKit differs in that it checks a preflight's status first.
    """
    found = [item for item in found if item.refusal not in UNENFORCED]
    if not found:
        return {"chromium": [], "firefox": [], "safari": []}
    first = found[0]
    by_status = [item for item in found if _WEBKIT_WORDS[item.refusal] == _WEBKIT_STATUS]
    return {
        "chromium": [_chromium(page_request, first)],
        "firefox": _firefox(page_request, first),
        "safari": _webkit(page_request, by_status[0] if by_status else first),
    }


def _fill(text: str, page_request: PageRequest, blocked: Blocked, reason: str = "") -> str:
    return text.format(
        url=page_request.url,
        origin=printable_ascii(page_request.origin),
        subject=printable_ascii(blocked.subject),
        status=blocked.status,
        reason=reason,
    )


def _chromium(page_request: PageRequest, blocked: Blocked) -> str:
    start = _CHROMIUM
    if blocked.in_preflight and blocked.refusal not in _CHROMIUM_PLAIN:
        start += _CHROMIUM_PREFLIGHT
    words = _CHROMIUM_WORDS[blocked.refusal]
    no_url = b":" not in blocked.subject and blocked.subject != b"null"
    if blocked.refusal is BrowserRefusal.allow_origin_mismatch and no_url:
        words = _CHROMIUM_INVALID
    return _fill(start + words, page_request, blocked)


def _firefox(page_request: PageRequest, blocked: Blocked) -> list[str]:
    """Return the line with the cause, and for a preflight a second one: the request failed, too."""
    lines = [_firefox_line(page_request, blocked)]
    if blocked.refusal is BrowserRefusal.preflight_redirect:
        lines.append(
            _firefox_line(page_request, blocked._replace(refusal=BrowserRefusal.preflight_status))
        )
    if blocked.in_preflight:
        lines.append(
            _fill(_FIREFOX, page_request, blocked, "CORS request did not succeed") + _NO_STATUS
        )
    return lines


def _firefox_line(page_request: PageRequest, blocked: Blocked) -> str:
    quoted = blocked.refusal is BrowserRefusal.wildcard_with_credentials
    text = _FIREFOX_QUOTED if quoted else _FIREFOX
    if blocked.refusal in _FIREFOX_WITH_STATUS:
        text += _FIREFOX_STATUS
    return _fill(
        text, page_request, blocked, _fill(_FIREFOX_WORDS[blocked.refusal], page_request, blocked)
    )


def _webkit(page_request: PageRequest, blocked: Blocked) -> list[str]:
    return [
        _fill(_WEBKIT_WORDS[blocked.refusal], page_request, blocked),
        _fill(_WEBKIT_END, page_request, blocked),
    ]
