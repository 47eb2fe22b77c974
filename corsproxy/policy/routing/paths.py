"""Request paths as bytes: which are ambiguous, and how prefixes change. Knows no hosts, no queries' meaning.

What is forwarded is never decoded or normalised. Only to compare paths, percent-encoded unreserved
characters count as what they encode, and the hex digits of all others are in upper case (cors.md 71;
RFC 3986 6.2.2.1, 6.2.2.2).
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from corsproxy.policy.problems import Problem, ProblemKind, Report, by_slug, ignore, require_sound
from corsproxy.policy.source import SourceText

# Bytes that most paths do not hold. As numbers, since bytes are looked for ten times as slowly.
DOT: Final = 0x2E
PERCENT: Final = 0x25

# A dot segment in any spelling, up to a separator in any spelling, the end, or a parameter; or NUL.
# Each alternative is of bounded length, so the search is linear in the path.
_AMBIGUOUS: Final = re.compile(
    rb"(?:\A|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:\Z|[/\\;]|%2f|%5c|%3b)|%00",
    re.IGNORECASE,
)

# RFC 3986 2.3. None of them parts a path, so that decoding them never moves a segment's end.
_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
# The two digits behind a "%", in each of their spellings, to what stands for the three when paths
# are compared: the character itself if it is unreserved, else the escape in upper case.
_COMPARED: Final[dict[bytes, bytes]] = {
    spelled.encode(): bytes((byte,)) if byte in _UNRESERVED else b"%%%02X" % byte
    for byte in range(256)
    for high in {f"{byte:02x}"[0], f"{byte:02X}"[0]}
    for low in {f"{byte:02x}"[1], f"{byte:02X}"[1]}
    for spelled in [high + low]
}

_PATH_END: Final = re.compile(rb"[?#]")
# What may stand in a path (RFC 3986 3.3), empty segments included; a prefix is nothing else.
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")


def is_ambiguous(path: bytes) -> bool:
    """Tell whether servers disagree on what `path` names (forwarding.md H1).

    True for a segment `.` or `..`, its dots and the separators around it in any percent spelling,
    parameters (`..;x`, `..%3bx`) left aside, and for `%00`. `%2F` and `//` alone are not ambiguous.
    """
    if DOT not in path and PERCENT not in path:
        return False
    return _AMBIGUOUS.search(path) is not None


def as_compared(path: bytes) -> bytes:
    """Return `path` as routes compare it: unreserved characters decoded, hex digits in upper case.

    `/%61dmin` is `/admin` to every server (RFC 3986 6.2.2.2), and `%2f` is `%2F` (6.2.2.1), so a
    route for the one takes the other too (forwarding.md H1). One pass: `%2561` stays what it is,
    `%2F` never becomes a "/", and what is not an escape (`%2`, `%zz`) is left alone.
    """
    if PERCENT not in path:
        return path
    first, *pieces = path.split(b"%")
    compared = [first]
    for piece in pieces:
        known = _COMPARED.get(piece[:2])
        compared += (b"%", piece) if known is None else (known, piece[2:])
    return b"".join(compared)


def as_compared_text(path: str) -> str:
    """Return what `as_compared` makes of a path that a user wrote, valid or not."""
    return as_compared(path.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


class PathSpec(NamedTuple):
    """A route's `path`: prefixes as a user wrote them. `replace_prefix` stands alone."""

    strip_prefix: SourceText | None = None
    add_prefix: SourceText | None = None
    replace_prefix: SourceText | None = None


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
    """Return `target` with `new` in place of its prefix `old`; None if it does not have it."""
    end = len(old) if target.startswith(old) else _end_of_prefix(target, old)
    rest = target[end:]
    if end < 0 or rest[:1] not in {b"", b"/", b"?", b"#"}:
        return None
    return new + rest if new or rest[:1] == b"/" else b"/" + rest


def _end_of_prefix(target: bytes, prefix: bytes) -> int:
    """Return where in `target` ends what is `prefix` in another spelling; -1 if nothing is.

    A prefix that matched has to be recognised when it is stripped, however it was spelled.
    """
    if PERCENT not in target and PERCENT not in prefix:
        return -1
    path = _PATH_END.split(target, 1)[0]
    count = prefix.count(b"/") + 1  # whole segments: an encoded "/" separates none
    spelled = b"/".join(path.split(b"/", count)[:count])
    return len(spelled) if as_compared(spelled) == as_compared(prefix) else -1


KINDS: Final = by_slug(
    ProblemKind(
        "E240",
        "path_prefix_invalid",
        '"{value}" is no path prefix: {detail}',
        "write it as it stands in a request, such as /api",
    ),
    ProblemKind(
        "E241",
        "path_prefix_twice",
        "replace_prefix {value} cannot stand beside strip_prefix or add_prefix",
        "keep replace_prefix alone, or strip_prefix and add_prefix",
    ),
    ProblemKind(
        "E242",
        "path_replace_unclear",
        "replace_prefix {value} needs the one prefix to replace: {detail}",
        "give match.path one prefix, ending in /, or use strip_prefix and add_prefix",
    ),
    ProblemKind(
        "W240",
        "path_strip_never",
        "strip_prefix {value} strips nothing: no path of this route begins with it ({detail})",
        "write the prefix that match.path has",
    ),
)


def compile_path(spec: PathSpec, paths: Sequence[str], report: Report = ignore) -> PathMapping:
    """Compile the `path` of a route that matches `paths`.

    Reports what `check_path` finds and raises `BadSpec` for an error.
    """
    require_sound(check_path(spec, paths), report)
    if spec.replace_prefix is not None:
        return PathMapping(_bare(paths[0]), _bare(spec.replace_prefix.text))
    strip, add = spec.strip_prefix, spec.add_prefix
    return PathMapping(_bare(strip.text) if strip else b"", _bare(add.text) if add else b"")


def check_path(spec: PathSpec, paths: Sequence[str]) -> list[Problem]:
    """Return all that is wrong with the `path` of a route that matches `paths`."""
    problems = [
        KINDS["path_prefix_invalid"].at(item.pos, value=item.text, detail=fault)
        for item in spec
        if item is not None and (fault := _fault(item.text))
    ]
    strip, replace = spec.strip_prefix, spec.replace_prefix
    if replace is not None:
        if strip is not None or spec.add_prefix is not None:
            problems.append(KINDS["path_prefix_twice"].at(replace.pos, value=replace.text))
        if len(paths) != 1 or not paths[0].endswith("/"):
            detail = f"match.path is {', '.join(paths) or 'any path'}"
            problems.append(
                KINDS["path_replace_unclear"].at(replace.pos, value=replace.text, detail=detail),
            )
    if strip is not None and not _fault(strip.text) and not _overlaps(strip.text, paths or ("/",)):
        problems.append(
            KINDS["path_strip_never"].at(strip.pos, value=strip.text, detail=", ".join(paths)),
        )
    return problems


def _bare(prefix: str) -> bytes:
    return prefix.encode().rstrip(b"/")


def _overlaps(prefix: str, paths: Sequence[str]) -> bool:
    """Tell whether some request that `paths` match begins with the segments of `prefix`."""
    segments = as_compared_text(prefix.rstrip("/") + "/")
    return any(
        (path.rstrip("/") + "/").startswith(segments)
        or (path.endswith("/") and segments.startswith(path))
        for path in map(as_compared_text, paths)
    )


def _fault(prefix: str) -> str:
    """Return why `prefix` is not valid, as the end of a message; "" if it is."""
    if not prefix.startswith("/"):
        return "it does not begin with /"
    if "?" in prefix or "#" in prefix:
        return "a prefix has no query and no fragment"
    if not _PATH.fullmatch(prefix):
        return "it holds what a request writes percent-encoded"
    if is_ambiguous(prefix.encode()):
        return "it holds a dot segment or NUL"
    return ""
