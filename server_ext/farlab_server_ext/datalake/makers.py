"""From the catalogue's description of a lake to the lake, with the user's identity."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .endpoint import Endpoint
from .identities import Typed
from .lake import Lake, LakeError
from .logins import Logins, NoLogins, PasswordLogins, TokenLogins
from .rucio.auth import Authenticator, ByCertificate, ByPassword, ByToken, Nobody, Password, Service
from .rucio.doors import OpenEndpoint
from .rucio.lake import RucioLake
from .rucio.paths import Here
from .stac.links import Places
from .tokens import TokenSource
from .transfers.fts import Fts


@dataclass(frozen=True)
class Made:
    """What a lake is made of."""

    name: str
    title: str
    settings: Mapping[str, Any]
    """What the catalogue has under its kind."""
    typed: Typed | None
    tokens: TokenSource
    here: Here | None
    others: Sequence[Mapping[str, Any]] = ()
    """All lakes of the catalogue, for links from one to another."""

    @property
    def identity(self) -> tuple[str, Mapping[str, Any]]:
        """The kind of identity and its settings; an empty kind where everyone may."""
        found = self.settings.get("identity") or {}
        return next(iter(found.items()), ("", {}))


def make_rucio(made: Made) -> Lake:
    """Return a Rucio."""
    url = str(made.settings["url"]).rstrip("/")
    service = Service(
        made.title,
        url,
        str(made.settings.get("auth_url") or url).rstrip("/"),
        made.settings.get("ca"),
        made.settings.get("vo"),
    )
    user = _rucio_user(made, service)
    return RucioLake(made.name, made.title, user, made.here, _doors_of_rses(made))


def _doors_of_rses(made: Made) -> OpenEndpoint | None:
    """Return what opens the doors of a Rucio's RSEs; None for a password, which is Rucio's own."""
    if made.identity[0] not in ("oidc", "x509"):
        return None
    return lambda title, url: _endpoint(made, url, title)


def _rucio_user(made: Made, service: Service) -> Authenticator:
    kind, settings = made.identity
    account = settings.get("account")
    if kind == "oidc":
        return ByToken(
            service, made.tokens, settings.get("audience", ""), settings.get("scope", "")
        )
    if kind == "x509":
        return ByCertificate(service, settings["proxy"], account)
    if made.typed is None:
        return Nobody(service)
    typed = made.typed
    name = typed.account or account or typed.username
    return ByPassword(service, Password(name, typed.username, typed.password))


def make_webdav(made: Made) -> Lake:
    """Return a WebDAV door."""
    from .storage.webdav import WebdavLake  # noqa: PLC0415 - only where there is one

    return WebdavLake(made.name, made.title, _endpoint(made))


def make_s3(made: Made) -> Lake:
    """Return an object store."""
    from .storage.s3 import S3Lake, Store  # noqa: PLC0415 - boto3 is large
    from .storage.s3_keys import NoKeys, TokenKeys, TypedKeys  # noqa: PLC0415

    settings = made.settings
    store = Store(
        str(settings["url"]), settings.get("bucket"), settings.get("region"), settings.get("ca")
    )
    kind, identity = made.identity
    if kind == "oidc":
        audience, scope = identity.get("audience", ""), identity.get("scope", "")
        keys = TokenKeys(made.title, store, made.tokens, audience, scope)
        return S3Lake(made.name, made.title, store, keys)
    if kind == "keys":
        return S3Lake(made.name, made.title, store, TypedKeys(made.title, made.typed))
    return S3Lake(made.name, made.title, store, NoKeys())


def make_stac(made: Made) -> Lake:
    """Return a STAC catalogue."""
    from .stac.lake import StacLake  # noqa: PLC0415 - only where there is one

    return StacLake(made.name, made.title, _endpoint(made), places_of(made.others))


def places_of(lakes: Sequence[Mapping[str, Any]]) -> Places:
    """Return what STAC documents may call the lakes of a catalogue."""
    rucios = {
        urlsplit(str(one["rucio"]["url"])).netloc: one["name"] for one in lakes if "rucio" in one
    }
    hosts = {host.partition(":")[0]: name for host, name in rucios.items()}
    stores = {
        str(one["webdav"]["url"]).rstrip("/"): one["name"] for one in lakes if "webdav" in one
    }
    for one in lakes:
        if "s3" in one:
            url, bucket = str(one["s3"]["url"]).rstrip("/"), one["s3"].get("bucket")
            stores[f"{url}/{bucket}" if bucket else url] = one["name"]
    return Places(hosts | rucios, stores)


def make_fts(made: Made) -> Fts | None:
    """Return the FTS3 that carries files to a WebDAV door, if the catalogue names one."""
    url = made.settings.get("fts")
    return Fts(_endpoint(made, str(url), f"FTS of {made.title}")) if url else None


def _endpoint(made: Made, url: str = "", title: str = "") -> Endpoint:
    kind, settings = made.identity
    certificate = None
    logins: Logins = NoLogins()
    if kind == "oidc":
        source = made.tokens
        logins = TokenLogins(source, settings.get("audience", ""), settings.get("scope", ""))
    elif kind == "x509":
        certificate = settings["proxy"].replace("{uid}", str(os.getuid()))
    elif kind == "userpass":
        typed = made.typed
        logins = PasswordLogins(typed.username, typed.password) if typed else NobodyLogins(made)
    url, ca = url or str(made.settings["url"]), made.settings.get("ca")
    return Endpoint(title or made.title, url, ca=ca, certificate=certificate, logins=logins)


class NobodyLogins:
    """For a user who has not logged in."""

    def __init__(self, made: Made) -> None:
        self._title = made.title

    async def login(self) -> Any:
        """Raise LakeError: there is none."""
        raise LakeError("login", f"You are not logged in to {self._title}.", "Log in to it.")


MAKERS: dict[str, Callable[[Made], Lake]] = {
    "rucio": make_rucio,
    "webdav": make_webdav,
    "s3": make_s3,
    "stac": make_stac,
}
"""By the catalogue's key."""
