"""Certificates as users have them."""

from pathlib import Path

import pytest

from ddmlp.ray_backend import certificates
from ddmlp.ray_backend.certificates import ExtendedKeyUsageOID, make_credentials
from ddmlp.transport.tls import NAMES, Credentials


def expired_credentials() -> tuple[Credentials, Credentials]:
    """Return a server's and a worker's that were valid until yesterday."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "SKEW_DAYS", 9)
        patch.setattr(certificates, "VALID_DAYS", -1)
        return make_credentials()


def write_files(folder: Path) -> Path:
    """Write the files of a user, for clients and servers, into a folder; return it."""
    with pytest.MonkeyPatch.context() as patch:
        use = certificates.x509.ExtendedKeyUsage
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        patch.setattr(certificates.x509, "ExtendedKeyUsage", lambda _: use(both))
        own, _ = make_credentials()
    for name, content in zip(NAMES, (own.authority, own.certificate, own.key), strict=True):
        (folder / name).write_bytes(content)
    return folder
