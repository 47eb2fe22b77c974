"""TLS contexts made of the files a configuration names. Knows what is wrong with files, no sockets."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from corsproxy.policy.compiled import ServerTls, UpstreamTls

_ALPN: Final = ("http/1.1",)

_T = TypeVar("_T")


class BadTlsFile(ValueError):  # noqa: N818 - what is wrong with a file, not an error of ours
    """A file cannot be used: `key` names it in the configuration, `detail` says why."""

    def __init__(self, key: str, file: str, detail: str) -> None:
        super().__init__(f"{key} {file}: {detail}")
        self.key = key
        self.file = file
        self.detail = detail


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """Return what a listener speaks TLS with; raise `BadTlsFile`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(_ALPN)
    _load_pair(context, tls.cert_file, tls.key_file)
    if tls.client_ca_file:
        _load_authorities(context, "client_ca_file", tls.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
        # A resumed session would not show its certificate to authorities that changed since.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def upstream_context(tls: UpstreamTls) -> ssl.SSLContext:
    """Return what an upstream is spoken to with; raise `BadTlsFile`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(_ALPN)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not tls.ca_file:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.ca_file:
        _load_authorities(context, "ca_file", tls.ca_file)
    if tls.cert_file:
        _load_pair(context, tls.cert_file, tls.key_file)
    return context


def _load_pair(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    # Either file alone first: OpenSSL does not say which of the two it failed on.
    _read(
        "cert_file",
        cert_file,
        lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert_file),
    )
    text = _read("key_file", key_file, Path(key_file).read_bytes)
    if b"ENCRYPTED" in text:
        raise BadTlsFile("key_file", key_file, "it is encrypted, and nobody is there to be asked")
    try:
        context.load_cert_chain(cert_file, key_file, password=lambda: b"")
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        detail = "it is not the certificate's" if mismatch else "it is no private key in PEM"
        raise BadTlsFile("key_file", key_file, detail) from error


def _load_authorities(context: ssl.SSLContext, key: str, file: str) -> None:
    _read(key, file, lambda: context.load_verify_locations(file))


def _read(key: str, file: str, read: Callable[[], _T]) -> _T:
    """Return what `read` gives; raise `BadTlsFile` where it cannot."""
    try:
        return read()
    except ssl.SSLError as error:
        raise BadTlsFile(key, file, "it holds no certificate in PEM") from error
    except OSError as error:
        raise BadTlsFile(key, file, (error.strerror or str(error)).lower()) from error
