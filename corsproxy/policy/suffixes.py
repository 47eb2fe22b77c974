"""Looks up names in the Public Suffix List (https://publicsuffix.org).

The list ships with `publicsuffixlist` and is read from disk once, on first use.
"""

from functools import lru_cache

from publicsuffixlist import PublicSuffixList

# A label that no exception of the list names, so that wildcard rules such as *.ck apply to it.
_STRANGER = "some-stranger"


@lru_cache(maxsize=2)
def _read_list(*, only_icann: bool) -> PublicSuffixList:
    # Unlisted names (internal, localhost) are not public suffixes here (cors.md 24).
    return PublicSuffixList(accept_unknown=False, only_icann=only_icann)


def is_open_to_strangers(parent: str) -> bool:
    """Whether anyone can register a name directly under `parent` (com, github.io, vercel.app)."""
    return _is_suffix(parent, only_icann=False)


def is_registry(parent: str) -> bool:
    """Whether `parent` is the suffix of a domain registry (com, co.uk), not of a company (github.io)."""
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

    The last label of an unlisted name is a suffix, as in browsers: app.localhost and api.localhost
    are two sites. Each IP address is its own site.
    https://url.spec.whatwg.org/#host-registrable-domain
    """
    if host.replace(".", "").isdecimal():
        return host
    return _read_whole_list().privatesuffix(host) or host
