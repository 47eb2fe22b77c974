"""Reports unusable TLS files at the keys that name them."""

from collections.abc import Callable, Mapping
from typing import Final

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.yaml.nodes import Path
from corsproxy.tls.contexts import BadTlsFile, TlsFile

# The key of each file in `server.tls`, and in `tls` of an upstream.
SERVER_TLS_KEYS: Final[Mapping[TlsFile, str]] = {
    "certificate": "cert_file",
    "private key": "key_file",
    "certificate authorities": "client_ca_file",
}
UPSTREAM_TLS_KEYS: Final[Mapping[TlsFile, str]] = {
    **SERVER_TLS_KEYS,
    "certificate authorities": "ca_file",
}


def check_tls(
    context: CompileContext,
    path: Path,
    keys: Mapping[TlsFile, str],
    make: Callable[[], object],
) -> None:
    """Call `make`; if it raises `BadTlsFile`, report that file at its key below `path`."""
    try:
        make()
    except BadTlsFile as fault:
        key = keys[fault.purpose]
        at = (*path, key)
        found = context.masked(at, fault.file)
        context.report("tls_file_invalid", at, key=key, found=found, fault=fault.detail)
