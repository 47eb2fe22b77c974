"""A fuzz test with everything that HTTP/1.1 allows: no byte may reach another request.

    python -m bench.isolation --seconds 300 --loop uvloop

Runs the product as a user does, with two workers, between an upstream that reads strictly and
clients that pipeline, leave, stall and upload while their responses arrive; reloads it with another
upstream, and kills a worker now and then. What is lost with a killed worker is counted separately, and
so are responses that shift because an upstream sends an unsolicited one, late: on HTTP/1.1 no
proxy can see that (S12), unless connections are never reused (--reuse-never).
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import uvloop

from bench.isolation.errands import Book
from bench.isolation.product import Product
from bench.isolation.strict import upstream
from bench.isolation.visits import slow_at_once, visit_on

_EVERY: Final = 5.0


async def fuzz(given: argparse.Namespace, book: Book, folder: Path) -> Product:
    """Run for the given time; return the product, which has ended."""
    chance = random.Random(given.seed)
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: book.wrong("the fuzz itself failed", None, context),
    )
    late = given.late_excess or given.reuse_never
    async with AsyncExitStack() as stack:
        one, two, excess = [
            await stack.enter_async_context(upstream(book, chance)) for _ in range(3)
        ]
        ports = (one, two, excess)
        product = Product(folder, ports, workers=given.workers, never=given.reuse_never)
        await asyncio.to_thread(product.start, given.loop)
        slow = slow_at_once()
        busy = [
            asyncio.ensure_future(
                visit_on(book, product.port, f"{given.seed}/{number}", late=late, slow=slow),
            )
            for number in range(given.clients)
        ]
        busy.append(asyncio.ensure_future(product.reload_on(given.reload_every)))
        busy.append(asyncio.ensure_future(product.kill_on(given.kill_every, book, chance)))
        try:
            await _watch(given, book, product, busy)
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
            await asyncio.to_thread(product.end)
    return product


async def _watch(
    given: argparse.Namespace,
    book: Book,
    product: Product,
    busy: Sequence[asyncio.Future[None]],
) -> None:
    """Print the progress until the time is over, or until something ends that should not."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < given.seconds:
        await asyncio.wait(busy, timeout=min(_EVERY, given.seconds - passed + 0.01))
        for task in busy:
            if task.done():
                task.result()
        if not product.is_alive:
            book.wrong("the product ended", None, product.errors)
            return
        print(
            f"{time.monotonic() - began:5.0f} s  {sum(book.kinds.values()):7d} requests  "
            f"{book.outcomes['complete']:7d} complete  {product.reloads:3d} reloads  "
            f"{len(book.kills):2d} kills  {sum(book.violations.values()):3d} violations",
            file=sys.stderr,
            flush=True,
        )


def report(given: argparse.Namespace, book: Book, product: Product) -> dict[str, object]:
    """Return the final report."""
    return {
        "seed": given.seed,
        "loop": given.loop,
        "workers": given.workers,
        "seconds": given.seconds,
        "requests": sum(book.kinds.values()),
        "by kind": dict(sorted(book.kinds.items())),
        "by outcome": dict(sorted(book.outcomes.items())),
        "counts": dict(sorted(book.counts.items())),
        "reloads": product.reloads,
        "kills": len(book.kills),
        "apart": dict(book.apart),
        "errors of the product": product.errors[:20],
        "violations": dict(book.violations),
    }


def main() -> None:
    """Run the fuzz test; exit with 1 if there was a violation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=300.0, help="default: 300")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--workers", type=int, default=2, help="default: 2")
    parser.add_argument("--clients", type=int, default=40, help="at a time; default: 40")
    parser.add_argument("--reload-every", type=float, default=7.0, help="seconds; default: 7")
    parser.add_argument("--kill-every", type=float, default=30.0, help="seconds; default: 30")
    parser.add_argument("--late-excess", action="store_true", help="counted separately (S12)")
    parser.add_argument("--reuse-never", action="store_true", help="late excess counts, too")
    given = parser.parse_args()
    book = Book(late_counts=given.reuse_never)
    with tempfile.TemporaryDirectory(prefix="corsproxy-isolation-") as folder:
        product = uvloop.run(fuzz(given, book, Path(folder)))
    for detail in book.details:
        print(detail, file=sys.stderr)
    told = report(given, book, product)
    print(json.dumps(told, indent=1))
    raise SystemExit(1 if book.violations or product.errors else 0)


if __name__ == "__main__":
    main()
