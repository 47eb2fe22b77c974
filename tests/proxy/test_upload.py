"""What a body costs while it waits for an upstream connection: forwarding.md O4, without sockets."""

import tracemalloc

from corsproxy.proxy.http.bodies import LengthBody
from corsproxy.proxy.upload import Upload, UploadBuffers


def test_o4_a_gathered_byte_costs_a_byte() -> None:
    """O4: in pieces of two bytes it takes no more than in one."""
    size = 64 * 1024
    buffers = UploadBuffers()
    upload = Upload(LengthBody(size), size, buffers)
    pieces = [b"%d" % (10 + n % 90) for n in range(size // 2)]
    tracemalloc.start()
    for piece in pieces:
        upload.hold(upload.take(piece))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 2 * size
    assert buffers.size == size
    assert upload.release() == b"".join(pieces)
    assert buffers.size == 0
