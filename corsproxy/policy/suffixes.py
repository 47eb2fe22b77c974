"""Looks names up in the Public Suffix List. Knows the list (https://publicsuffix.org), not policies.

The list ships with `publicsuffixlist` and is read from disk once, when it is first needed.
"""

from functools import lru_cache

from publicsuffixlist import PublicSuffixList

# A label that is in no exception of the list, so that wildcard rules such as *.ck apply to it.
_STRANGER = "some-stranger"


@lru_cache(maxsize=2)
def _read_list(*, only_icann: bool) -> PublicSuffixList:
    # Names that are not listed (internal, localhost) do not count (cors.md 24).
    return PublicSuffixList(accept_unknown=False, only_icann=only_icann)


def is_open_to_strangers(parent: str) -> bool:
    """Whether anybody can register a name directly under `parent` (com, github.io, vercel.app)."""
    return _is_suffix(parent, only_icann=False)


def is_registry(parent: str) -> bool:
    """Whether `parent` is a suffix of a domain registry (com, co.uk), not of a company (github.io)."""
    return _is_suffix(parent, only_icann=True)


def _is_suffix(parent: str, *, only_icann: bool) -> bool:
    name = parent.removesuffix(".")
    stranger = f"{_STRANGER}.{name}"
    return _read_list(only_icann=only_icann).publicsuffix(stranger) in {name, stranger}


@lru_cache(maxsize=1)
def _read_whole_list() -> PublicSuffixList:
    return PublicSuffixList()


def registrable(host: str) -> str:
    """Return the registrable domain of `host`; `host` itself if it has none.

    The last label of a name that is not listed counts as a suffix, as in browsers: app.localhost
    and api.localhost are two sites. IP addresses are sites of their own.
    https://url.spec.whatwg.org/#host-registrable-domain
    """
    if host.replace(".", "").isdecimal():
        return host
    return _read_whole_list().privatesuffix(host) or host
