"""Who the caller is, and fresh tokens for the caller alone."""

from __future__ import annotations

from .auth import ADMIN, Caller
from .errors import ForbiddenError
from .handlers import ApiHandler
from .identity.views import (
    IdentityView,
    KeyRequest,
    KeyView,
    SiteIdentityView,
    TokenRequest,
    TokenView,
)
from .operations import Answer, operation


def _must_be_user(caller: Caller) -> None:
    """Raise `ForbiddenError` for services: what is here, each user has for itself alone."""
    if not caller.is_user:
        msg = f"the service {caller.name} is no user"
        raise ForbiddenError(msg, "Use a user's token: only users have an identity here.")


class IdentityHandler(ApiHandler):
    """The caller's login, tokens and accounts."""

    @operation(
        "Who the caller is: at the hub, towards services, and at every site",
        Answer("Accounts may be as old as some minutes: `checked` says.", IdentityView),
    )
    async def get(self) -> None:
        """Tell also what can't be checked now, and why a site is closed."""
        caller = self.caller
        _must_be_user(caller)
        self.answer(
            await self.while_connected(self.service.identity.whole(caller.name, caller.groups))
        )


class SiteIdentityHandler(ApiHandler):
    """The caller's account at one site."""

    @operation(
        "Look up the caller's account at a site anew",
        Answer("The account as it is now.", SiteIdentityView),
        refusals=(404, 429),
    )
    async def post(self, site: str) -> None:
        """Ask the site's mapping, once a second at most."""
        caller = self.caller
        _must_be_user(caller)
        looking = self.service.identity.check(caller.name, caller.groups, site)
        self.answer(await self.while_connected(looking))


class AliseKeyHandler(ApiHandler):
    """The service's key for a site at ALISE."""

    @operation(
        "Get a new key for a site at ALISE, and keep it for the service (for administrators)",
        Answer("The key is kept; it is shown to nobody.", KeyView),
        body=KeyRequest,
        refusals=(404, 409),
    )
    async def post(self, site: str) -> None:
        """Get it with the caller's own token: ALISE decides who may have keys."""
        _must_be_user(self.caller)
        if ADMIN not in self.caller.scopes:
            msg = f"{self.caller.name}'s token lacks the scope {ADMIN}"
            raise ForbiddenError(msg, "Ask an administrator of the hub.")
        wish: KeyRequest = self.read_body()
        await self.service.alise_keys.renew(site, self.caller.name, wish.access_token)
        self.answer(KeyView(site=site, kept=True))


class TokenHandler(ApiHandler):
    """A fresh access token."""

    @operation(
        "A fresh access token of the caller for an audience and a scope",
        Answer("A token that lasts a while; never one to renew it with.", TokenView),
        body=TokenRequest,
        refusals=(409, 502),
    )
    async def post(self) -> None:
        """Give one for a pair that the catalogue names, under `lakes:` or `login.tokens:`."""
        _must_be_user(self.caller)
        wish: TokenRequest = self.read_body()
        keeper = self.service.tokens
        token = await keeper.token(self.caller.name, wish.audience, wish.scope)
        self.answer(
            TokenView(
                access_token=token.value,
                expires_at=token.ends,
                issuer=token.issuer,
                audience=token.audience,
                scope=token.scope,
            )
        )
