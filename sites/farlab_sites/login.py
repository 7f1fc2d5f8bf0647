"""The hub's login by OpenID Connect, and the tokens that servers may ask for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from farlab_sites.fields import FilePath, Group, Label, LakeUrl, Title
from farlab_sites.lakes import Lake, Oidc, Text
from farlab_sites.models import Model, refuse_duplicates
from farlab_sites.units import wrong

Claim = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]

OIDC_KINDS = ("rucio", "webdav", "s3", "stac")


class WantedToken(Model):
    """A token that servers may ask for: of the caller, for one audience and scope."""

    name: Label = Field(description="Name of the token, unique in the file.")
    title: Title | None = Field(default=None, description="What the user reads; absent: `name`.")
    audience: Text | None = Field(
        default=None, description="Who shall take the token; absent: whoever takes the login's."
    )
    scope: Text = Field(
        default="openid profile", description="The token's scopes, with blanks between them."
    )


class Login(Model):
    """The OpenID Connect provider at which users log in to the hub."""

    issuer: LakeUrl = Field(
        description="The provider's issuer, exactly as it names itself; its endpoints are read "
        "from `ISSUER/.well-known/openid-configuration`."
    )
    client_id: Text = Field(description="The hub's name at the provider.")
    client_secret_file: FilePath | None = Field(
        default=None, description="File with the hub's secret; absent: a public client."
    )
    ca: FilePath | None = Field(
        default=None,
        description="File with the certificates to trust for the provider; absent: the system's.",
    )
    title: Title = Field(
        default="your institution", description="What the login button names after `Sign in with`."
    )
    scopes: Annotated[tuple[Claim, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="What the hub asks for; absent: `openid`, `profile`, `email`, those of "
        "entitlements, and `offline_access`, as far as the provider has them.",
    )
    username_claim: Claim = Field(
        default="preferred_username",
        description="Claim that is the hub's user name; it must stay one person's for ever.",
    )
    entitlements_claim: Claim | None = Field(
        default=None,
        description="Claim with AARC entitlements; absent: `eduperson_entitlement` and "
        "`entitlements`.",
    )
    groups_claim: Claim | None = Field(
        default=None,
        description="Claim with plain group names, such as `groups` or `wlcg.groups`; absent: "
        "groups come from entitlements alone.",
    )
    authorities: Annotated[tuple[Claim, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Only entitlements that end in `#` and one of these make groups; absent: all.",
    )
    members: Annotated[tuple[Group, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Groups whose members may log in; absent: everyone whom the provider lets in.",
    )
    exchange: bool = Field(
        default=False,
        strict=True,
        description="Whether the provider exchanges the login's token for one of another audience "
        "or scope (RFC 8693); otherwise the login's own is given, if it fits.",
    )
    tokens: tuple[WantedToken, ...] = Field(
        default=(), description="Tokens that servers may ask for, besides those of the lakes."
    )

    @model_validator(mode="after")
    def _tokens_differ(self) -> Self:
        """Refuse two tokens of the same name, and a secret for nobody."""
        refuse_duplicates("tokens", self.tokens)
        if self.exchange and self.client_secret_file is None:
            fix = 'add "client_secret_file:", or remove "exchange:"'
            raise wrong("is not for public clients", fix, ("exchange",))
        return self


def wanted_tokens(login: Login, lakes: Iterable[Lake]) -> list[WantedToken]:
    """Return every token that servers may ask for: the lakes' own, then those that are named."""
    found = []
    for lake in lakes:
        for kind in OIDC_KINDS:
            identity = getattr(getattr(lake, kind), "identity", None)
            oidc: Oidc | None = getattr(identity, "oidc", None)
            if oidc is not None:
                found.append(
                    WantedToken(
                        name=lake.name,
                        title=lake.title,
                        audience=oidc.audience or None,
                        scope=oidc.scope,
                    )
                )
    return [*found, *login.tokens]
