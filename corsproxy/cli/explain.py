"""`corsproxy explain`: parses its arguments, sends live requests and prints the explanation."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

import click

from corsproxy.cli.explanation import render
from corsproxy.cli.files import DEFAULT_FILES, config_option, default_file
from corsproxy.cli.http_probe import NoResponse, fetch_head
from corsproxy.cli.terminal import say, say_json, say_verbatim
from corsproxy.config.load import Loaded, load
from corsproxy.config.problems.format import excerpt, format_problems
from corsproxy.config.yaml.nodes import width_at
from corsproxy.explain.explain import Explanation
from corsproxy.explain.fetch_algorithm import PageRequest
from corsproxy.explain.probe import LiveResponse, explain_responses, live_requests
from corsproxy.explain.request import explain_request
from corsproxy.policy.compiled import CompiledConfig
from corsproxy.policy.fields import Field
from corsproxy.policy.printable import printable, printable_ascii
from corsproxy.policy.source import SourcePos
from corsproxy.policy.tokens import is_token
from corsproxy.policy.urls import read_url

EXIT_REFUSED: Final = 1
EXIT_CANNOT: Final = 3


@click.command()
@click.argument("method", metavar="METHOD")
@click.argument("url", metavar="URL")
@config_option
@click.option(
    "--origin",
    required=True,
    show_envvar=True,
    metavar="ORIGIN",
    help="The origin of the page, e.g. https://app.example.com.",
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    envvar="CORSPROXY_EXPLAIN_HEADER",
    show_envvar=True,
    metavar="NAME[: VALUE]",
    help="A header that the page's script sets, e.g. -H 'Content-Type: application/json'. Can be"
    " repeated.",
)
@click.option(
    "--credentials",
    is_flag=True,
    show_envvar=True,
    help='The page sends cookies, with credentials: "include" or withCredentials.',
)
@click.option(
    "--live",
    is_flag=True,
    show_envvar=True,
    help="Send the requests to the URL, whatever serves it, and check its responses; with -c, compare"
    " them with the file.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    envvar="CORSPROXY_EXPLAIN_JSON",
    show_envvar=True,
    help="Print the explanation as JSON.",
)
@click.option(
    "--exit-code",
    is_flag=True,
    show_envvar=True,
    help="Exit with 1 if the request does not work.",
)
def explain(  # noqa: PLR0913 - click passes each option by its name
    *,
    method: str,
    url: str,
    config_file: Path | None,
    origin: str,
    headers: tuple[str, ...],
    credentials: bool,
    live: bool,
    as_json: bool,
    exit_code: bool,
) -> None:
    """Explain why a page's request works or is blocked, and what would allow it.

    Sends nothing without --live. With it, sends to the URL what a browser would: first a preflight if
    one is needed, then the request itself if it is GET, HEAD or OPTIONS.

    \b
    Examples:
      corsproxy explain PUT https://api.example.com/orders/7 --origin https://app.example.com
      corsproxy explain POST http://localhost:8080/ --origin http://localhost:3000 \\
        -H 'Content-Type: application/json' --credentials
      corsproxy explain GET https://api.example.com/ --origin https://app.example.com --live

    Exit code 0: explained; 1: the request does not work (with --exit-code); 2: wrong usage; 3: the file
    is missing or has errors, or the server did not respond.
    """  # noqa: D301 - \b is click's, not a typo
    page_request = _page_request(method, url, origin, headers, credentials=credentials)
    print_explanation = _print_live if live else _print_by_file
    explanation = print_explanation(page_request, config_file, as_json=as_json)
    if exit_code and not explanation.works:
        sys.exit(EXIT_REFUSED)


class _File(NamedTuple):
    """A configuration without errors."""

    path: Path
    config: CompiledConfig
    loaded: Loaded


def _page_request(
    method: str, url: str, origin: str, headers: tuple[str, ...], *, credentials: bool
) -> PageRequest:
    """Build the page's request. Raises UsageError if no browser could send it."""
    if not is_token(method.encode()):
        raise click.UsageError(
            f"METHOD {method!r} is not a valid method: write one word, such as PUT"
        )
    try:
        address = read_url(url)
    except ValueError as error:
        raise click.UsageError(f"URL {error}") from None
    if not origin.strip() or not origin.isprintable():
        raise click.UsageError(
            f"--origin {origin!r} is not a valid origin: write that of the page, such as "
            "https://app.example.com, or null"
        )
    fields = tuple(_field(header) for header in headers)
    return PageRequest(method.encode(), str(address), origin.strip().encode(), fields, credentials)


def _field(text: str) -> Field:
    name, _, value = text.partition(":")
    if not is_token(name.encode()) or not value.replace("\t", " ").isprintable():
        raise click.UsageError(
            f"--header {text!r} is not a valid header: write NAME, or 'NAME: VALUE', on one line"
        )
    return name.encode(), value.strip().encode()


def _load(named: Path | None) -> _File:
    """Load the file; if it has errors, print its problems and exit. `check` prints warnings."""
    path = named or default_file()
    if path is None:
        looked = " and ".join(map(str, DEFAULT_FILES))
        raise click.UsageError(
            f"no configuration file: pass one with -c FILE (looked for {looked}), or use --live to "
            "send the request to the URL"
        )
    loaded = load(path, os.environ)
    if loaded.config is None:
        say(format_problems(loaded.problems, "full"), err=True, nl=False)
        raise SystemExit(EXIT_CANNOT)
    return _File(path, loaded.config, loaded)


def _print_by_file(page_request: PageRequest, named: Path | None, *, as_json: bool) -> Explanation:
    file = _load(named)
    explanation = explain_request(file.config, page_request)
    if as_json:
        say_json(explanation.as_json())
    else:
        say_verbatim(_text(explanation, file))
    return explanation


def _print_live(page_request: PageRequest, named: Path | None, *, as_json: bool) -> Explanation:
    """Explain the URL's responses; if a file is named, compare them with what it leads to."""
    file = None if named is None else _load(named)
    by_file = explain_request(file.config, page_request) if file else None
    explanation = _explain_live(page_request)
    if as_json:
        document = explanation.as_json()
        if by_file is not None:
            document["by_file"] = by_file.as_json()
        say_json(document)
    else:
        say_verbatim(_text(explanation, None))
        if file is not None and by_file is not None:
            say_verbatim(_comparison(explanation, by_file, file))
    return explanation


def _explain_live(page_request: PageRequest) -> Explanation:
    """Send to the URL what a browser would, and explain the responses."""
    if not page_request.url.startswith("http"):
        raise click.UsageError("--live supports only http and https: leave it out for a WebSocket")
    preflight, request = live_requests(page_request)
    if preflight is None and request is None:
        raise click.UsageError(
            f"--live does not send this {printable_ascii(page_request.method)}: it could change "
            "something, and a browser sends no preflight before it; add the headers that your page "
            "sets with -H, such as 'Content-Type: application/json', or explain it from a file"
        )

    async def exchange() -> tuple[LiveResponse | None, LiveResponse | None]:
        first = await fetch_head(preflight) if preflight else None
        if request is None or not explain_responses(page_request, first, None).works:
            return first, None  # a browser would not send it either
        return first, await fetch_head(request)

    try:
        return explain_responses(page_request, *asyncio.run(exchange()))
    except NoResponse as error:
        say(f"corsproxy: {error}", err=True)
        raise SystemExit(EXIT_CANNOT) from None


def _text(explanation: Explanation, file: _File | None) -> str:
    shown = _excerpt(file.loaded, explanation.pos) if file and explanation.pos else []
    return render(explanation, color=_may_colour(), excerpt=shown)


def _comparison(explanation: Explanation, by_file: Explanation, file: _File) -> str:
    """Render what the file leads to for the same request, and whether that is the same."""
    same = explanation.works == by_file.works
    result = "the same result" if same else "another result"
    title = f"\n{printable(str(file.path))} leads to {result}:\n\n"
    advice = (
        "" if same else "\nIs the server at the URL corsproxy, and does it run with this file?\n"
    )
    return f"{title}{_text(by_file, file)}{advice}"


def _excerpt(loaded: Loaded, pos: SourcePos) -> list[str]:
    lines = loaded.text.splitlines()
    if loaded.document is None or pos.line > len(lines):
        return []
    width = width_at(loaded.document.root, pos.line, pos.column)
    return excerpt(pos, lines[pos.line - 1], width)


def _may_colour() -> bool:
    """Return whether standard output is a terminal and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
