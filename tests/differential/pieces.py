"""What generated messages are put together from: ordinary pieces, and odd ones."""

from typing import Final

Slot = tuple[list[bytes], list[bytes]]  # the ordinary choices, the odd ones


def _slot(ordinary: bytes, odd: bytes) -> Slot:
    """Return the choices in two texts, in which a bar stands between them."""
    return ordinary.split(b"|"), odd.split(b"|")


METHOD: Final = _slot(
    b"GET|GET|POST|POST|PUT|HEAD|DELETE|OPTIONS|PATCH",
    b"get|FOO|M-SEARCH|GE T||GET\t| GET|G\x00ET|CONNECT|TRACE|GET\x80|!#$%|PRI|\r\nGET|\nGET|GET:",
)
TARGET: Final = _slot(
    b"/a|/a?b=c|/%41%2F?%2b+%20|//x//y|/a;b=c|/a/./b/../c|/?x=/../",
    b"a|*|http://api.example/x|http://evil.example/x|/a b|/a#b|/\x80\xff|/%00|/%zz|/../..|"
    b"/a\tb||/\\..\\b|/a\x0bb|http://u@api.example/|HTTP://API.example:80/y|"
    b'https://api.example|/..%2f..|/a%0d%0aX:y|api.example:80|/"<>^`{}|/%u0041|?x|'
    b"/a HTTP/1.1",
)
TARGET[1].append(b"/" + b"x" * 9000)  # beyond what a request line may have
VERSION: Final = _slot(
    b"HTTP/1.1|HTTP/1.1|HTTP/1.1|HTTP/1.1|HTTP/1.1|HTTP/1.1|HTTP/1.1|HTTP/1.0",
    b"HTTP/1.2|HTTP/2.0|HTTP/0.9|http/1.1|HTTP/1.1x|HTTP/01.1||HTTP/1.10|HTTP/1.1 |"
    b" HTTP/1.1|HTTP/1|HTTP/3.1|ICE/1.0|HTTP/1,1",
)
LINE_END: Final = _slot(
    b"\r\n",
    b"\n|\r\r\n|\r|\r\n |\n\r\n| \r\n",
)
HOST: Final = _slot(
    b"Host: api.example|Host: api.example|Host: api.example|Host: api.example|"
    b"host:api.example|HOST: api.example:80|Host: [::1]:80",
    b"X-No: host|Host: api.example\r\nHost: api.example|Host: a\r\nHost: b|Host: a, b|"
    b"Host: u@a|Host: a/b|Host:|Host : a|Host: a:99999|Host:\tapi.example|"
    b"Host: api..example|Host: api.example\t|Host: a b| Host: a|Host: a:|Ho st: a|Host: a\x01|Host: a:x",
)
FIELD: Final = _slot(
    b"Accept: */*|X-Tag: v|Cookie: a=b|Connection: keep-alive|User-Agent: x|X-Empty:|"
    b"X-High: \x80\xff|TE: trailers|Keep-Alive: timeout=5|X_Y: z",
    b"X : y|X\tY: z|: v|X|X: a\r\n b|X: \x01|X: \x00|X: \x7f|Connection: close|"
    b"Connection: content-length|Connection: transfer-encoding|Connection: host|"
    b"Expect: 100-continue|Expect: x|X(Y): z|Proxy: x|"
    b"Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AA|\x80: v|"
    b"Trailer: X|X: a\rY: b|X: a\nY: b|X: a\n\tb|\tX: a|\rX: a|Content_Length: 3|"
    b"Transfer_Encoding: chunked|Content-Length\x00: 3|@: a",
)
LENGTH: Final = _slot(
    b"Content-Length: %d|Content-Length: %d|Content-Length: %d|Content-Length: %d|"
    b"Content-Length: %d|content-length:%d|CONTENT-LENGTH:  %d  ",
    b"Content-Length: +%d|Content-Length: 0x%d|Content-Length: 00%d|Content-Length: -%d|"
    b"Content-Length: %d;|Content-Length: %d\x0b|Content-Length: %d, %d|"
    b"Content-Length: %d\r\nContent-Length: %d|Content-Length: %d\r\nContent-Length: 1|"
    b"Content-Length: 1\r\nContent-Length: %d|Content-Length : %d|Content-Length:\t%d|"
    b"Content-Length: %d.0|Content-Length: %de0|Content-Length: %d a|"
    b'Content-Length:\r\n %d|Content-Length: %d,|Content-Length: ,%d|Content-Length: "%d"|'
    b"Content-Length:|Content-Length: 9223372036854775808|"
    b"Content-Length: 18446744073709551618|Content-Length: 99999999999999999999|"
    b"Content-Length: %d\r\nTransfer-Encoding: chunked|X: y\nContent-Length: %d",
)
CODING: Final = _slot(
    b"Transfer-Encoding: chunked|Transfer-Encoding: chunked|Transfer-Encoding: chunked|"
    b"Transfer-Encoding: chunked|Transfer-Encoding: chunked|transfer-encoding:CHUNKED",
    b"Transfer-Encoding: gzip, chunked|Transfer-Encoding: chunked, chunked|"
    b"Transfer-Encoding: chunked,|Transfer-Encoding: ,chunked|Transfer-Encoding:|"
    b"Transfer-Encoding: xchunked|Transfer-Encoding: chunked;q=1|"
    b'Transfer-Encoding: identity|Transfer-Encoding: "chunked"|'
    b"Transfer-Encoding: chunked\x0b|Transfer-Encoding:\x0bchunked|"
    b"Transfer-Encoding: chunk|Transfer-Encoding: chunked\x00|Transfer-Encoding: gzip|"
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked|"
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity|"
    b"Transfer-Encoding: chunked\r\nContent-Length: 3|"
    b"Content-Length: 3\r\nTransfer-Encoding: chunked|Transfer-Encoding : chunked|"
    b"Transfer-Encoding:\r\n chunked|X: a\nTransfer-Encoding: chunked|"
    b"X: a\rTransfer-Encoding: chunked|Transfer-Encoding: chunked, gzip|"
    b"Transfer-Encoding: chunked chunked|Transfer-Encoding\x00: chunked",
)
SIZE: Final = _slot(
    b'%x\r\n|%x\r\n|%x\r\n|%x\r\n|%x\r\n|%X\r\n|00%x\r\n|%x;ext\r\n|%x;a=b;c="d e"\r\n',
    b"+%x\r\n|0x%x\r\n|%x \r\n| %x\r\n|%x\n|%x\r|-%x\r\n|%xg\r\n|%x;a\nb\r\n|%x;\x00\r\n|"
    b"%x\t;a\r\n|1%x\r\n|\r\n%x\r\n|%x;\r\r\n|00000000000000000%x\r\n|"
    b'10000000000000%03x\r\n|f00000000000000%x\r\n|\r\n|%x;"\r\n|%x,%x\r\n',
)
SIZE[1].append(b"%x;" + b"e" * 5000 + b"\r\n")
CHUNK_END: Final = _slot(
    b"\r\n",
    b"\n||x\r\n|\r|\r\r\n| \r\n",
)
LAST: Final = _slot(
    b"0\r\n\r\n|0\r\n\r\n|0\r\n\r\n|0\r\n\r\n|0\r\nX-Sum: 1\r\n\r\n|000;e\r\n\r\n",
    b"0\r\n||0\n\n|0\r\nX : 1\r\n\r\n|0\r\n X\r\n\r\n|0\r\nX\r\n\r\n|0\r\n\n|"
    b"0\r\nX: \x00\r\n\r\n|0\r\nContent-Length: 5\r\n\r\n|0\n\r\n|00x\r\n\r\n|"
    b"0\r\nTransfer-Encoding: chunked\r\n\r\n|0\r\n\rX|0 \r\n\r\n|0\r\nX: y\n\r\n",
)
STATUS: Final = _slot(
    b"HTTP/1.1 200 OK|HTTP/1.1 200 OK|HTTP/1.1 200 OK|HTTP/1.1 200 OK|HTTP/1.1 200 OK|"
    b"HTTP/1.1 200 OK|HTTP/1.1 404 Not Found|HTTP/1.1 302 Found|HTTP/1.1 204 No Content|"
    b"HTTP/1.1 304 Not Modified|HTTP/1.1 500 Oh no|HTTP/1.0 200 OK|HTTP/1.1 200 |"
    b"HTTP/1.1 299 \xe9t\xe9",
    b"HTTP/1.1 200|HTTP/1.1 099 Low|HTTP/1.1 20 OK|HTTP/1.1 2000 OK|HTTP/2.0 200 OK|"
    b"ICY 200 OK|HTTP/1.1  200 OK|HTTP/1.1\t200 OK|http/1.1 200 OK|HTTP/1.1 200 O\x01K|"
    b"HTTP/1.1 101 Switch|HTTP/1.1 +200 OK|HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK|"
    b"HTTP/1.1 200OK|HTTP/0.9 200 OK|"
    b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK|HTTP/1.1 999 Far|"
    b"HTTP/1.1 205 Reset|\r\nHTTP/1.1 200 OK|HTTP/1.1 600 More|HTTP/1.1 OK",
)
DAMAGE: Final = (
    b"\r|\n|\r\n| |\t|:|,|;|0|\x00|\x0b|\x80|chunked|\r\n\r\n|HTTP/1.1|Content-Length: 0\r\n|%|#|_"
).split(b"|")
