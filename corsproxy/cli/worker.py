"""`corsproxy worker`: a worker process, as `run` starts it. Not meant to be typed."""

import click


@click.command(hidden=True)
@click.argument("descriptor", type=int)
def worker(descriptor: int) -> None:
    """Serve as the supervisor at the other end of DESCRIPTOR says; `corsproxy run` starts this."""
    import uvloop  # noqa: PLC0415 - slow to import, and only needed here

    from corsproxy.runtime.worker import work  # noqa: PLC0415

    uvloop.run(work(descriptor))
