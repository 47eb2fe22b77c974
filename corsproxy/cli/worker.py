"""`corsproxy worker`: runs a worker process; only `corsproxy run` starts it."""

import click


@click.command(hidden=True)
@click.argument("descriptor", type=int)
def worker(descriptor: int) -> None:
    """Run a worker for the supervisor at the other end of DESCRIPTOR; started by `corsproxy run`."""
    import uvloop  # noqa: PLC0415 - slow to import, and only needed here

    from corsproxy.runtime.worker import work  # noqa: PLC0415

    uvloop.run(work(descriptor))
