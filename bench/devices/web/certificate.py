"""The server's own certificate, which no authority signed: browsers warn once, and its fingerprint is shown."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pocketgan.errors import storage_errors
from pocketgan.files import atomic_file

# Phones take none of their users' own that are valid for longer than 398 days.
_VALID = timedelta(days=90)
_RENEWED_BEFORE = timedelta(days=7)
_NAME = "pocketgan"


def certificate_for(names: Sequence[str], folder: Path) -> Path:
    """A PEM file with an EC P-256 key and a certificate for these addresses and names. It is kept, so that whoever went
    past a browser's warning once is not warned again; a new one is made where it does not fit or soon ends.

    Args:
        folder: for it alone; made where it is missing.
    Raises:
        StorageError: it cannot be written.
    """
    path = folder / "certificate.pem"
    if _fits(path, names):
        return path
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    key_bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    with atomic_file(path) as temporary:
        # Nobody else's from the first byte on; atomic_file opens it to all once it is whole, in a folder that is not.
        temporary.write_bytes(key_bytes + made.public_bytes(serialization.Encoding.PEM))
    with storage_errors(path):
        path.chmod(0o600)
    return path


def fingerprint(path: Path) -> str:
    """SHA-256 of the certificate as browsers show it: pairs of hex digits with colons between."""
    digest = x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256())
    return digest.hex(":").upper()


def tls_context(path: Path) -> ssl.SSLContext:
    """TLS 1.2 and newer with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path)
    return context


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _fits(path: Path, names: Sequence[str]) -> bool:
    """Whether the file is there, still ours alone, for these names, and valid for a while."""
    try:
        if path.stat().st_mode & 0o077:
            return False
        content = path.read_bytes()
        serialization.load_pem_private_key(content, password=None)
        found = x509.load_pem_x509_certificate(content)
        there = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    told = {str(address) for address in there.get_values_for_type(x509.IPAddress)}
    told |= set(there.get_values_for_type(x509.DNSName))
    return told == set(names) and found.not_valid_after_utc - datetime.now(UTC) > _RENEWED_BEFORE
