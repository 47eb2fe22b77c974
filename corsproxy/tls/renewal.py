"""TLS contexts that follow their files: a renewed certificate is used without a restart.

Sessions belong to the context that they began under: with a new one none is resumed. Knows when files changed, not what stands in them; connections that are open keep what they have.
"""

import logging
import os
import ssl
import time
from collections.abc import Callable
from typing import Final

from corsproxy.policy.compiled import ServerTls, UpstreamTls
from corsproxy.tls.contexts import BadTlsFile, server_context, upstream_context

log: Final = logging.getLogger("corsproxy")

# How often at most the files are looked at, in seconds; only while there are handshakes.
_LOOKED_AT: Final = 1.0
# How long a session counts that began with a client's certificate, in seconds. Resumed, it shows no
# certificate, which may have ended or been taken back; and TLS 1.2 remembers sessions for two hours,
# which Python's ssl cannot switch off.
_SESSIONS_END: Final = 300.0

_Fingerprint = tuple[tuple[str, int, int, int] | None, ...]


class RenewedContext:
    """A context made of files, made anew when they have changed; the old one stays while they are bad.

    With `ends_sessions` it is made anew every five minutes, too. Raises `BadTlsFile` when it is made
    and the files are bad.
    """

    def __init__(
        self, make: Callable[[], ssl.SSLContext], *files: str, ends_sessions: bool = False
    ) -> None:
        self._make = make
        self._ends_sessions = ends_sessions
        self._files = [file for file in files if file]
        self._seen = self._look()
        self._looked = self._made = time.monotonic()
        self._context = make()

    def context(self) -> ssl.SSLContext:
        """Return what the next handshake is to use."""
        now = time.monotonic()
        if self._files and now - self._looked >= _LOOKED_AT:
            self._looked = now
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                if self._renew(now):
                    log.info("TLS files were read again: %s", ", ".join(self._files))
            elif self._ends_sessions and now - self._made >= _SESSIONS_END:
                self._renew(now)
        return self._context

    def _renew(self, now: float) -> bool:
        """Make the context anew; return False, and log why, if the files are bad."""
        self._made = now
        try:
            self._context = self._make()
        except BadTlsFile as fault:
            log.error("TLS goes on with the old files: %s", fault)  # noqa: TRY400 - no bug of ours
            return False
        return True

    def _look(self) -> _Fingerprint:
        """Return what changes when a file does; a Secret's files change by a symlink (config.md)."""
        found: list[tuple[str, int, int, int] | None] = []
        for file in self._files:
            try:
                real = os.path.realpath(file, strict=True)
                stat = os.stat(real)  # noqa: PTH116 - a Path object buys nothing here
            except OSError:
                found.append(None)
            else:
                found.append((real, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(found)


def listening_context(tls: ServerTls) -> RenewedContext:
    """Return the context of a listener; each handshake takes that of its moment.

    So no `sni_callback` is needed, for which CPython decodes the name that the client sends, and
    reports each one that is not ASCII on standard error. Raises `BadTlsFile`.
    """
    return RenewedContext(
        lambda: server_context(tls),
        tls.cert_file,
        tls.key_file,
        tls.client_ca_file,
        ends_sessions=bool(tls.client_ca_file),
    )


def dialling_context(tls: UpstreamTls) -> RenewedContext:
    """Return the context for connections to an upstream. Raises `BadTlsFile`."""
    return RenewedContext(lambda: upstream_context(tls), tls.ca_file, tls.cert_file, tls.key_file)
