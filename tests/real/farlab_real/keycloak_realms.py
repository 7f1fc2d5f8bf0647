"""The two realms of the tests' Keycloak, as its admin API takes them."""

from __future__ import annotations

from typing import Any

from farlab_real import keycloak_build

HUB, SITE = "hub", "site"
SECRET = "a-secret-of-the-tests"
PASSWORD = keycloak_build.PASSWORD

CLAIM = "eduperson_entitlement"
MEMBER = "urn:mace:egi.eu:group:dev.intertwin.eu:role=member#aai.egi.eu"
ALISE_ADMIN = "urn:farlab:site:group:alise-admins"
"""Without an authority: ALISE cuts the user's off before it compares."""

AUDIENCES = ("rucio", "dcache")
"""Each is a client, and an optional scope of the same name that puts it into `aud`."""
STORAGE_SCOPES = ("storage.read:/", "storage.modify:/")
STORAGE_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"

LIFETIMES = {"access": 60, "idle": 1800, "session": 36000}
SETTINGS = {
    "access": "accessTokenLifespan",
    "idle": "ssoSessionIdleTimeout",
    "session": "ssoSessionMaxLifespan",
}


def realm(name: str) -> dict[str, Any]:
    """Return a realm without users: its clients, and short lifetimes.

    Scopes come after it (`scopes`): a realm that comes with some gets none of Keycloak's own.
    """
    return {
        "realm": name,
        "enabled": True,
        "sslRequired": "none",
        "clients": [_client("hub"), _client("alise"), *map(_audience_client, AUDIENCES)],
        **{SETTINGS[key]: value for key, value in LIFETIMES.items()},
    }


def scopes() -> list[dict[str, Any]]:
    """Return the client scopes that a realm has beside Keycloak's own."""
    return [_entitlements(), *map(_audience, AUDIENCES), *_storage()]


def defaults(name: str) -> tuple[list[str], list[str]]:
    """Return which of our scopes a client has always, and which only when it asks."""
    asked = [*AUDIENCES, *STORAGE_SCOPES, "offline_access"] if name == "hub" else []
    return ["entitlements"], asked


def user(name: str, password: str, entitlements: tuple[str, ...]) -> dict[str, Any]:
    """Return a user who can log in at once."""
    return {
        "username": name,
        "enabled": True,
        "email": f"{name}@example.org",
        "emailVerified": True,
        "firstName": name.title(),
        "lastName": "Of The Tests",
        "attributes": {CLAIM: list(entitlements)},
        "credentials": [{"type": "password", "value": password, "temporary": False}],
    }


def _client(name: str) -> dict[str, Any]:
    return {
        "clientId": name,
        "secret": SECRET,
        "redirectUris": ["*"],
        "standardFlowEnabled": True,
        "directAccessGrantsEnabled": True,
        "frontchannelLogout": True,
        "attributes": {
            "standard.token.exchange.enabled": "true",
            "post.logout.redirect.uris": "*",
        },
    }


def _audience_client(name: str) -> dict[str, Any]:
    return {"clientId": name, "secret": SECRET, "standardFlowEnabled": False}


def _entitlements() -> dict[str, Any]:
    config = {
        "user.attribute": CLAIM,
        "claim.name": CLAIM,
        "multivalued": "true",
        "jsonType.label": "String",
    }
    return _scope("entitlements", "oidc-usermodel-attribute-mapper", _everywhere(config), "false")


def _audience(name: str) -> dict[str, Any]:
    config = {"included.client.audience": name}
    return _scope(name, "oidc-audience-mapper", _access_only(config), "true")


def _storage() -> list[dict[str, Any]]:
    config = _access_only({"included.custom.audience": STORAGE_AUDIENCE})
    return [_scope(name, "oidc-audience-mapper", config, "true") for name in STORAGE_SCOPES]


def _scope(name: str, mapper: str, config: dict[str, str], told: str) -> dict[str, Any]:
    mapping = {"name": name, "protocol": "openid-connect", "protocolMapper": mapper}
    return {
        "name": name,
        "protocol": "openid-connect",
        "attributes": {"include.in.token.scope": told},
        "protocolMappers": [mapping | {"config": config}],
    }


def _everywhere(config: dict[str, str]) -> dict[str, str]:
    places = ("access.token.claim", "id.token.claim", "userinfo.token.claim")
    return config | dict.fromkeys((*places, "introspection.token.claim"), "true")


def _access_only(config: dict[str, str]) -> dict[str, str]:
    return config | {"access.token.claim": "true", "id.token.claim": "false"}
