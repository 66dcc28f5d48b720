"""TLS for the emulator: a certificate that was given, or one made for the occasion."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

NAMES = ("localhost", "127.0.0.1", "::1")
"""What a certificate made here is good for, and the host that is served."""


def context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """Give a server's context; raises ``ValueError`` that names the file which is missing or wrong."""
    # ssl says neither which of the two cannot be read, nor that it is about them.
    for path in (certificate, key):
        try:
            Path(path).open("rb").close()
        except OSError as exc:
            raise ValueError(f"{path}: {exc.strerror}") from exc
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        made.load_cert_chain(certificate, key)
    except ssl.SSLError as exc:
        raise ValueError(f"{certificate} {key}: no certificate with its key: {exc.reason or exc}") from exc
    return made


def make_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Make a self-signed certificate and its key; clients take the certificate as their authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandboxkit ECI emulator")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([_name(each) for each in {*NAMES, host}]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.touch(mode=0o600)
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path


def _name(text: str):  # type: ignore[no-untyped-def]  # GeneralName; its module is imported only when needed
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
