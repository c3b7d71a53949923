"""Certificates for one run. The authority's key is not kept: no other certificate can be made for the run."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ddmlp.transport.tls import Credentials

VALID_DAYS = 366  # a run that lasts longer gets others if its server is restarted
SKEW_DAYS = 1  # by which the clocks of two nodes may differ


def make_credentials() -> tuple[Credentials, Credentials]:
    """New credentials for the server, and for all workers: neither end can pass for the other."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, pem = "authority of a run", Encoding.PEM
    authority = (
        _certificate(name, key, name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, SHA256())
    )

    def signed(role: str, use: x509.ObjectIdentifier) -> Credentials:
        own = ec.generate_private_key(ec.SECP256R1())
        found = (
            _certificate(role, own, name)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        private = own.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption())
        return Credentials(authority.public_bytes(pem), found.public_bytes(pem), private)

    return signed("server", ExtendedKeyUsageOID.SERVER_AUTH), signed("worker", ExtendedKeyUsageOID.CLIENT_AUTH)


def _certificate(subject: str, key: ec.EllipticCurvePrivateKey, issuer: str) -> x509.CertificateBuilder:
    """A certificate that is not signed yet."""
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ddmlp {issuer}")]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ddmlp {subject}")]),
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=SKEW_DAYS),
        now + timedelta(days=VALID_DAYS),
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    """What the key may be used for: to sign certificates, or the handshake."""
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
