"""Compares each measurement with the bound that a rule sets."""

from typing import Final, NamedTuple

from bench.attacks.waits import Waits

HELD: Final = "held"
BROKEN: Final = "broken"
NOT_RUN: Final = "not run"

# MB that a worker under attack may have above idle (F7).
_MORE_MEMORY: Final = 30.0
# How many times slower others may become (S9), and the seconds below which the load of the machine
# dominates.
_SLOWER: Final = 2.0
_NOISE: Final = 0.5


class Claim(NamedTuple):
    """One figure of an attack and its bound. `held` is None if it could not be measured here."""

    measured: str
    bound: str
    held: bool | None

    @property
    def verdict(self) -> str:
        """The last column of the table."""
        if self.held is None:
            return NOT_RUN
        return HELD if self.held else BROKEN


def verdict_of(claims: list[Claim]) -> str:
    """Return the verdict of a whole attack: broken if one bound is, held only if all are."""
    verdicts = {claim.verdict for claim in claims}
    for verdict in (BROKEN, NOT_RUN):
        if verdict in verdicts:
            return verdict
    return HELD if claims else NOT_RUN


def memory(megabytes: float, *, within: float = _MORE_MEMORY, what: str = "memory") -> Claim:
    """Claim that the worker's memory grows by at most `within` MB from that at rest."""
    return Claim(f"{what} {megabytes:+.0f} MB", f"at most +{within:.0f} MB", megabytes <= within)


def none_of(count: int, total: int, what: str) -> Claim:
    """Claim that `count` of `total` tries is 0; `what` names the damage."""
    return Claim(f"{count} of {total} {what}", "none", count == 0)


def at_most(count: int, most: int, what: str) -> Claim:
    """Claim that `count` is at most `most`."""
    return Claim(f"{count} {what}", f"at most {most}", count <= most)


def at_least(count: int, least: int, what: str) -> Claim:
    """Claim that `count` is at least `least`."""
    return Claim(f"{count} {what}", f"at least {least}", count >= least)


def all_of(count: int, total: int, what: str) -> Claim:
    """Claim that `count` is `total`; `what` names the successes."""
    return Claim(f"{count} of {total} {what}", "all", count == total)


def within(seconds: float, most: float, what: str) -> Claim:
    """Claim that something took at most `most` seconds."""
    return Claim(f"{what} {seconds:.2f} s", f"at most {most:g} s", seconds <= most)


def undisturbed(who: str, during: Waits, quiet: Waits) -> Claim:
    """Claim that `who` was always served `during` the attack, nearly as fast as without it."""
    most = max(_SLOWER * quiet.p99, _NOISE)
    measured = f"{who}: p99 {during.p99:.2f} s, longest {during.longest:.2f} s"
    if during.failures:
        measured += f", {during.failed} of {during.asked} failed ({during.why_failed})"
    return Claim(
        f"{measured}; quiet: p99 {quiet.p99:.3f} s",
        f"p99 at most twice that or {_NOISE} s, none fails",
        not during.failures and bool(during.seconds) and during.p99 <= most,
    )


def not_run(why: str) -> Claim:
    """Report why an attack could not be run here."""
    return Claim(f"not run: {why}", "", None)


def no_such_key(key: str) -> Claim:
    """Report that the version under attack lacks a key that a rule requires."""
    return Claim(f"this version has no {key}", f"{key} exists", held=False)
