"""Renders an explanation as text for a terminal, with ticks, crosses and colours."""

from collections.abc import Iterator, Sequence
from typing import Final

from corsproxy.explain.explain import Explanation, State
from corsproxy.explain.predict import PredictedResponse
from corsproxy.policy.printable import printable, printable_ascii

_MARKS: Final[dict[State, str]] = {"ok": "✓", "failed": "✗", "skipped": "-"}
_COLOURS: Final[dict[State, str]] = {"ok": "32", "failed": "31", "skipped": "2"}
_BROWSERS: Final = {"chromium": "Chromium", "firefox": "Firefox", "safari": "Safari"}
_LONGEST_VALUE: Final = 512


def render(explanation: Explanation, *, color: bool, excerpt: Sequence[str] = ()) -> str:
    """Render `explanation` as text that ends in a newline; `color` adds ANSI colours.

    `excerpt` are lines of the configuration around the setting that decided.
    """
    return "\n".join(_lines(explanation, excerpt, color=color)) + "\n"


def _lines(explanation: Explanation, excerpt: Sequence[str], *, color: bool) -> Iterator[str]:
    state: State = "ok" if explanation.works else "failed"
    title = f"{_MARKS[state]} {printable(explanation.request)} {_outcome(explanation)}"
    yield _paint(title, "1;" + _COLOURS[state], color=color)
    yield ""
    width = max(len(step.name) for step in explanation.steps)
    for step in explanation.steps:
        where = f"  ({printable(str(step.pos))})" if step.pos else ""
        mark = _paint(_MARKS[step.state], _COLOURS[step.state], color=color)
        yield f"  {mark} {step.name:<{width}}  {printable(step.words)}{where}"
    yield ""
    yield from _verdict(explanation, excerpt)
    for response in explanation.responses:
        yield ""
        yield from _response(response)
    for browser, printed in explanation.consoles.items():
        if printed:
            yield ""
            yield f"{_BROWSERS[browser]} prints:"
            yield from (f"  {printable(line)}" for line in printed)
    yield from _change(explanation)
    for note in explanation.notes:
        yield ""
        yield f"Note: {printable(note)}"


def _outcome(explanation: Explanation) -> str:
    under = f" under the policy {explanation.policy}" if explanation.policy else ""
    if explanation.works:
        return f"works{under}"
    return f"is blocked{under}" if any(explanation.consoles.values()) else "fails"


def _verdict(explanation: Explanation, excerpt: Sequence[str]) -> Iterator[str]:
    code = f" ({explanation.reason})" if explanation.reason else ""
    where = f", decided at {printable(str(explanation.pos))}" if explanation.pos else ""
    yield f"{explanation.verdict}: {printable(explanation.words)}{code}{where}"
    yield from (f"  {printable(line)}" for line in excerpt)
    if not explanation.works:
        yield f"To do: {printable(explanation.fix)}"


def _response(response: PredictedResponse) -> Iterator[str]:
    if response.status:
        yield f"The response to the {response.to} has status {response.status} and these headers:"
    else:
        yield f"The {response.to} is forwarded; these headers are added to the upstream's response:"
    yield from (
        f"  {printable_ascii(name)}: {printable_ascii(value, _LONGEST_VALUE)}"
        for name, value in response.fields
    )
    if not response.fields:
        yield "  (none)"


def _change(explanation: Explanation) -> Iterator[str]:
    change = explanation.change
    if change is None:
        return
    where = f" ({printable(str(change.pos))})" if change.pos else ""
    target = f"the route {change.policy}" if change.is_new else f"the policy {change.policy}{where}"
    yield ""
    yield f"The smallest change that would allow it, in {target}:"
    yield from (f"  {printable(line)}" for line in change.yaml().splitlines())


def _paint(text: str, code: str, *, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
