"""What an operator of a Rucio does, by its REST API: accounts, scopes, RSEs, files."""

from __future__ import annotations

import hashlib
import json
import ssl
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

CHUNK = 1000
"""Most replicas of one call."""


class RucioAdmin:
    """Calls as one account. Each raises AssertionError with Rucio's own words."""

    def __init__(
        self, url: str, account: str, password: str, trusted: ssl.SSLContext | None = None
    ) -> None:
        self.url = url
        self.account = account
        self._password = password
        self._token = ""
        self._trusted = trusted

    def add_user(self, name: str, password: str, scope: str = "") -> None:
        """Make an account that logs in with its own name, and perhaps a scope of its own."""
        self.call("POST", f"/accounts/{name}", {"type": "USER", "email": f"{name}@example.org"})
        identity: dict[str, Any] = {
            "identity": name,
            "authtype": "USERPASS",
            "email": f"{name}@example.org",
        }
        identity |= {"password": password, "default": True}
        self.call("POST", f"/accounts/{name}/identities", identity)
        if scope:
            self.add_scope(scope, name)

    def has_account(self, name: str) -> bool:
        """Tell whether there is an account."""
        return any(row["account"] == name for row in self.rows("/accounts/"))

    def add_certificate(self, account: str, subject: str) -> None:
        """Let whoever has a certificate with this subject log in to an account."""
        identity = {"identity": subject, "authtype": "X509", "email": "", "default": True}
        self.call("POST", f"/accounts/{account}/identities", identity)

    def add_login(self, account: str, issuer: str, subject: str) -> None:
        """Let whoever has this issuer's tokens about this subject use an account."""
        name = f"SUB={subject}, ISS={issuer}"
        identity = {"identity": name, "authtype": "OIDC", "email": "", "default": True}
        self.call("POST", f"/accounts/{account}/identities", identity)

    def add_scope(self, scope: str, account: str = "root") -> None:
        """Make a scope."""
        self.call("POST", f"/accounts/{account}/scopes/{quote(scope)}")

    def add_rse(
        self, rse: str, folder: Path, *, deterministic: bool = True, algorithm: str = "hash"
    ) -> None:
        """Make an RSE whose files are in a folder of this machine."""
        folder.mkdir(parents=True, exist_ok=True)
        self.add_rse_by(
            rse, "file", "localhost", 0, str(folder), "rucio.rse.protocols.posix.Default",
            deterministic=deterministic, algorithm=algorithm,
        )  # fmt: skip

    def add_rse_by(
        self, rse: str, scheme: str, host: str, port: int, prefix: str, implementation: str,
        *, deterministic: bool = True, algorithm: str = "hash",
    ) -> None:  # fmt: skip
        """Make an RSE with one protocol, without a quota for root and with all for the others."""
        self.call("POST", f"/rses/{rse}", {"deterministic": deterministic, "volatile": False})
        self.call("POST", f"/rses/{rse}/attr/lfn2pfn_algorithm", {"value": algorithm})
        rights = {"read": 1, "write": 1, "delete": 1}
        wan = rights | {"third_party_copy_read": 1, "third_party_copy_write": 1}
        protocol = {"hostname": host, "port": port, "prefix": prefix, "impl": implementation}
        protocol |= {"domains": {"lan": rights, "wan": wan}, "extended_attributes": None}
        self.call("POST", f"/rses/{rse}/protocols/{scheme}", {"scheme": scheme, **protocol})

    def allow(self, account: str, rse: str, size: int = 10**15) -> None:
        """Give an account a quota."""
        self.call("POST", f"/accountlimits/local/{account}/{rse}", {"bytes": size})

    def add_dataset(self, scope: str, name: str, kind: str = "DATASET", **more: Any) -> None:
        """Make an empty dataset or container."""
        self.call("POST", "/dids", [{"scope": scope, "name": name, "type": kind, **more}])

    def attach(self, scope: str, name: str, children: Iterable[tuple[str, str]]) -> None:
        """Put DIDs into a dataset or container."""
        dids = [{"scope": child_scope, "name": child} for child_scope, child in children]
        attachment = {"scope": scope, "name": name, "dids": dids}
        self.call("POST", "/dids/attachments", [attachment])

    def put(
        self, rse: str, folder: Path, scope: str, files: Mapping[str, bytes], **more: Any
    ) -> dict[str, Path]:
        """Write files where a deterministic RSE has them, and register them."""
        written, replicas = {}, []
        for name, data in files.items():
            path = folder / hash_path(scope, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            written[name] = path
            sums = {"adler32": f"{zlib.adler32(data):08x}"}
            sums["md5"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
            replicas.append({"scope": scope, "name": name, "bytes": len(data), **sums, **more})
        self.register(rse, replicas)
        return written

    def register(self, rse: str, replicas: list[dict[str, Any]]) -> None:
        """Register replicas, whether there are such files or not."""
        for start in range(0, len(replicas), CHUNK):
            self.call("POST", "/replicas/", {"rse": rse, "files": replicas[start : start + CHUNK]})

    def rule(self, scope: str, name: str, rse: str, **more: Any) -> str:
        """Ask for a copy at an RSE; return the rule's id."""
        wanted = {"dids": [{"scope": scope, "name": name}], "rse_expression": rse, "copies": 1}
        wanted |= {"account": self.account, "grouping": "DATASET", "lifetime": None, **more}
        return str(self.call("POST", "/rules/", wanted)[0])

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Return a list that Rucio gives in a line for each row."""
        told = self.call("GET", path)
        if isinstance(told, str):
            return [json.loads(line) for line in told.splitlines() if line.strip()]
        return told if isinstance(told, list) else [told]

    def call(self, method: str, path: str, body: Any = None, *, again: bool = True) -> Any:
        """Make a call; return the JSON of the answer, or its text."""
        if not self._token:
            self._token = self._log_in()
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)
        request.add_header("X-Rucio-Auth-Token", self._token)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=120, context=self._trusted) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code == 401 and again:
                self._token = ""
                return self.call(method, path, body, again=False)
            words = error.read().decode(errors="replace")
            raise AssertionError(f"{method} {path}: {error.code} {words}") from None
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _log_in(self) -> str:
        request = urllib.request.Request(f"{self.url}/auth/userpass")
        request.add_header("X-Rucio-Account", self.account)
        request.add_header("X-Rucio-Username", self.account)
        request.add_header("X-Rucio-Password", self._password)
        with urllib.request.urlopen(request, timeout=120, context=self._trusted) as answer:
            return str(answer.headers["X-Rucio-Auth-Token"])


def hash_path(scope: str, name: str) -> str:
    """Return where Rucio's `hash` algorithm puts a file below an RSE's prefix."""
    digest = hashlib.md5(f"{scope}:{name}".encode(), usedforsecurity=False).hexdigest()
    return f"{scope.replace('.', '/')}/{digest[0:2]}/{digest[2:4]}/{name}"
