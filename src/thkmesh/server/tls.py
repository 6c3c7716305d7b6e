"""A certificate of our own, for trying things out on a local network.

Pages need a secure context for their keys, and outside of localhost that means
https. Browsers warn of such a certificate once; for anything lasting use a real one.
"""

import os
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from thkmesh.server.addresses import is_wildcard, own_addresses

__all__ = ["write_self_signed"]

_LIFETIME = timedelta(days=90)


def write_self_signed(folder: Path, host: str) -> tuple[Path, Path]:
    """Make a key and a certificate for this machine; return certificate and key file.

    It is good for localhost, its addresses, this machine's name and ``host``; where
    that means every address, for each of them. Both files can be read by their owner
    only.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key, host).public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _write(folder / "cert.pem", certificate), _write(folder / "key.pem", secret)


def _certificate(key: ec.EllipticCurvePrivateKey, host: str) -> x509.Certificate:
    listening = map(str, own_addresses()) if is_wildcard(host) else [host]
    names = dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname(), *listening])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "THKMesh, self-signed")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, content: bytes) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path
