"""The catalogue's account mappings: which local account of a site runs a user's jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from farlab_sites.entitlements import Entitlement, EntitlementError, is_entitlement
from farlab_sites.fields import Account, FilePath, Group, LakeUrl, Word
from farlab_sites.login import Claim as ClaimName
from farlab_sites.models import Model, OneOf
from farlab_sites.units import wrong


def _whole(text: str) -> str:
    """Refuse what begins as an entitlement and is none: it would let nobody in."""
    if is_entitlement(text):
        try:
            Entitlement.parse(text)
        except EntitlementError as error:
            fix = 'write it as "urn:mace:egi.eu:group:VO:role=member#aai.egi.eu", or name a group'
            raise wrong(str(error), fix) from None
    return text


Membership = Annotated[Group, AfterValidator(_whole)]
"""A hub group's name, or an AARC entitlement."""


class Alise(Model):
    """An account linking service that knows which users have linked which account."""

    url: LakeUrl = Field(description="Its address.")
    site: Word = Field(description="The site's name there, such as `vega-kc`.")
    key_file: FilePath = Field(
        description="File with an API key for the site, which only the hub service reads; read "
        "again each time."
    )
    ca: FilePath | None = Field(
        default=None, description="File with the certificates to trust; absent: the system's."
    )


class Claim(Model):
    """What the site's own provider says of users who log in to the hub with it."""

    issuer: LakeUrl | None = Field(
        default=None,
        description="The provider's issuer, exactly as it names itself: other logins have no "
        "account; absent: the hub's login.",
    )
    name: ClaimName = Field(
        default="preferred_username",
        description="The claim that is the local account; users must not be able to change it.",
    )


class Accounts(OneOf):
    """Which local account runs a user's jobs: exactly one of four ways."""

    file: FilePath | None = Field(
        default=None,
        description="CSV file with the columns `user` and `account`; read again on change.",
    )
    alise: Alise | None = Field(default=None, description="The account that the user has linked.")
    claim: Claim | None = Field(
        default=None, description="The account that the login's own provider names."
    )
    vo: Annotated[dict[Membership, Account], Field(min_length=1)] | None = Field(
        default=None,
        description="One shared account per hub group or entitlement; the first that fits.",
    )
