"""Certificates as users have them."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
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


def write_server_files(folder: Path) -> Path:
    """Write ca.crt, tls.crt and tls.key for a server at 127.0.0.1 into a folder; return it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now, text = datetime.now(UTC), serialization.Encoding.PEM
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, each)]) for each in ("authority", "server")]
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    for index, (file, extension) in enumerate([("ca.crt", x509.BasicConstraints(True, None)), ("tls.crt", address)]):
        builder = x509.CertificateBuilder(names[0], names[index], keys[index].public_key(), x509.random_serial_number())
        dated = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        signed = dated.add_extension(extension, critical=index == 0).sign(keys[0], hashes.SHA256())
        (folder / file).write_bytes(signed.public_bytes(text))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "tls.key").write_bytes(keys[1].private_bytes(text, *plain))
    return folder
