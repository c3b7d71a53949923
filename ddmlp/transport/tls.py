"""TLS 1.3 (RFC 8446) for connections between nodes. Both ends need a certificate that the same authority has signed.

OpenSSL does the work.
"""

import hashlib
import os
import re
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ddmlp.errors import ConfigError
from ddmlp.transport.tls_socket import TlsSocket, reason

NAMES = "ca.crt", "tls.crt", "tls.key"  # as in a Kubernetes secret of the type kubernetes.io/tls
LONGEST = 1 << 20  # bytes of such a file
_FIRST = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Credentials:
    """What one end needs, as PEM: the certificate of the authority, its own certificate, and the key of that.

    source: where they are from, for messages.
    """

    authority: bytes = field(repr=False)
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    source: str = "the certificates of this run"

    @classmethod
    def read(cls, folder: Path) -> "Credentials":
        """Read and check the files `NAMES` in a folder. Raises ConfigError if one is missing, unreadable, expired, or
        does not match the others."""
        contents = []
        for name in NAMES:
            try:
                with (folder / name).open("rb") as file:
                    contents.append(file.read(LONGEST))
            except OSError as error:
                raise ConfigError(
                    f"{folder / name} cannot be read: {error.strerror or error}; a folder of certificates has "
                    f"{', '.join(NAMES)}, on every node"
                ) from None
        authority, certificate, key = contents
        found = cls(authority, certificate, key, str(folder))
        found.check()
        return found

    def check(self) -> None:
        """Raise ConfigError unless two ends with these can connect to each other. They do, in memory."""
        one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.context(server=False).wrap_bio(one, other)
        server = self.context(server=True).wrap_bio(other, one, server_side=True)
        try:
            for end in (client, server, client, server):
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        except ssl.SSLError as error:
            raise ConfigError(
                f"the certificates in {self.source} cannot be used: {reason(error)}; expected a certificate for both "
                "clients and servers that ca.crt has signed"
            ) from None

    def context(self, *, server: bool) -> ssl.SSLContext:
        """The settings of OpenSSL. Raises ConfigError if the contents are malformed, or the key does not match."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # The authority decides who belongs to the run, whatever the host; the handshake inside is bound to the server.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        if server:
            context.num_tickets = 0  # no connection is resumed
        part = NAMES[0]
        try:
            context.load_verify_locations(cadata=self.authority.decode("ascii"))
            part = " and ".join(NAMES[1:])
            with _file(self.certificate + b"\n" + self.key) as path:
                context.load_cert_chain(path, password="")  # an encrypted key is an error, not a question
        except (ValueError, ssl.SSLError) as error:
            raise ConfigError(f"{part} of {self.source} cannot be used: {reason(error)}") from None
        return context

    @property
    def fingerprint(self) -> bytes:
        """The SHA-256 of the certificate."""
        first = _FIRST.search(self.certificate)
        assert first is not None, "OpenSSL has read it"
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first[0].decode())).digest()


class Tls:
    """One end's settings for all of its connections."""

    def __init__(self, given: Credentials | Path, *, server: bool) -> None:
        """given: credentials, or the folder to read them from. Raises ConfigError if they cannot be used."""
        credentials = given if isinstance(given, Credentials) else Credentials.read(given)
        self._context = credentials.context(server=server)
        self._own = credentials.fingerprint if server else None

    def wrap(self, end: socket.socket) -> TlsSocket:
        """Encrypt a connection, whose socket does not block."""
        return TlsSocket(end, self._context, self._own)


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """The path of a file with this content, which only this user can read: OpenSSL reads keys from files only. On
    Linux it is in memory."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("ddmlp"), "w+b") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as named:
            named.write(content)
            named.flush()
            yield named.name
