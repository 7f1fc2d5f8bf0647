"""The certificates of a test control plane, all signed by one authority of its own.

    certificates = Certificates(folder)
    certificates.make()

leaves `ca.crt`, and `NAME.crt` and `NAME.key` for each of `CLIENTS` and for `apiserver`, and the
key pair that signs the tokens of service accounts. Nothing is shared between two control planes.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVICE_IPS = "10.0.0.0/24"  # never routed: nothing listens behind a Service here
API_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
API_ADDRESSES = ("127.0.0.1", "10.0.0.1")
VALID = datetime.timedelta(days=2)
CLIENTS = {  # file name: user, group
    "admin": ("farlab-test-admin", "system:masters"),
    "kubelet-client": ("kube-apiserver-kubelet-client", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
}


class Certificates:
    """The files in one folder that only this user can read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.crt"
        self.accounts_key = folder / "service-accounts.key"
        self.accounts_public_key = folder / "service-accounts.pub"

    def make(self) -> None:
        """Write all of them anew."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority = _certificate(_name("farlab-test-authority", ""), authority_key)
        self.ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        for name, (user, group) in CLIENTS.items():
            self._issue(name, _name(user, group), authority, authority_key, server=False)
        subject = _name("kube-apiserver", "")
        self._issue("apiserver", subject, authority, authority_key, server=True)
        accounts = ec.generate_private_key(ec.SECP256R1())
        _write_key(self.accounts_key, accounts)
        self.accounts_public_key.write_bytes(
            accounts.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def pair(self, name: str) -> tuple[Path, Path]:
        """Return the paths of a certificate and its key."""
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def write_kubeconfig(self, path: Path, url: str, name: str) -> None:
        """Write a kubeconfig with which a client of `CLIENTS` reaches the API server at `url`."""
        certificate, key = self.pair(name)
        cluster = {"server": url, "certificate-authority": str(self.ca)}
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        write_kubeconfig(path, cluster, user)

    def _issue(
        self,
        name: str,
        subject: x509.Name,
        authority: x509.Certificate,
        authority_key: ec.EllipticCurvePrivateKey,
        *,
        server: bool,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = _certificate(subject, key, authority, authority_key, server=server)
        certificate_path, key_path = self.pair(name)
        certificate_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        _write_key(key_path, key)


def write_kubeconfig(path: Path, cluster: dict[str, str], user: dict[str, str]) -> None:
    """Write a kubeconfig of one cluster and one user; only this account can read it."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))


def _name(user: str, group: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate | None = None,
    authority_key: ec.EllipticCurvePrivateKey | None = None,
    *,
    server: bool = False,
) -> x509.Certificate:
    """Return a certificate for `subject`; without an authority, one that signs others."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
    )
    if authority is not None:
        use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    if server:
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in API_NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in API_ADDRESSES]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority_key or key, hashes.SHA256())


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
