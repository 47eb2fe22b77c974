"""What three proxies made of one stream, compared; and why an oracle may refuse what we forward.

Compared request by request, up to the first that one of the three did not forward: from there on a
stream has no agreed borders any more.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tests.differential.oracles import HAPROXY, NGINX, OURS
from tests.differential.reading import Seen

NAMES: Final = (OURS, NGINX, HAPROXY)

_ABSOLUTE: Final = re.compile(rb"(?i)https?://[^/?#]*(.*)")


class Reason(NamedTuple):
    """Why an oracle may refuse a request that we forward."""

    oracle: str
    words: str
    applies: Callable[[bytes, Seen], bool]


REASONS: Final = (
    Reason(
        NGINX,
        "a method that is not in capitals (we: any token, H5)",
        lambda _, seen: re.fullmatch(rb"[A-Z_-]+", seen.method) is None,
    ),
    Reason(
        NGINX,
        "percent-encodings it cannot decode, %00 among them (we: any bytes, H5)",
        lambda _, seen: re.search(rb"%(?![0-9A-Fa-f]{2})|%00", _path_of(seen)) is not None,
    ),
    Reason(
        NGINX,
        "dot segments that leave the root (we, under `ambiguous_paths: forward`: any path, H1)",
        lambda _, seen: b".." in _path_of(seen),
    ),
    Reason(
        NGINX,
        "a tab around a value of Host or Content-Length (we: white space, RFC 9110 5.6.3)",
        lambda stream, _: re.search(rb":[ \t]*\t|\t[ \t]*\r\n", stream) is not None,
    ),
    Reason(
        NGINX,
        "an empty label in Host (we: what RFC 3986 calls a name, S5)",
        lambda stream, _: re.search(rb"(?i)host:[^\r\n]*(?:\.\.|[ \t:]\.)", stream) is not None,
    ),
    Reason(
        NGINX,
        "`OPTIONS *` (we answer it ourselves and go on, H4)",
        lambda stream, _: b"OPTIONS * HTTP/1." in stream,
    ),
    Reason(HAPROXY, "the method PRI (we: any token, H5)", lambda _, seen: seen.method == b"PRI"),
    Reason(
        HAPROXY,
        "GET, HEAD or DELETE with a body on HTTP/1.0 (we: bodies of any method, H11)",
        lambda stream, seen: b" HTTP/1.0" in stream and seen.framing != "none",
    ),
)


def _path_of(seen: Seen) -> bytes:
    return seen.target.partition(b"?")[0]


class Verdict(NamedTuple):
    """The outcome of one request: who forwarded it; `faults` says what must not be."""

    forwarded: tuple[bool, ...]
    faults: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()


def verdicts(stream: bytes, made: Sequence[Sequence[Seen]]) -> list[Verdict]:
    """Compare what each of NAMES made of `stream`, request by request."""
    known = [[_plain(seen) for seen in one if not _is_for_the_proxy(seen)] for one in made]
    found: list[Verdict] = []
    for number in range(max(map(len, known)) + 1):
        at = [one[number] if number < len(one) else None for one in known]
        if number and at == [None] * len(at) and _is_whole(known):
            break
        found.append(_judge(stream, at))
        if None in at:
            break
    return found


def _is_whole(made: list[list[Seen]]) -> bool:
    """Return whether all forwarded the sentinel, with which a stream ends."""
    return all(one[-1].target == b"/sentinel" for one in made)


def _judge(stream: bytes, made: list[Seen | None]) -> Verdict:
    ours = made[0]
    forwarded = tuple(one is not None for one in made)
    if ours is None:
        return Verdict(forwarded)
    faults, reasons = [], []
    for name, theirs in zip(NAMES[1:], made[1:], strict=True):
        if theirs is not None:
            if not _are_alike(name, ours, theirs):
                faults.append(f"we forward {ours}, {name} {theirs}")
            continue
        why = [one for one in REASONS if one.oracle == name and one.applies(stream, ours)]
        reasons += why
        if not why:
            faults.append(f"{name} refuses {ours}, which we forward, for no reason that is listed")
    return Verdict(forwarded, tuple(faults), tuple(reasons))


def _plain(seen: Seen) -> Seen:
    """Return `seen` with its target in origin-form: some forward the absolute form as it is."""
    absolute = _ABSOLUTE.fullmatch(seen.target)
    if absolute is None:
        return seen
    rest = absolute[1]
    return seen._replace(target=rest if rest.startswith(b"/") else b"/" + rest)


def _is_for_the_proxy(seen: Seen) -> bool:
    return seen.method == b"OPTIONS" and seen.target == b"*"  # H4: we respond to it ourselves


def _are_alike(oracle: str, ours: Seen, theirs: Seen) -> bool:
    if oracle == NGINX and (ours.framing, theirs.framing) == ("chunked", "length"):
        # It writes a length where the chunks had all come with the head.
        ours = ours._replace(framing="length")
    return ours == theirs


def table(rows: Counter[tuple[bool, ...]], yes: str, no: str) -> str:
    """Return the counts of each combination of verdicts, as a table of Markdown."""
    lines = [f"| {' | '.join(NAMES)} | count |", "|---|---|---|---:|"]
    for combination, count in rows.most_common():
        words = " | ".join(yes if one else no for one in combination)
        lines.append(f"| {words} | {count} |")
    return "\n".join(lines)
