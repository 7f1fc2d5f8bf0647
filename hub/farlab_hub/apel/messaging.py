"""The ARGO Messaging Service: signed messages, published to a topic.

A message whose answer is lost is published again: the service gives no other choice. It then has
the same `empaid`, and its records the same keys, so that the receiver replaces them by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
from argo_ams_library import AmsException, AmsMessage, AmsServiceException, ArgoMessagingService
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from farlab_sites.publishing import Messaging, Signing

from .state import State, Waiting
from .way import DeliveryError

TIMEOUT = 30  # seconds for an answer
TRIES = 3


class _Service(ArgoMessagingService):  # type: ignore[misc]
    """The service's client, with our time limit and authorities in each of its requests."""

    def __init__(self, ca: str | bool, *args: Any, **kwargs: Any) -> None:
        self._ca = ca
        super().__init__(*args, **kwargs)

    def assign_token(self, token: str, cert: str, key: str) -> None:
        """Get a token where tokens are got: at another port of the same host."""
        host = str(self.endpoint).partition(":")[0]
        self.routes["auth_x509"][1] = self.routes["auth_x509"][1].replace("{0}", host)
        super().assign_token(token, cert, key)

    def _make_request(
        self, url: str, body: Any = None, route_name: str | None = None, **options: Any
    ) -> Any:
        options |= {"verify": self._ca, "timeout": TIMEOUT}
        return super()._make_request(url, body, route_name, **options)


class Topic:
    """The way to a topic. `pause` is the seconds between tries."""

    at_once = 1

    def __init__(self, settings: Messaging, *, pause: float = 10) -> None:
        self._settings = settings
        self._pause = pause
        self._service: _Service | None = None

    def stage(self, texts: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Have the texts noted: they are all that there is of messages."""
        return {message: (text, "") for message, text in texts.items()}

    def deliver(self, state: State, messages: Sequence[Waiting]) -> None:
        """Publish messages one by one, noting each; raise DeliveryError."""
        for message in messages:
            signed = sign(message.text.encode("ascii"), self._settings.signer)
            try:
                self._publish(AmsMessage(data=signed, attributes={"empaid": message.id}))
            except AmsException as error:
                raise DeliveryError(self._words(error)) from error
            state.sent([message.id])

    def _publish(self, message: AmsMessage) -> None:
        self._service = self._service or self._connect()
        answer = self._service.publish(
            self._settings.topic, message, retry=TRIES - 1, retrysleep=self._pause
        )
        if not isinstance(answer, dict) or not answer.get("messageIds"):
            msg = f"{self._settings.host} answered without the message's id; look at its log"
            raise DeliveryError(msg)

    def _connect(self) -> _Service:
        settings = self._settings
        ca = str(settings.ca) if settings.ca else True
        token = _read(settings.token_file).strip() if settings.token_file else ""
        if settings.token_file and not token:
            raise DeliveryError(f"{settings.token_file} is empty; put the token into it")
        pair = [str(path) if path else "" for path in (settings.certificate, settings.key)]
        host = settings.host
        try:
            return _Service(
                ca, host, token, settings.project, *pair, authn_port=settings.token_port
            )
        except (AmsException, requests.RequestException, OSError) as error:
            raise DeliveryError(self._words(error)) from error

    def _words(self, error: Exception) -> str:
        host, code = self._settings.host, getattr(error, "code", None)
        said = str(getattr(error, "msg", error))[:300]
        if code in (401, 403):
            fix = "ask for a token that may publish to this topic, or renew the certificate"
        elif code == 413:
            fix = "the service's limit of a message is too small"
        elif code == 404:
            fix = "check project and topic"
        elif isinstance(error, AmsServiceException):
            fix = "it is tried again at the next start"
        else:
            fix = "check host, network and ca; it is tried again at the next start"
        return f"{host} did not take a message: {said}; {fix}"


def sign(text: bytes, signing: Signing) -> str:
    """Return a text as S/MIME message with its signature, as SSM sends it."""
    try:
        certificate = x509.load_pem_x509_certificate(_read(signing.certificate).encode())
        key = serialization.load_pem_private_key(_read(signing.key).encode(), None)
    except (ValueError, TypeError) as error:
        fix = "give PEM files, the key without passphrase"
        msg = f"{signing.certificate} or its key is unusable: {error}; {fix}"
        raise DeliveryError(msg) from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise DeliveryError(f"{signing.key} is no RSA or EC key; sign with another certificate")
    builder = pkcs7.PKCS7SignatureBuilder().set_data(text)
    builder = builder.add_signer(certificate, key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Text]
    return builder.sign(serialization.Encoding.SMIME, options).decode("ascii")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or "is no text"
        raise DeliveryError(f"{path} can't be read: {words}; check name and owner") from None
