"""An explanation as text for a terminal. Knows ticks, crosses and colours, no rule."""

from collections.abc import Iterator
from typing import Final

from corsproxy.policy.explain import Explanation, State
from corsproxy.policy.outlook import Answer
from corsproxy.policy.reasons import show

_MARKS: Final[dict[State, str]] = {"ok": "✓", "failed": "✗", "skipped": "-"}
_COLOURS: Final[dict[State, str]] = {"ok": "32", "failed": "31", "skipped": "2"}
_BROWSERS: Final = {"chromium": "Chromium", "firefox": "Firefox", "safari": "Safari"}
_LONGEST_VALUE: Final = 512


def render(explanation: Explanation, *, color: bool) -> str:
    """Return `explanation` as text that ends in a newline; `color` adds ANSI colours."""
    return "\n".join(_lines(explanation, color=color)) + "\n"


def _lines(explanation: Explanation, *, color: bool) -> Iterator[str]:
    state: State = "ok" if explanation.works else "failed"
    outcome = "works" if explanation.works else "is blocked"
    under = f" under the policy {explanation.policy}" if explanation.policy else ""
    title = f"{_MARKS[state]} {_clean(explanation.request)} {outcome}{under}"
    yield _paint(title, "1;" + _COLOURS[state], color=color)
    yield ""
    width = max(len(step.name) for step in explanation.steps)
    for step in explanation.steps:
        where = f"  ({step.place})" if step.place else ""
        mark = _paint(_MARKS[step.state], _COLOURS[step.state], color=color)
        yield f"  {mark} {step.name:<{width}}  {_clean(step.words)}{where}"
    yield ""
    yield from _verdict(explanation)
    for answer in explanation.answers:
        yield ""
        yield from _answer(answer)
    for browser, printed in explanation.consoles.items():
        if printed:
            yield ""
            yield f"{_BROWSERS[browser]} prints:"
            yield from (f"  {_clean(line)}" for line in printed)
    yield from _change(explanation)
    for note in explanation.notes:
        yield ""
        yield f"Note: {_clean(note)}"


def _verdict(explanation: Explanation) -> Iterator[str]:
    where = f", decided at {explanation.place}" if explanation.place else ""
    yield f"{explanation.verdict}: {explanation.words} ({explanation.reason}){where}"
    if not explanation.works:
        yield f"To do: {explanation.fix}"


def _answer(answer: Answer) -> Iterator[str]:
    status = str(answer.status) if answer.status else "as the upstream says"
    yield f"The {answer.to} is answered with status {status} and these headers:"
    yield from (f"  {show(name)}: {show(value, _LONGEST_VALUE)}" for name, value in answer.fields)
    if not answer.fields:
        yield "  (none)"


def _change(explanation: Explanation) -> Iterator[str]:
    change = explanation.change
    if change is None:
        return
    where = f" ({change.place})" if change.place else ""
    yield ""
    yield f"The smallest change that would allow it, in the policy {change.policy}{where}:"
    yield from (f"  {line}" for line in change.yaml().splitlines())


def _paint(text: str, code: str, *, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def _clean(text: str) -> str:
    """Return `text` without control characters: a terminal must not obey a client (cors.md 69)."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
