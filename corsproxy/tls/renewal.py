"""Renews TLS contexts when their files change, so that a new certificate needs no restart.

Only later handshakes use the new context. A session belongs to the context that created it, so none is
resumed after a renewal.
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

# The minimum time between two checks of the files, in seconds; they are only checked before a handshake.
_CHECK_INTERVAL: Final = 1.0
# For how long a session with a client certificate can be resumed at most, in seconds. A resumed session
# sends no certificate, and that may have expired or been revoked since. OpenSSL keeps TLS 1.2 sessions
# for two hours, and Python's ssl cannot change that.
_SESSION_LIFETIME: Final = 300.0

_Fingerprint = tuple[tuple[str, int, int, int] | None, ...]


class RenewedContext:
    """The context that `make` creates from `files`, replaced when they change.

    If the changed files are unusable, the old context stays and the reason is logged. With
    `ends_sessions` it is also replaced every five minutes. The constructor raises BadTlsFile.
    """

    def __init__(
        self, make: Callable[[], ssl.SSLContext], *files: str, ends_sessions: bool = False
    ) -> None:
        self._make = make
        self._ends_sessions = ends_sessions
        self._files = [file for file in files if file]
        self._seen = self._fingerprint()
        self._checked_at = self._made_at = time.monotonic()
        self._context = make()

    def context(self) -> ssl.SSLContext:
        """Return the context for the next handshake."""
        now = time.monotonic()
        if self._files and now - self._checked_at >= _CHECK_INTERVAL:
            self._checked_at = now
            seen = self._fingerprint()
            if seen != self._seen:
                self._seen = seen
                if self._renew(now):
                    log.info("TLS files were reloaded: %s", ", ".join(self._files))
            elif self._ends_sessions and now - self._made_at >= _SESSION_LIFETIME:
                self._renew(now)
        return self._context

    def _renew(self, now: float) -> bool:
        """Make a new context; if the files are unusable, log why and return False."""
        self._made_at = now
        try:
            self._context = self._make()
        except BadTlsFile as fault:
            log.error("TLS files were not reloaded, the old ones stay in use: %s", fault)  # noqa: TRY400 - not a bug, so no traceback
            return False
        return True

    def _fingerprint(self) -> _Fingerprint:
        """Return a value that differs once a file changes; Kubernetes swaps a symlink (operations.md R8)."""
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
    """Return the context of a listener; call its `context` for each handshake. Raises BadTlsFile.

    An `sni_callback` could replace the context, too, but CPython decodes the server name for it, and
    reports each name that is not ASCII on standard error.
    """
    return RenewedContext(
        lambda: server_context(tls),
        tls.cert_file,
        tls.key_file,
        tls.client_ca_file,
        ends_sessions=bool(tls.client_ca_file),
    )


def dialling_context(tls: UpstreamTls) -> RenewedContext:
    """Return the context for connections to an upstream. Raises BadTlsFile."""
    return RenewedContext(lambda: upstream_context(tls), tls.ca_file, tls.cert_file, tls.key_file)
