"""Responses that scripted upstreams send again and again in tests of the data path."""

from tests.support.upstream import Script, repeat, request, send

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ALWAYS_OK: Script = [repeat(request(), send(OK))]  # one connection, any number of requests
