"""Attacks the running product as a hostile client or upstream would, and prints the results.

    python -m bench.attacks --only 1,2-big --markdown

Everything is on the loopback and bounded in count and time. Exits with 1 if a bound was broken.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from subprocess import SubprocessError
from typing import Final

from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, verdict_of
from bench.attacks.product import HERE, Checkout, DidNotStart, Scene, WrongCode
from bench.attacks.suite import SUITE, chosen
from bench.attacks.table import Results, as_markdown, as_text, passed, summary
from bench.load import LoadError

# Seconds for an attack, including the start, a quiet period and late responses.
_LIMIT: Final = 60.0
_FAILURES: Final = (DidNotStart, LoadError, SubprocessError, OSError, EOFError, TimeoutError)


async def attempt(attack: Attack, checkout: Checkout) -> list[Claim]:
    """Run one attack in its own folder; one that does not end counts as a broken claim."""
    with tempfile.TemporaryDirectory(prefix="corsproxy-attack-") as folder:
        try:
            async with asyncio.timeout(_LIMIT):
                return await attack.run(Scene(checkout, Path(folder)))
        except _FAILURES as failure:
            lines = (str(failure) or type(failure).__name__).split("\n")
            return [Claim(f"did not end: {lines[0]}", "ends", held=False)]


def _run(attacks: list[Attack], checkout: Checkout) -> Results:
    results: Results = []
    for attack in attacks:
        claims = asyncio.run(attempt(attack, checkout))
        results.append((attack, claims))
        print(f"{verdict_of(claims):8} {attack.name}: {attack.title}", file=sys.stderr, flush=True)
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = ", ".join(attack.name for attack in SUITE)
    parser.add_argument(
        "--only",
        default="",
        metavar="NAMES",
        help=f"names or numbers, separated by commas; default: all of {names}",
    )
    parser.add_argument(
        "--against",
        type=Path,
        default=HERE,
        metavar="CHECKOUT",
        help="another folder with the product's code; default: the one of this program",
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser.parse_args()


def main() -> None:
    """Run the attacks named on the command line."""
    given = _arguments()
    checkout = Checkout(given.against.resolve())
    try:
        attacks = chosen(given.only.split(",") if given.only else [])
        checkout.check()
        results = _run(attacks, checkout)
    except KeyError as name:
        raise SystemExit(f"attacks: unknown attack {name}; --help lists them") from name
    except WrongCode as wrong:
        raise SystemExit(f"attacks: {wrong}") from wrong
    print(as_markdown(results) if given.markdown else as_text(results))
    print(summary(results), file=sys.stderr)
    raise SystemExit(0 if passed(results) else 1)


if __name__ == "__main__":
    main()
