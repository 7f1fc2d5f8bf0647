"""The lakes of this server: those of the catalogue and no others, each with its own identity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from .identities import Identities, Typed
from .lake import Lake, LakeError
from .makers import MAKERS, Made, make_fts, places_of
from .rucio.lake import RucioLake
from .rucio.paths import Here
from .stac.links import Places, item_of_did
from .tokens import TokenSource
from .transfers.fts import Fts

VARIABLE = "FARLAB_DATALAKE"
"""The environment variable with the lakes, as `farlab_sites.lakes.environment_of` writes it."""
TYPED = ("userpass", "keys")
"""The kinds of identity for which the user types something."""


class Lakes:
    """Opens lakes when they are first asked for, and closes them."""

    def __init__(
        self,
        described: Sequence[Mapping[str, Any]],
        here: Mapping[str, str] | None,
        tokens: TokenSource,
    ) -> None:
        self._described = {str(one["name"]): one for one in described}
        self._here = here
        self._tokens = tokens
        files = {name: self._settings(name).get("file") for name in self._described}
        self._identities = Identities({name: file for name, file in files.items() if file})
        self._open: dict[str, Lake] = {}
        self._fts: dict[str, Fts | None] = {}

    def listed(self) -> list[dict[str, Any]]:
        """Return what the user may know of each lake, as JSON, in the catalogue's order."""
        return [self._told(name) for name in self._described]

    def get(self, name: str) -> Lake:
        """Return a lake; raise LakeError if there is none of that name."""
        if name not in self._open:
            self._open[name] = self._make(name)
        return self._open[name]

    async def prepared(self, name: str) -> dict[str, Any]:
        """Return what the user may know of a lake after it was asked what it can do."""
        await self.get(name).prepare()
        return self._told(name)

    def opened(self) -> list[Lake]:
        """Return the lakes that are open."""
        return [*self._open.values()]

    def names(self, kind: str) -> list[str]:
        """Return the names of the lakes of a kind."""
        return [name for name, one in self._described.items() if kind in one]

    def places(self) -> Places:
        """Return what STAC documents may call the lakes."""
        return places_of([*self._described.values()])

    def home(self, name: str) -> tuple[str, str] | None:
        """Return the Rucio and the scope in which a STAC catalogue is registered, if it is."""
        found = (self._described.get(name) or {}).get("stac", {}).get("registered")
        return (str(found["lake"]), str(found["scope"])) if found else None

    def registered(self, name: str) -> tuple[str, str]:
        """Return the Rucio and the scope of a STAC catalogue; raise LakeError if it has none."""
        home = self.home(name)
        if home is None:
            words = f"The catalogue names no scope for {self._title(name)}."
            raise LakeError("wrong-input", words, "Name a Rucio and a scope.")
        return home

    def place(self, url: str) -> dict[str, Any]:
        """Return an address with the lake that has it, and its path there; null where none has."""
        for name in self.names("stac"):
            parts = urlsplit(str(self._described[name]["stac"]["url"]))
            if url.startswith(f"{parts.scheme}://{parts.netloc}/"):
                path = url.removeprefix(f"{parts.scheme}://{parts.netloc}")
                return {"url": url, "lake": name, "path": path}
        found = self.places().of_href(url)
        return {"url": url, **(found[0] if found else {"lake": None, "path": None})}

    def item_place(self, metadata: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the place of the STAC item that a DID's metadata names, if it names one."""
        url = item_of_did(metadata)
        return self.place(url) if url else None

    def fts(self, name: str) -> Fts | None:
        """Return the FTS3 that carries files to a lake, if the catalogue names one."""
        if name not in self._fts:
            title, kind = self._title(name), self._kind(name)
            self._fts[name] = make_fts(self._made(name, title, kind, self._identities.of(name)))
        return self._fts[name]

    async def log_in(self, name: str, typed: Typed) -> dict[str, Any]:
        """Try a name and a password, and use them from now on if they are right."""
        if self._identity(name) not in TYPED:
            words = f"{self._title(name)} takes no password."
            raise LakeError("wrong-input", words, "Its login comes from the hub or a file.")
        lake = self._make(name, typed)
        try:
            await _try(lake)
        except BaseException:
            await lake.close()
            raise
        await self.log_out(name)
        self._identities.remember(name, typed)
        self._open[name] = lake
        return self._told(name)

    async def log_out(self, name: str) -> None:
        """Forget the user's login, and all that was read with it."""
        self._title(name)
        self._identities.forget(name)
        if lake := self._open.pop(name, None):
            await lake.close()
        if fts := self._fts.pop(name, None):
            await fts.endpoint.close()

    async def close(self) -> None:
        """Close all lakes."""
        while self._open:
            _, lake = self._open.popitem()
            await lake.close()
        while self._fts:
            _, fts = self._fts.popitem()
            if fts:
                await fts.endpoint.close()

    def _make(self, name: str, typed: Typed | None = None) -> Lake:
        title, kind = self._title(name), self._kind(name)
        if kind not in MAKERS:
            words = f"{title} is a lake of a kind that this server does not know ({kind})."
            raise LakeError("unsupported", words, "Use a newer image for the server.")
        typed = typed or self._identities.of(name)
        return MAKERS[kind](self._made(name, title, kind, typed))

    def _made(self, name: str, title: str, kind: str, typed: Typed | None) -> Made:
        settings, others = self._described[name][kind], [*self._described.values()]
        return Made(name, title, settings, typed, self._tokens, self._here_of(name), others)

    def _here_of(self, name: str) -> Here | None:
        here = self._here
        if here is None or here.get("lake") != name:
            return None
        return Here(here["rse"], here.get("prefix"))

    def _title(self, name: str) -> str:
        if name not in self._described:
            words = f'This server has no lake "{name[:60]}".'
            raise LakeError("not-found", words, "Add it to the catalogue, and start a new server.")
        return str(self._described[name].get("title") or name)

    def _kind(self, name: str) -> str:
        known = ("rucio", "webdav", "s3", "stac")
        return next((kind for kind in known if kind in self._described[name]), "none")

    def _identity(self, name: str) -> str:
        self._title(name)
        return next(iter(self._identities_of(name)), "")

    def _settings(self, name: str) -> Mapping[str, Any]:
        """Return what the catalogue says of the identity at a lake."""
        return next(iter(self._identities_of(name).values()), None) or {}

    def _identities_of(self, name: str) -> Mapping[str, Any]:
        settings = self._described[name].get(self._kind(name)) or {}
        return settings.get("identity") or {}

    def _told(self, name: str) -> dict[str, Any]:
        identity, typed = self._identity(name), self._identities.of(name)
        here = self._here_of(name)
        lake = self._open.get(name)
        kind = self._kind(name)
        able = lake.capabilities if lake else _capabilities(kind)
        return {
            "name": name,
            "title": self._title(name),
            "description": str(self._described[name].get("description", "")),
            "kind": kind,
            "capabilities": sorted(able),
            "identity": identity or None,
            "logged_in": identity not in TYPED or typed is not None,
            "user": typed.username if typed else None,
            "rse": here.rse if here else None,
            "web": (self._described[name].get(kind) or {}).get("web_url"),
        }


def _capabilities(kind: str) -> frozenset[str]:
    return frozenset(RucioLake.capabilities) if kind == "rucio" else frozenset()


async def _try(lake: Lake) -> None:
    """Raise LakeError if a lake does not take the user's login."""
    if isinstance(lake, RucioLake):
        await lake.client.who.token()
    else:
        await lake.children("", limit=1)


def read_lakes(
    environ: Mapping[str, str],
) -> tuple[list[dict[str, Any]], dict[str, str] | None]:
    """Return the lakes and the place that an environment tells; raise ValueError for nonsense."""
    text = environ.get(VARIABLE, "")
    if not text:
        return [], None
    told = json.loads(text)
    lakes = told["lakes"] if isinstance(told, dict) else None
    if not isinstance(lakes, list) or not all(_is_lake(lake) for lake in lakes):
        raise ValueError("it holds no list of lakes")
    here = told.get("here")
    if here is not None and not (isinstance(here, dict) and {"lake", "rse"} <= here.keys()):
        raise ValueError("its place is none")
    return lakes, here


def _is_lake(lake: object) -> bool:
    return isinstance(lake, dict) and isinstance(lake.get("name"), str)
