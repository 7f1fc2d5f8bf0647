"""The kubelet's own certificate, and whom it lets read logs."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import time
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from farlab_sites.kubelet.api import Api
from farlab_sites.kubelet.config import Serving
from farlab_sites.kubelet.wire import TlsError

VALID = datetime.timedelta(days=3650)
ALLOWED_KEPT = 60.0  # seconds that a yes of the API server counts


def serving_context(serving: Serving, node: str) -> ssl.SSLContext:
    """Return how the endpoint speaks TLS; a client may show a certificate of the configured CA.

    Raises:
        TlsError: a file can't be used.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if serving.cert_file is not None:
            context.load_cert_chain(serving.cert_file, serving.key_file)
        else:
            _load_own(context, serving.address, node)
        if serving.client_ca_file is not None:
            context.load_verify_locations(serving.client_ca_file)
            # Optional: /healthz needs none. What needs one refuses a client without it.
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        files = (serving.cert_file, serving.key_file, serving.client_ca_file)
        names = ", ".join(str(file) for file in files if file)
        raise TlsError(f"serving: {names}: {error}: give PEM files that can be read") from None
    return context


def _load_own(context: ssl.SSLContext, address: str, node: str) -> None:
    """Make a certificate that signs itself, as kubelets without a signer do."""
    certificate, key = self_signed(address, node)
    # ssl reads only files: this one is in memory, and works where the disk can't be written to.
    with open(os.memfd_create("serving"), "wb") as file:  # noqa: PTH123 - it has no path
        file.write(key + certificate)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")


def self_signed(address: str, node: str) -> tuple[bytes, bytes]:
    """Return a certificate for an address and a node, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node}"[:64])])
    names = [x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName(node)]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


class Readers:
    """Decides who may read logs, as a kubelet does: the API server is asked about the caller."""

    def __init__(self, api: Api, node: str) -> None:
        self._api = api
        self._node = node
        self._allowed: dict[tuple[str, tuple[str, ...]], float] = {}

    async def may(self, certificate: dict[str, Any]) -> bool:
        """Tell whether the owner of a (verified) certificate may use this node's endpoint.

        Raises:
            ApiError: the API server could not be asked.

        """
        user, groups = identity(certificate)
        if not user:
            return False
        now = time.monotonic()
        if now < self._allowed.get((user, groups), 0.0):
            return True
        spec = {
            "user": user,
            "groups": list(groups),
            "resourceAttributes": {
                "verb": "get",
                "resource": "nodes",
                "subresource": "proxy",
                "name": self._node,
            },
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": spec,
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = await self._api.call("POST", path, body=review)
        if not (answer.get("status") or {}).get("allowed"):
            return False
        self._allowed[user, groups] = now + ALLOWED_KEPT
        return True


def identity(certificate: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the user (CN) and the groups (O) of a certificate as Kubernetes reads them."""
    parts = [pair for relative in certificate.get("subject", ()) for pair in relative]
    user = next((value for key, value in parts if key == "commonName"), "")
    return user, tuple(value for key, value in parts if key == "organizationName")
