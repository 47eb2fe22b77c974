"""A raw client: sends the given bytes and reads responses strictly, one at a time."""

from typing import Self

from tests.support.messages import Response, read_response
from tests.support.wire import Address, End, Wire, connect, patiently


class RawClient(Wire):
    """A client connection. Use `async with await RawClient.to(address) as client`."""

    @classmethod
    async def to(cls, address: Address) -> Self:
        """Connect to `address`."""
        return cls(await connect(address), came="<", went=">")

    async def response(self, method: str = "GET") -> Response:
        """Read exactly one final response to a request of this method (Truncated if it is cut)."""
        return await read_response(self, method)

    async def exchange(self, data: bytes, method: str = "GET") -> Response:
        """Send `data`, read one response."""
        await self.send(data)
        return await self.response(method)

    async def ending(self) -> End:
        """Wait for the peer's end, before which not one more byte may come; return how it was."""
        rest = await patiently(self.until_end(), f"the peer's end; so far:\n{self}")
        assert rest == b"", f"unexpected bytes before the end: {rest!r}"
        assert self.end is not None
        return self.end
