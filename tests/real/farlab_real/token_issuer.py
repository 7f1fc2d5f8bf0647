"""An issuer of WLCG tokens: its public key over HTTPS, and tokens of any scope and length.

python -m farlab_real.token_issuer FOLDER PORT      # serves what TokenIssuer has put there
"""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import sys
import time
import uuid
from functools import partial
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from farlab_real.authority import Authority, private_pem

AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
KEY_ID = "farlab-test"


class TokenIssuer:
    """Signs tokens; the files that its verifiers ask for lie in `folder`."""

    def __init__(self, folder: Path, port: int, authority: Authority) -> None:
        self.url = f"https://localhost:{port}"
        self.command = [sys.executable, "-m", "farlab_real.token_issuer", str(folder), str(port)]
        self._key = ec.generate_private_key(ec.SECP256R1())
        served = folder / "served"
        (served / ".well-known").mkdir(parents=True)
        certificate, key = authority.issue("issuer")
        (folder / "server.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        discovery = json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"})
        (served / ".well-known/openid-configuration").write_text(discovery)
        (served / "jwks").write_text(json.dumps({"keys": [self._public_key()]}))

    def token(
        self,
        scope: str = "storage.read:/ storage.modify:/",
        seconds: float = 3600,
        audience: str = AUDIENCE,
    ) -> str:
        """Return a token that ends in so many seconds, or has ended so long ago."""
        now = time.time()
        claims = {
            "iss": self.url,
            "sub": "marie",
            "aud": audience,
            "scope": scope,
            "wlcg.ver": "1.0",
            "jti": str(uuid.uuid4()),
            "iat": int(now) - 7200,
            "nbf": int(now) - 7200,
            "exp": int(now + seconds),
        }
        return jwt.encode(claims, private_pem(self._key), "ES256", headers={"kid": KEY_ID})

    def _public_key(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        facts = {"kty": "EC", "crv": "P-256", "kid": KEY_ID, "alg": "ES256", "use": "sig"}
        return facts | {"x": _number(numbers.x), "y": _number(numbers.y)}


def _number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(32, "big")).decode().rstrip("=")


def serve(folder: Path, port: int) -> None:
    """Serve the issuer's files for ever."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
