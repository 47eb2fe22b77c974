"""From the listening side as written to the one that is served. Knows addresses, no routes."""

from typing import Final

from corsproxy.config.addresses import Fault, read_listen, read_network
from corsproxy.config.build.draft import Draft
from corsproxy.config.build.tls import check_tls
from corsproxy.config.certificates import server_context
from corsproxy.config.models.root import Settings
from corsproxy.config.models.server import ServerTlsSection
from corsproxy.config.nodes import Path
from corsproxy.policy.plan import (
    Address,
    Limits,
    LogSettings,
    Server,
    ServerTimeouts,
    ServerTls,
    TcpAddress,
    TrustedPeer,
)

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_HERE: Final = _LOOPBACK | {"0.0.0.0", "::"}  # noqa: S104 - read, not bound


class Listeners:
    """The addresses that are listened on, each once."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._taken: dict[Address, Path] = {}

    def read(self, text: str, path: Path) -> Address | None:
        """Return the address that the value at `path` is; None with a problem noted."""
        draft = self._draft
        try:
            address = read_listen(text)
        except Fault as fault:
            draft.note("address_invalid", path, found=draft.shown(path, text), detail=fault)
            return None
        first = self._taken.setdefault(address, path)
        # Port 0 is any free port, another one each time.
        is_any = isinstance(address, TcpAddress) and address.port == 0
        if first != path and not is_any:
            line = draft.place(first).line
            draft.note("address_twice", path, found=draft.shown(path, text), line=line)
        return address

    def reach(self, target: Address) -> bool:
        """Tell whether a connection to `target` on this machine comes back to a listener."""
        if target in self._taken:
            return True
        if not isinstance(target, TcpAddress) or target.host not in _LOOPBACK:
            return False
        return any(
            isinstance(address, TcpAddress)
            and address.port == target.port
            and address.host in _HERE
            for address in self._taken
        )


def build_server(draft: Draft, settings: Settings, listeners: Listeners) -> Server:
    """Return the listening side; problems are noted."""
    written = settings.server
    read = [
        listeners.read(text, ("server", "listen", index))
        for index, text in enumerate(written.listen)
    ]
    if not read:
        draft.note("empty_value", ("server", "listen"), key="listen")
    return Server(
        listen=tuple(address for address in read if address is not None),
        tls=_tls(draft, written.tls),
        workers=written.workers,
        limits=Limits(**dict(written.limits)),
        timeouts=ServerTimeouts(**dict(written.timeouts)),
        trusted_proxies=_networks(draft, written.trusted_proxies),
        trusted_headers=written.trusted_headers,
        drain_delay=written.drain_delay,
        drain=written.drain,
        half_close=written.half_close,
    )


def _tls(draft: Draft, written: ServerTlsSection | None) -> ServerTls | None:
    if written is None:
        return None
    tls = ServerTls(
        cert_file=written.cert_file,
        key_file=written.key_file,
        client_ca_file=written.client_ca_file or "",
    )
    check_tls(draft, ("server", "tls"), lambda: server_context(tls))
    return tls


def build_health(settings: Settings, listeners: Listeners) -> Address | None:
    """Return where health is answered; None for nowhere."""
    text = settings.health.listen
    return None if text == "off" else listeners.read(text, ("health", "listen"))


def build_log(settings: Settings) -> LogSettings:
    """Return what is logged."""
    return LogSettings(**dict(settings.log))


def _networks(draft: Draft, texts: list[str]) -> tuple[TrustedPeer, ...]:
    networks: list[TrustedPeer] = []
    for index, text in enumerate(texts):
        path = ("server", "trusted_proxies", index)
        try:
            networks.append("unix" if text == "unix" else read_network(text))
        except Fault as fault:
            hidden = draft.hidden(path)
            detail = "it is not shown here" if hidden else fault
            draft.note("network_invalid", path, found=hidden or text, detail=detail)
    return tuple(networks)
