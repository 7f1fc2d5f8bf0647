"""The catalogue's lakes: where data is, and who a user is there. No secret is in a catalogue.

A server at a site gets them in its environment, as `environment_of` says, and talks to these lakes
and no others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from farlab_sites.fields import AbsolutePath, HomePath, Label, LakeUrl, Line, Title, Word
from farlab_sites.models import Model, OneOf, refuse_none_or_many

DATALAKE = "FARLAB_DATALAKE"
"""The environment variable in which a server finds its lakes and its site's RSE."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[!-~ ]+$")]
Bucket = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]+$")]


class Oidc(Model):
    """A token of the user, which the hub or a file gives."""

    audience: Text = Field(default="", description="The audience that the lake wants, if any.")
    scope: Text = Field(
        default="openid profile", description="The token's scopes, with blanks between them."
    )
    account: Word | None = Field(
        default=None, description="Rucio account to use; absent: the token's default one."
    )


LOGIN_FILE = (
    "A JSON file with `username` and `password`, on the machine where the server runs, that nobody "
    "but the user can read, such as `~/.lakes/escape.json`; absent or no such file: typed."
)


class Userpass(Model):
    """A user name and a password, which each user types once for a server, or has in a file."""

    account: Word | None = Field(
        default=None, description="Account of all users; absent: each user's own, typed too."
    )
    file: HomePath | None = Field(default=None, description=LOGIN_FILE)


class X509(Model):
    """A certificate or proxy that lies on the machine where the server runs."""

    proxy: AbsolutePath = Field(
        description="The file with certificate and key; `{uid}` stands for the user's number, as "
        "in `/tmp/x509up_u{uid}`."
    )
    account: Word | None = Field(
        default=None, description="Rucio account to use; absent: the certificate's default one."
    )


class RucioIdentity(OneOf):
    """Who a user is to a Rucio: `oidc`, `userpass` or `x509`."""

    oidc: Oidc | None = Field(default=None, description="A token.")
    userpass: Userpass | None = Field(default=None, description="A name and a password.")
    x509: X509 | None = Field(default=None, description="A certificate or a proxy.")


class WebdavIdentity(OneOf):
    """Who a user is to a WebDAV door: `oidc`, `userpass` or `x509`."""

    oidc: Oidc | None = Field(default=None, description="A token.")
    userpass: Userpass | None = Field(default=None, description="A name and a password.")
    x509: X509 | None = Field(default=None, description="A certificate or a proxy.")


class Keys(Model):
    """An access key and its secret, which each user types once for a server, or has in a file."""

    file: HomePath | None = Field(default=None, description=LOGIN_FILE)


class S3Identity(OneOf):
    """Who a user is to an object store: `keys`, or `oidc` exchanged for keys by its STS."""

    keys: Keys | None = Field(default=None, description="Typed keys: write `keys: {}`.")
    oidc: Oidc | None = Field(default=None, description="A token.")


class _Endpoint(Model):
    """What all kinds of lakes have."""

    url: LakeUrl = Field(description="Its address.")
    ca: AbsolutePath | None = Field(
        default=None,
        description="File or folder with the certificates to trust, on the machines where servers "
        "run; absent: the system's.",
    )


class Rucio(_Endpoint):
    """A lake managed by Rucio."""

    auth_url: LakeUrl | None = Field(
        default=None, description="Address of its authentication; absent: `url`."
    )
    web_url: LakeUrl | None = Field(default=None, description="Address of its web pages.")
    vo: Word | None = Field(default=None, description="Virtual organisation, in a Rucio of many.")
    identity: RucioIdentity = Field(description="Who a user is there.")


class Webdav(_Endpoint):
    """A door that speaks WebDAV, such as dCache, StoRM, Teapot or XRootD."""

    identity: WebdavIdentity | None = Field(
        default=None, description="Who a user is there; absent: open to everyone."
    )
    fts: LakeUrl | None = Field(
        default=None,
        description="Address of the FTS3 that carries files to this door; absent: doors copy from "
        "each other.",
    )


class S3(_Endpoint):
    """An object store."""

    bucket: Bucket | None = Field(
        default=None, description="The bucket; absent: all of the user's."
    )
    region: Word | None = Field(default=None, description="Its region, if it has any.")
    identity: S3Identity | None = Field(
        default=None, description="Who a user is there; absent: open to everyone."
    )


class Registered(Model):
    """The scope of a Rucio in which a STAC catalogue's assets are registered."""

    lake: Label = Field(description="Name of the Rucio lake.")
    scope: Word = Field(description="The scope, which is for this catalogue only.")


class Stac(_Endpoint):
    """A STAC API, or a static catalogue (its `catalog.json`)."""

    registered: Registered | None = Field(
        default=None, description="Where its assets are data identifiers, if anywhere."
    )

    identity: WebdavIdentity | None = Field(
        default=None, description="Who a user is there; absent: open to everyone."
    )


class Lake(Model):
    """A place where data is: exactly one of `rucio`, `webdav`, `s3` and `stac`."""

    name: Label = Field(description="Name of the lake, unique in the file.")
    title: Title = Field(description="What the user reads.")
    description: Line = Field(default="", description="One line for the user.")
    rucio: Rucio | None = Field(default=None, description="A Rucio.")
    webdav: Webdav | None = Field(default=None, description="A WebDAV door.")
    s3: S3 | None = Field(default=None, description="An S3 object store.")
    stac: Stac | None = Field(default=None, description="A STAC catalogue.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        """Refuse a lake of no kind, and of two."""
        refuse_none_or_many(self, ("rucio", "webdav", "s3", "stac"))
        return self


class SiteDatalake(Model):
    """The storage of a Rucio lake that a site's machines read as files."""

    rse: Word = Field(description="Name of the RSE.")
    lake: Label | None = Field(
        default=None, description="Which Rucio lake it belongs to; absent: the only one."
    )
    prefix: AbsolutePath | None = Field(
        default=None,
        description="Where the RSE's files are on the site's machines; absent: where the RSE's "
        "own paths say.",
    )
    pfn_prefix: AbsolutePath | None = Field(
        default=None,
        description="What comes before the files' names in the paths of the RSE's door, such as "
        "`/webdav`; absent: `prefix`. Farlab asks Rucio; only rucio-jupyterlab has to be told.",
    )


def scope_problem(lake: Lake, lakes: Sequence[Lake]) -> tuple[str, str] | None:
    """Return what is wrong with where a STAC lake is registered, and the fix; None if nothing."""
    where = lake.stac.registered if lake.stac else None
    if where is None:
        return None
    known = [one.name for one in lakes if one.rucio]
    if where.lake not in known:
        return f'"{where.lake}" is no Rucio lake', f"known: {', '.join(known) or 'none'}"
    others = [one for one in lakes if one.stac and one.name != lake.name]
    if any(one.stac and one.stac.registered == where for one in others):
        return f'"{where.scope}" belongs to another catalogue too', "give each its own scope"
    return None


def lake_problem(site: SiteDatalake, lakes: Sequence[Lake]) -> tuple[str, str] | None:
    """Return what is wrong with a site's choice of lake, and the fix; None if nothing is."""
    known = [lake.name for lake in lakes if lake.rucio]
    if not known:
        return "belongs to no Rucio lake", 'describe one under "lakes:"'
    if site.lake is None and len(known) > 1:
        return "may belong to more than one lake", f'add "lake:", one of {", ".join(known)}'
    if site.lake is not None and site.lake not in known:
        return f'"{site.lake}" is no Rucio lake', f"known: {', '.join(known)}"
    return None


def storage_of(site: SiteDatalake, lakes: Sequence[Lake]) -> dict[str, str]:
    """Return lake and RSE of a site; a site that names no lake has the only Rucio's."""
    lake = site.lake or next(lake.name for lake in lakes if lake.rucio)
    return {"lake": lake, "rse": site.rse}


def environment_of(site: SiteDatalake | None, lakes: Sequence[Lake]) -> dict[str, str]:
    """Return the variable by which a server learns of the lakes; none where there are no lakes."""
    if not lakes:
        return {}
    described: dict[str, Any] = {"lakes": [_plain(lake) for lake in lakes]}
    if site:
        rucio = next(lake.name for lake in lakes if lake.rucio)
        described["here"] = {"lake": rucio, **_plain(site)}
    return {DATALAKE: json.dumps(described, separators=(",", ":"))}


def _plain(model: Model) -> dict[str, Any]:
    """Return a part of the catalogue as JSON, without what is absent."""
    return model.model_dump(mode="json", exclude_none=True)
