"""Certificates for tests, made by the openssl program: an authority, and what it signs."""

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """A certificate and its private key, as files."""

    cert: Path
    key: Path

    def serve(self) -> ssl.SSLContext:
        """Return what a server that has this certificate speaks TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


class Authority:
    """An authority whose files are in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._own = Pair(folder / f"{name}.crt", folder / f"{name}.key")
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
            "-keyout", self._own.key, "-out", self._own.cert,
        )  # fmt: skip

    @property
    def file(self) -> Path:
        """The certificate of the authority itself."""
        return self._own.cert

    def sign(self, name: str, *alternatives: str) -> Pair:
        """Return a new certificate, by default for the name itself; "IP:127.0.0.1" is an alternative."""
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        _openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request,
        )  # fmt: skip
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={','.join(alternatives) or f'DNS:{name}'}\n")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self._own.cert, "-CAkey", self._own.key,
            "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", pair.cert,
        )  # fmt: skip
        return pair

    def trust(self, client: Pair | None = None) -> ssl.SSLContext:
        """Return what a client speaks TLS with that trusts only this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file)
        if client is not None:
            context.load_cert_chain(client.cert, client.key)
        return context


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)  # noqa: S603, S607
    assert done.returncode == 0, done.stderr.decode()
