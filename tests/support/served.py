"""Runs a service on the loop of a test. Asserts nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from corsproxy.policy.compiled import CompiledConfig
from corsproxy.runtime.service import Service


@asynccontextmanager
async def served(config: CompiledConfig) -> AsyncIterator[Service]:
    """Serve `config`, without health, until the context ends."""
    service = Service(config)
    try:
        service.bind()
        await service.start()
        yield service
    finally:
        await service.close()
