"""Request paths as bytes: which are ambiguous, and how prefixes change. Knows no hosts, no queries' meaning.

Nothing is decoded or normalised: what was matched is what is forwarded (cors.md 71).
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from corsproxy.policy.findings import Finding, Words, find
from corsproxy.policy.place import Term

# A dot segment in any spelling, up to a separator in any spelling, the end, or a parameter; or NUL.
# Each alternative is of bounded length, so the search is linear in the path.
_AMBIGUOUS: Final = re.compile(
    rb"(?:\A|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:\Z|[/\\;]|%2f|%5c)|%00",
    re.IGNORECASE,
)

# What may stand in a path (RFC 3986 3.3), empty segments included; a prefix is nothing else.
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")


def is_ambiguous(path: bytes) -> bool:
    """Tell whether servers disagree on what `path` names (forwarding.md H1).

    True for a segment `.` or `..`, its dots and the separators around it in any percent spelling,
    parameters (`..;x`) left aside, and for `%00`. `%2F` and `//` alone are not ambiguous.
    """
    if b"." not in path and b"%" not in path:
        return False
    return _AMBIGUOUS.search(path) is not None


class PathTerms(NamedTuple):
    """A route's `path`: prefixes as a user wrote them. `replace_prefix` stands alone."""

    strip_prefix: Term | None = None
    add_prefix: Term | None = None
    replace_prefix: Term | None = None


class PathMapping(NamedTuple):
    """A prefix change, both ways. Prefixes are whole segments without a "/" at the end."""

    strip: bytes = b""
    add: bytes = b""

    def to_upstream(self, target: bytes) -> bytes:
        """Return the origin-form `target`, query included, as the upstream shall see it.

        The prefix to strip goes where it is there; the other is added in any case. All else stays
        byte for byte (H1).
        """
        swapped = _swap(target, self.strip, self.add)
        return self.add + target if swapped is None else swapped

    def stripped(self, target: bytes) -> bytes:
        """Return the prefix that `to_upstream` takes off `target`, b"" for none."""
        return self.strip if self.strip and _swap(target, self.strip, b"") is not None else b""

    def to_public(self, target: bytes) -> bytes:
        """Return a path of the upstream as clients know it (cors.md 58).

        A path that is not below the added prefix has no name behind this route; it stays as it is,
        since another route may serve it.
        """
        swapped = _swap(target, self.add, self.strip)
        return target if swapped is None else swapped


UNCHANGED: Final = PathMapping()


def _swap(target: bytes, old: bytes, new: bytes) -> bytes | None:
    if not target.startswith(old):
        return None
    rest = target[len(old) :]
    if rest[:1] not in {b"", b"/", b"?", b"#"}:
        return None
    return new + rest if new or rest[:1] == b"/" else b"/" + rest


WORDS: Final[dict[str, Words]] = {
    "path_prefix_invalid": Words(
        "error",
        '"{value}" is no path prefix: {detail}',
        "write it as it stands in a request, such as /api",
    ),
    "path_prefix_twice": Words(
        "error",
        "replace_prefix {value} cannot stand beside strip_prefix or add_prefix",
        "keep replace_prefix alone, or strip_prefix and add_prefix",
    ),
    "path_replace_unclear": Words(
        "error",
        "replace_prefix {value} needs the one prefix to replace: {detail}",
        "give match.path one prefix, ending in /, or use strip_prefix and add_prefix",
    ),
    "path_strip_never": Words(
        "warning",
        "strip_prefix {value} strips nothing: no path of this route begins with it ({detail})",
        "write the prefix that match.path has",
    ),
}


def compile_path(terms: PathTerms, paths: Sequence[str]) -> PathMapping:
    """Compile the `path` of a route that matches `paths`.

    Raises ValueError with the first error `check_path` has.
    """
    for finding in check_path(terms, paths):
        if finding.severity == "error":
            raise ValueError(str(finding))
    if terms.replace_prefix is not None:
        return PathMapping(_bare(paths[0]), _bare(terms.replace_prefix.text))
    strip, add = terms.strip_prefix, terms.add_prefix
    return PathMapping(_bare(strip.text) if strip else b"", _bare(add.text) if add else b"")


def check_path(terms: PathTerms, paths: Sequence[str]) -> list[Finding]:
    """Return all that is wrong with the `path` of a route that matches `paths`."""
    findings = [
        find(WORDS, "path_prefix_invalid", term.text, term.place, fault)
        for term in terms
        if term is not None and (fault := _fault(term.text))
    ]
    strip, replace = terms.strip_prefix, terms.replace_prefix
    if replace is not None:
        if strip is not None or terms.add_prefix is not None:
            findings.append(find(WORDS, "path_prefix_twice", replace.text, replace.place))
        if len(paths) != 1 or not paths[0].endswith("/"):
            detail = f"match.path is {', '.join(paths) or 'any path'}"
            findings.append(
                find(WORDS, "path_replace_unclear", replace.text, replace.place, detail),
            )
    if strip is not None and not _fault(strip.text) and not _overlaps(strip.text, paths or ("/",)):
        findings.append(
            find(WORDS, "path_strip_never", strip.text, strip.place, ", ".join(paths)),
        )
    return findings


def _bare(prefix: str) -> bytes:
    return prefix.encode().rstrip(b"/")


def _overlaps(prefix: str, paths: Sequence[str]) -> bool:
    """Tell whether some request that `paths` match begins with the segments of `prefix`."""
    segments = prefix.rstrip("/") + "/"
    return any(
        (path.rstrip("/") + "/").startswith(segments)
        or (path.endswith("/") and segments.startswith(path))
        for path in paths
    )


def _fault(prefix: str) -> str:
    """Say why `prefix` is none, in words that end a sentence; "" if it is one."""
    if not prefix.startswith("/"):
        return "it does not begin with /"
    if "?" in prefix or "#" in prefix:
        return "a prefix has no query and no fragment"
    if not _PATH.fullmatch(prefix):
        return "it holds what a request writes percent-encoded"
    if is_ambiguous(prefix.encode()):
        return "it holds a dot segment or NUL"
    return ""
