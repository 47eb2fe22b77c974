"""`corsproxy worker`: what `run` starts for each of several workers. Not for hands."""

import click


@click.command(hidden=True)
@click.argument("descriptor", type=int)
def worker(descriptor: int) -> None:
    """Serve as the supervisor at the other end of DESCRIPTOR says; `corsproxy run` starts this."""
    import uvloop  # noqa: PLC0415 - slow to import, and only needed here

    from corsproxy.runtime.worker import work  # noqa: PLC0415

    uvloop.run(work(descriptor))
