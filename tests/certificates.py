"""Certificates of tests' own, each its own authority, good for a day before and after now."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def self_signed(
    common_name: str, names: Sequence[x509.GeneralName] = ()
) -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    """A certificate in PEM, and its key; with `names` for a server that is known by them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = made.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), key
