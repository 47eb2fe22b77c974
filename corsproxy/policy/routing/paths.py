"""Compares request paths, detects ambiguous ones and maps their prefixes, as bytes.

A path is never decoded or normalized before it is forwarded. Only for comparison, percent-encoded
unreserved characters are decoded, and the hex digits of other escapes are upper case (cors.md 71;
RFC 3986 6.2.2.1, 6.2.2.2).
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from corsproxy.policy.problems import Problem, ProblemKind, Report, by_slug, ignore, require_sound
from corsproxy.policy.source import SourceText

# Bytes that most paths do not contain. As integers: searching for a bytes object takes ten times as long.
DOT: Final = 0x2E
PERCENT: Final = 0x25

# A dot segment in any spelling, up to a separator in any spelling, the end, or a parameter; or NUL.
# Each alternative has bounded length, so the search is linear in the length of the path.
_AMBIGUOUS: Final = re.compile(
    rb"(?:\A|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:\Z|[/\\;]|%2f|%5c|%3b)|%00",
    re.IGNORECASE,
)

# RFC 3986 2.3. None of them is a separator, so decoding them never changes the segments.
_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
# The two hex digits of an escape, in each spelling, to what replaces the escape when paths are
# compared: the character if it is unreserved, else the escape with upper-case digits.
_COMPARED: Final[dict[bytes, bytes]] = {
    spelled.encode(): bytes((byte,)) if byte in _UNRESERVED else b"%%%02X" % byte
    for byte in range(256)
    for high in {f"{byte:02x}"[0], f"{byte:02X}"[0]}
    for low in {f"{byte:02x}"[1], f"{byte:02X}"[1]}
    for spelled in [high + low]
}

_PATH_END: Final = re.compile(rb"[?#]")
# A path (RFC 3986 3.3), empty segments included; prefixes have to match it.
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")


def is_ambiguous(path: bytes) -> bool:
    """Whether servers disagree on which resource `path` identifies (forwarding.md H1).

    True for a segment `.` or `..`, its dots and the separators around it in any percent spelling,
    whatever its parameters (`..;x`, `..%3bx`), and for `%00`. `%2F` and `//` alone are not ambiguous.
    """
    if DOT not in path and PERCENT not in path:
        return False
    return _AMBIGUOUS.search(path) is not None


def as_compared(path: bytes) -> bytes:
    """Return `path` as routes compare it: unreserved characters decoded, hex digits in upper case.

    `/%61dmin` is `/admin` to every server (RFC 3986 6.2.2.2), and `%2f` is `%2F` (6.2.2.1), so a
    route for one matches the other (forwarding.md H1). Tempting to decode everything, or until
    nothing changes: in one pass `%2561` stays, `%2F` never becomes a "/", and what is not an escape
    (`%2`, `%zz`) is kept.
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
    """Return a path that a user wrote, valid or not, as `as_compared` does."""
    return as_compared(path.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


class PathSpec(NamedTuple):
    """The `path` of a route as the user wrote it; `replace_prefix` excludes the other two."""

    strip_prefix: SourceText | None = None
    add_prefix: SourceText | None = None
    replace_prefix: SourceText | None = None


class PathMapping(NamedTuple):
    """A mapping of path prefixes, in both directions; they are whole segments without a trailing "/"."""

    strip: bytes = b""
    add: bytes = b""

    def to_upstream(self, target: bytes) -> bytes:
        """Map the origin-form `target`, with its query, to the upstream's path.

        The prefix `strip` is removed if the target has it; `add` is added in any case. All other
        bytes stay (forwarding.md H1).
        """
        swapped = _swap(target, self.strip, self.add)
        return self.add + target if swapped is None else swapped

    def stripped(self, target: bytes) -> bytes:
        """Return the prefix that `to_upstream` removes from `target`, b"" if none."""
        return self.strip if self.strip and _swap(target, self.strip, b"") is not None else b""

    def to_public(self, target: bytes) -> bytes:
        """Map a path of the upstream to the public one (cors.md 58).

        A path that is not below the added prefix cannot be reached through this route; it is kept,
        since another route may match it.
        """
        swapped = _swap(target, self.add, self.strip)
        return target if swapped is None else swapped


UNCHANGED: Final = PathMapping()


def _swap(target: bytes, old: bytes, new: bytes) -> bytes | None:
    """Return `target` with its prefix `old` replaced by `new`; None if it does not have it."""
    end = len(old) if target.startswith(old) else _end_of_prefix(target, old)
    rest = target[end:]
    if end < 0 or rest[:1] not in {b"", b"/", b"?", b"#"}:
        return None
    return new + rest if new or rest[:1] == b"/" else b"/" + rest


def _end_of_prefix(target: bytes, prefix: bytes) -> int:
    """Return where `prefix`, in another spelling, ends in `target`; -1 if it is not there.

    A route may have matched another spelling of its prefix, which has to be stripped as well.
    """
    if PERCENT not in target and PERCENT not in prefix:
        return -1
    path = _PATH_END.split(target, 1)[0]
    count = prefix.count(b"/") + 1  # whole segments: %2F is not a separator
    spelled = b"/".join(path.split(b"/", count)[:count])
    return len(spelled) if as_compared(spelled) == as_compared(prefix) else -1


KINDS: Final = by_slug(
    ProblemKind(
        "E240",
        "path_prefix_invalid",
        '"{value}" is not a valid path prefix: {detail}',
        "write it as it appears in a request, such as /api",
    ),
    ProblemKind(
        "E241",
        "path_prefix_twice",
        "replace_prefix {value} cannot be combined with strip_prefix or add_prefix",
        "keep either replace_prefix, or strip_prefix and add_prefix",
    ),
    ProblemKind(
        "E242",
        "path_replace_unclear",
        "replace_prefix {value} needs exactly one prefix to replace: {detail}",
        "give match.path one prefix that ends in /, or use strip_prefix and add_prefix",
    ),
    ProblemKind(
        "W240",
        "path_strip_never",
        "strip_prefix {value} has no effect: no path of this route starts with it ({detail})",
        "write the prefix of match.path",
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
    """Return all problems of the `path` of a route that matches `paths`."""
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
    """Whether a request path that `paths` match can begin with the segments of `prefix`."""
    segments = as_compared_text(prefix.rstrip("/") + "/")
    return any(
        (path.rstrip("/") + "/").startswith(segments)
        or (path.endswith("/") and segments.startswith(path))
        for path in map(as_compared_text, paths)
    )


def _fault(prefix: str) -> str:
    """Return why `prefix` is not a valid prefix, as the end of a message; "" if it is."""
    if not prefix.startswith("/"):
        return "it does not start with /"
    if "?" in prefix or "#" in prefix:
        return "a prefix has no query or fragment"
    if not _PATH.fullmatch(prefix):
        return "it contains a character that must be percent-encoded"
    if is_ambiguous(prefix.encode()):
        return "it contains a dot segment or NUL"
    return ""
