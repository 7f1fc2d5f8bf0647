"""Keys of the sites at ALISE: got by an administrator, kept for the service, shown to nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from farlab_sites.catalogue import Catalogue
from farlab_sites.identity import Alise

from ..errors import BadRequestError, ConflictError, NotFoundError
from .alise import AliseClient, keep_key
from .login import HubLogins
from .tokens import FRESH

log = logging.getLogger(__name__)


class AliseKeys:
    """Asks ALISE for new keys, with the token of who asks for one."""

    def __init__(
        self,
        catalogue: Callable[[], Awaitable[Catalogue]],
        client: AliseClient,
        logins: HubLogins | None,
    ) -> None:
        self._catalogue, self._client, self._logins = catalogue, client, logins

    async def renew(self, name: str, user: str, token: str = "") -> None:
        """Put a new key into the site's key file, got with `token` or with the user's login.

        Raises `NotFoundError`, `ForbiddenError` (no-alise-admin), `ConflictError`,
        `CannotCheckError`.
        """
        alise = await self._alise(name)
        if not token:
            if self._logins is None:
                msg = "there is no login here whose token ALISE could take"
                raise BadRequestError(msg, "Send an access token of the site's own provider.")
            token = (await self._logins.token(user, FRESH)).value
        key = await self._client.new_key(alise, token)
        try:
            await asyncio.to_thread(keep_key, alise.key_file, key)
        except OSError as error:
            msg = f"the new key can't be kept in {alise.key_file.name}: {error.strerror}"
            fix = "Let the hub service write there; ALISE has given the key, and does not know."
            raise ConflictError(msg, fix, code="not-kept") from error
        log.info("%s has got a new key of %s at ALISE", user, alise.site)

    async def _alise(self, name: str) -> Alise:
        sites = {site.name: site for site in (await self._catalogue()).sites}
        site = sites.get(name)
        if site is None or site.accounts is None or site.accounts.alise is None:
            msg = f"{name!r} is no site whose accounts ALISE knows"
            raise NotFoundError(msg, "Name one with `accounts: {alise: ...}` in the catalogue.")
        return site.accounts.alise
