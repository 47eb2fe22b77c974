"""Makes TLS contexts from certificate and key files, and reports which file is unusable and why.

It names files by their purpose; callers map that to a configuration key.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

from corsproxy.policy.compiled import ServerTls, UpstreamTls

_ALPN: Final = ("http/1.1",)

# The purpose of a file.
TlsFile = Literal["certificate", "private key", "certificate authorities"]

_T = TypeVar("_T")


class BadTlsFile(ValueError):  # noqa: N818 - it describes a file
    """A TLS file is unusable: `purpose` is its use, `file` its path, `detail` the reason."""

    def __init__(self, purpose: TlsFile, file: str, detail: str) -> None:
        super().__init__(f"{purpose} {file}: {detail}")
        self.purpose: TlsFile = purpose
        self.file = file
        self.detail = detail


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """Return the context for accepting connections. Raises BadTlsFile."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(_ALPN)
    _load_pair(context, tls.cert_file, tls.key_file)
    if tls.client_ca_file:
        _load_authorities(context, tls.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
        # A resumed session sends no certificate, so authorities that changed since could not reject it.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def upstream_context(tls: UpstreamTls) -> ssl.SSLContext:
    """Return the context for connecting to an upstream. Raises BadTlsFile."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(_ALPN)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not tls.ca_file:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.ca_file:
        _load_authorities(context, tls.ca_file)
    if tls.cert_file:
        _load_pair(context, tls.cert_file, tls.key_file)
    return context


def _load_pair(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    # Each file alone first: `load_cert_chain` does not report which of the two it failed on.
    _read(
        "certificate",
        cert_file,
        lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert_file),
    )
    text = _read("private key", key_file, Path(key_file).read_bytes)
    if b"ENCRYPTED" in text:
        raise BadTlsFile("private key", key_file, "it is encrypted; write it without a passphrase")
    try:
        # Without a function OpenSSL would prompt for the password on the terminal.
        context.load_cert_chain(cert_file, key_file, password=lambda: b"")
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        detail = (
            "it does not match the certificate" if mismatch else "it is not a private key in PEM"
        )
        raise BadTlsFile("private key", key_file, detail) from error


def _load_authorities(context: ssl.SSLContext, file: str) -> None:
    _read("certificate authorities", file, lambda: context.load_verify_locations(file))


def _read(purpose: TlsFile, file: str, read: Callable[[], _T]) -> _T:
    """Return the result of `read`. Raises BadTlsFile if it fails."""
    try:
        return read()
    except ssl.SSLError as error:
        raise BadTlsFile(purpose, file, "it contains no certificate in PEM") from error
    except OSError as error:
        raise BadTlsFile(purpose, file, (error.strerror or str(error)).lower()) from error
