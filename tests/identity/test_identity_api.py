"""Who a user is at each site, from an account that is not linked to one that is no more."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_real.alise import RunningAlise
from farlab_real.hub import RunningHub
from farlab_real.keycloak import RunningKeycloak
from farlab_real.oidc_hub import VO, OidcUser, oidc_hub
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import wait_until
from farlab_real.world import machine_sites

pytestmark = pytest.mark.timeout(600)  # servers start first

ADMINS = 'c.JupyterHub.load_roles.append({"name": "farlab-admins", "users": ["boss"], '
ADMINS += '"scopes": ["custom:farlab:admin"]})\n'


@pytest.fixture(scope="module")
def linked_hub(
    keycloak: RunningKeycloak,
    alise: RunningAlise,
    site: RunningPlugin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningHub]:
    """A hub with a site of each rule; the key for ALISE is still missing."""
    folder = tmp_path_factory.mktemp("linked")
    (folder / "accounts.csv").write_text("user,account\nmarie,nobody-of-these\n")
    plain = machine_sites(site)["sites"][0]
    rules = {
        "alise": {"url": alise.url, "site": alise.site, "key_file": str(folder / "alise.key")},
        "claim": {"name": "preferred_username"},
        "file": str(folder / "accounts.csv"),
        "vo": {VO: "itw001"},
    }
    sites = [
        {**plain, "name": rule, "title": f"By {rule}", "accounts": {rule: said}}
        for rule, said in rules.items()
    ]
    sites.append({**plain, "name": "closed", "title": "Closed", "groups": ["others"]})
    keycloak.hub.add_user("boss")
    with oidc_hub(folder, keycloak, {"sites": sites}, more=ADMINS) as running:
        yield running


@pytest.fixture
def person(linked_hub: RunningHub, keycloak: RunningKeycloak) -> Iterator[OidcUser]:
    """A new user, in no group."""
    name = f"p{secrets.token_hex(4)}"
    keycloak.hub.add_user(name)
    with OidcUser(linked_hub, keycloak, name) as user:
        yield user.login()


def sites_of(user: OidcUser) -> dict[str, dict[str, Any]]:
    answer = user.farlab("GET", "identity")
    assert answer.status_code == 200, answer.text
    return {one["site"]: one for one in answer.json()["sites"]}


def checked(user: OidcUser, site: str = "alise") -> dict[str, Any]:
    """Look anew, as often as that may be."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        answer = user.farlab("POST", f"identity/{site}/check", {})
        if answer.status_code == 429:
            assert answer.json()["code"] == "too-often"
            return False
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        return True

    wait_until(look, "a look that is allowed")
    return found[0]


def test_each_rule_says_what_it_knows(person: OidcUser) -> None:
    sites = sites_of(person)
    assert {name: one["rule"] for name, one in sites.items()} == {
        "alise": "alise", "claim": "claim", "file": "file", "vo": "vo", "closed": "none",
    }  # fmt: skip
    assert (sites["claim"]["state"], sites["claim"]["account"]) == ("linked", person.name)
    assert sites["claim"]["open"]
    for name in ("file", "vo"):
        assert (sites[name]["state"], sites[name]["open"]) == ("not-linked", False)
        assert sites[name]["fix"]
    assert sites["closed"]["state"] == "refused"
    assert "others" in sites["closed"]["reason"]


def test_the_form_uses_the_same_words(linked_hub: RunningHub, person: OidcUser) -> None:
    shown = {one["name"]: one for one in person.farlab("GET", "sites").json()}
    for name, known in sites_of(person).items():
        if name == "closed":
            assert name not in shown
        elif not known["open"]:
            told = shown[name]["reason"]
            assert known["reason"].rstrip(".")[1:] in told
            assert known["fix"] in told


def test_a_key_for_alise_is_for_administrators(
    linked_hub: RunningHub, keycloak: RunningKeycloak, person: OidcUser
) -> None:
    key_file = linked_hub.folder / "alise.key"
    ada = keycloak.site.token("ada")["access_token"]
    answer = person.farlab("POST", "identity/alise/key", {"access_token": ada})
    assert answer.status_code == 403
    with OidcUser(linked_hub, keycloak, "boss") as boss:
        boss.login()
        answer = boss.farlab("POST", "identity/alise/key", {})
        assert (answer.status_code, answer.json()["code"]) == (403, "no-alise-admin")
        assert not key_file.exists()
        answer = boss.farlab("POST", "identity/claim/key", {})
        assert answer.status_code == 404
        answer = boss.farlab("POST", "identity/alise/key", {"access_token": ada})
        assert (answer.status_code, answer.json()) == (200, {"site": "alise", "kept": True})
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.read_text().strip() not in linked_hub.read_log()


def test_linking_and_unlinking_is_seen_at_once(
    linked_hub: RunningHub, keycloak: RunningKeycloak, alise: RunningAlise, person: OidcUser
) -> None:
    with_key(linked_hub, alise)
    before = checked(person)
    assert (before["state"], before["open"]) == ("not-linked", False)
    assert before["link_url"] == f"{alise.url}/{alise.site}"
    assert before["link_url"] in before["fix"]
    account = f"itw{secrets.token_hex(3)}"
    keycloak.site.add_user(account)
    visitor = alise.link(account, person.name)
    linked = checked(person)
    assert (linked["state"], linked["account"], linked["open"]) == ("linked", account, True)
    mine = {(one["issuer"], one["subject"]) for one in linked["external"]}
    assert mine == {(keycloak.hub.issuer, keycloak.hub.subject(person.name))}
    assert sites_of(person)["alise"]["account"] == account
    visitor.unlink()
    assert checked(person)["state"] == "not-linked"


def test_what_cannot_be_checked_is_not_called_missing(
    linked_hub: RunningHub, alise: RunningAlise, person: OidcUser
) -> None:
    with_key(linked_hub, alise)
    (linked_hub.folder / "alise.key").write_text("not-a-key\n")
    doubtful = checked(person)
    assert (doubtful["state"], doubtful["open"]) == ("cannot-check", False)
    assert "key" in doubtful["reason"]
    assert "not-a-key" not in json.dumps(doubtful)


def with_key(hub: RunningHub, alise: RunningAlise) -> Path:
    file = hub.folder / "alise.key"
    file.write_text(alise.api_key())
    return file
