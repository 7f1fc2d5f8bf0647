"""A certificate authority of the tests' own, which no machine trusts by itself.

    authority = Authority(folder)
    certificate, key = authority.issue("door")

`authority.ca` is what a client must be told to trust, `authority.bundle` that and everything which
the system trusts.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID = datetime.timedelta(days=2)
NAME = "Farlab test authority"


class Authority:
    """The authority's files in one folder, and the certificates for loopback that it signs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.bundle = folder / "bundle.pem"
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(NAME, self._key, authority=True)
        own = self._certificate.public_bytes(serialization.Encoding.PEM)
        self.ca.write_bytes(own)
        system = ssl.get_default_verify_paths().cafile
        self.bundle.write_bytes(own + (Path(system).read_bytes() if system else b""))

    def issue(self, name: str, valid: datetime.timedelta = VALID) -> tuple[Path, Path]:
        """Return the files of a new certificate and its key, for localhost and 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key, valid=valid)
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(private_pem(key))
        files[1].chmod(0o600)
        return files

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        authority: bool = False,
        valid: datetime.timedelta = VALID,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        issuer = _name(name) if authority else self._certificate.subject
        addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, now + valid) - datetime.timedelta(hours=1))
            .not_valid_after(now + valid)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
            .add_extension(identifier, critical=False)
            .add_extension(signer, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as the text that programs read."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
