"""`corsproxy health`: requests /livez or /readyz from a running proxy.

The image's HEALTHCHECK starts it every few seconds, so it imports little and writes and reads its few
bytes of HTTP itself: importing http.client alone would take as long as everything else.
"""

import socket

import click

from corsproxy.cli.host_port import split_host_port
from corsproxy.cli.terminal import say

_UNHEALTHY = 1
# A client cannot connect to the wildcard address that a server listens on.
_LOOPBACK_OF = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound
_LONGEST_HEAD = 64 * 1024


class _AddressType(click.ParamType[str | tuple[str, int]]):
    """`host:port`, `[ipv6]:port` or `unix:/path`, as in `health.listen`."""

    name = "address"

    def convert(
        self,
        value: str | tuple[str, int],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | tuple[str, int]:
        if not isinstance(value, str):
            return value
        if value.startswith("unix:"):
            return value.removeprefix("unix:")
        found = split_host_port(value, lowest=1)
        if found is None:
            self.fail(
                f"{value!r} is not a valid address; write host:port, [ipv6]:port or unix:/path, "
                "as in health.listen of the configuration",
                param,
                ctx,
            )
        host, port = found
        return _LOOPBACK_OF.get(host, host), port


@click.command()
@click.option(
    "--ready",
    is_flag=True,
    show_envvar=True,
    help="Request /readyz (is it ready for traffic?) instead of /livez (is it running?).",
)
@click.option(
    "--address",
    type=_AddressType(),
    default="127.0.0.1:9902",
    show_default=True,
    envvar="CORSPROXY_HEALTH_LISTEN",
    show_envvar=True,
    help="Address of the proxy's health listener, e.g. unix:/run/health.sock; a wildcard address"
    " means loopback.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    show_envvar=True,
    help="Seconds to wait for the response, e.g. 0.5.",
)
def health(*, ready: bool, address: str | tuple[str, int], timeout: float) -> None:
    """Exit with 0 if the running proxy is healthy, else print the reason and exit with 1.

    Meant for HEALTHCHECK and for probes that run a command.

    \b
    Example:
      corsproxy health --ready --address 127.0.0.1:9902
    """  # noqa: D301 - click wants the character itself
    path = "/readyz" if ready else "/livez"
    where = f"unix:{address}" if isinstance(address, str) else f"{address[0]}:{address[1]}"
    try:
        status, body = _request(address, path, timeout)
    except OSError as error:
        say(
            f"unhealthy: no response from {where}{path} within {timeout:g} s: {error}; "
            "is corsproxy running, and is --address the same as health.listen?",
            err=True,
        )
        raise SystemExit(_UNHEALTHY) from None
    if status != 200:
        received = status or "bytes that are not HTTP"
        say(f"unhealthy: {where}{path} responded with {received}: {body}", err=True)
        raise SystemExit(_UNHEALTHY)
    say(f"healthy: {where}{path} responded with 200")


def _request(address: str | tuple[str, int], path: str, timeout: float) -> tuple[int, str]:
    """Return the status (0 if the response is not HTTP) and the first line of the body.

    `timeout` is in seconds for each step. Raises OSError if there is no response in time.
    """
    with _connect(address, timeout) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(),
        )
        response = b""
        while len(response) < _LONGEST_HEAD and (part := connection.recv(4096)):
            response += part
    head, _, body = response.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        return 0, ascii(response[:80])
    return int(rest[:3]), ascii(body.decode(errors="replace").strip().partition("\n")[0][:200])


def _connect(address: str | tuple[str, int], timeout: float) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
