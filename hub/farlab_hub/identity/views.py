"""What the identity API takes and shows; no token and no key, save the one that is asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ..views import View

Wish = Annotated[str, StringConstraints(max_length=500)]


class TokenRequest(BaseModel):
    """Which token: a pair that the catalogue names."""

    model_config = ConfigDict(extra="forbid")
    audience: Wish = Field(default="", description="Who shall take it.")
    scope: Wish = Field(default="openid profile", description="Its scopes, blanks between them.")


class KeyRequest(BaseModel):
    """Whose token ALISE is shown."""

    model_config = ConfigDict(extra="forbid")
    access_token: Annotated[str, StringConstraints(max_length=16384)] = Field(
        default="",
        description="One of the site's own provider; absent: that of the caller's login.",
    )


class TokenView(View):
    """A fresh access token of the caller."""

    access_token: str
    expires_at: float | None = Field(description="Seconds since 1970; null where unknown.")
    issuer: str
    audience: str
    scope: str


class LoginView(View):
    """The login at the hub's provider."""

    issuer: str
    subject: str
    name: str
    ends: float | None = Field(description="Null while it is renewed by itself.")
    state: Literal["live", "ended", "none", "unknown"] = Field(
        description="`none`: this hub has no such login; `unknown`: it can't be checked now."
    )
    reason: str
    login_url: str = Field(description="Where to log in again; empty where there is no such login.")
    entitlements: list[str]
    groups: list[str] = Field(description="The hub's groups.")


class TokenStateView(View):
    """A token that the caller's servers may ask for, and what came of it last."""

    name: str
    title: str
    audience: str
    scope: str
    state: Literal["live", "none", "ended", "refused"]
    ends: float | None
    reason: str


class ExternalView(View):
    """An identity that is linked to a local account."""

    issuer: str
    subject: str
    name: str
    last_seen: float | None


class SiteIdentityView(View):
    """Who the caller is at a site. Times in seconds since 1970."""

    site: str
    title: str
    kind: str
    rule: Literal["none", "file", "alise", "claim", "vo"]
    state: Literal["linked", "not-linked", "cannot-check", "refused", "not-needed"]
    account: str | None
    last_seen: float | None
    external: list[ExternalView]
    open: bool
    reason: str = Field(description="Why it is closed.")
    fix: str = Field(description="What to do about it.")
    link_url: str | None
    unlink_url: str | None
    checked: float | None


class IdentityView(View):
    """Who the caller is: at the hub, towards services, and at every site."""

    user: str
    login: LoginView
    tokens: list[TokenStateView]
    sites: list[SiteIdentityView]


class KeyView(View):
    """An ALISE key that the service keeps from now on; it is not shown."""

    site: str
    kept: Literal[True]
