"""ALISE's word on who somebody is at a site: a real ALISE, with real logins at a real Keycloak."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from farlab_hub.errors import CannotCheckError, ForbiddenError, NotLinkedError
from farlab_hub.identity.alise import AliseClient, keep_key
from farlab_hub.identity.audit import Audit
from farlab_hub.identity.mapping import Mapping
from farlab_hub.identity.person import Person
from farlab_real.alise import RunningAlise
from farlab_real.keycloak import RunningKeycloak
from farlab_sites.catalogue import Site

SITE = {
    "name": "vega",
    "title": "Vega",
    "kind": "hpc",
    "carrier": {"direct": {"url": "http://127.0.0.1:4000"}},
    "profiles": [
        {
            "name": "p",
            "title": "P",
            "sizes": [{"title": "s", "cpu": 1, "memory": "1Gi"}],
            "images": [{"title": "i", "image": "/opt/i"}],
        }
    ],
}
ACCOUNTS = iter(range(1, 1000))


def site_with(**accounts: Any) -> Site:
    return Site.model_validate({**SITE, "accounts": accounts})


@pytest.fixture
async def mapping(tmp_path: Path) -> AsyncIterator[Mapping]:
    made = Mapping(Audit(tmp_path / "audit.jsonl"))
    yield made
    await made.close()


@pytest.fixture
def key_file(alise: RunningAlise, tmp_path: Path) -> Path:
    keep_key(tmp_path / "alise.key", alise.api_key())
    return tmp_path / "alise.key"


@pytest.fixture
def vega(alise: RunningAlise, key_file: Path) -> Site:
    return site_with(alise={"url": alise.url, "site": alise.site, "key_file": str(key_file)})


@pytest.fixture
def account(keycloak: RunningKeycloak) -> str:
    """Return the name of a new account of the site."""
    name = f"itw{next(ACCOUNTS):03}"
    keycloak.site.add_user(name)
    return name


@pytest.fixture
def person(keycloak: RunningKeycloak, account: str) -> Person:
    """Return a new user of the hub's login."""
    name = f"user-of-{account}"
    subject = keycloak.hub.add_user(name)
    return Person(name, (), keycloak.hub.issuer, subject)


async def test_a_linked_account_is_found_until_it_is_unlinked(
    mapping, alise, vega, person, account, keycloak, tmp_path
):
    with pytest.raises(NotLinkedError, match="has no account at Vega") as refused:
        await mapping.account(vega, person, fresh=True)
    assert f"{alise.url}/{alise.site}" in refused.value.fix
    visitor = alise.link(account, person.name)
    found = await mapping.account(vega, person, fresh=True)
    assert (found.account, found.rule) == (account, "alise")
    assert found.last_seen is not None
    [external] = found.external
    assert (external.issuer, external.subject) == (keycloak.hub.issuer, person.subject)
    assert (await mapping.account(vega, person)).account == account
    visitor.unlink()
    # What is only shown may be minutes old. What starts is asked, and then it is known here too.
    assert (await mapping.account(vega, person)).account == account
    with pytest.raises(NotLinkedError):
        await mapping.account(vega, person, fresh=True)
    with pytest.raises(NotLinkedError):
        await mapping.account(vega, person)
    alise.link(account, person.name)
    assert (await mapping.account(vega, person, fresh=True)).account == account
    decisions = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    # What is looked at is written down where it tells something new.
    outcomes = [one["outcome"] for one in decisions]
    assert outcomes == ["not-linked", "mapped", "not-linked", "mapped"]
    assert {one["subject"] for one in decisions} == {person.subject}
    assert {one["rule"] for one in decisions} == {"alise"}
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    assert alise_key(vega) not in (tmp_path / "audit.jsonl").read_text()


def alise_key(site: Site) -> str:
    assert site.accounts is not None
    assert site.accounts.alise is not None
    return site.accounts.alise.key_file.read_text().strip()


async def doubt(mapping: Mapping, site: Site, person: Person) -> CannotCheckError:
    """Return why nobody knows; it must be said, and no key in it."""
    with pytest.raises(CannotCheckError) as refused:
        await mapping.account(site, person, fresh=True)
    assert refused.value.fix
    assert alise_key(site)[:50] not in f"{refused.value.message} {refused.value.fix}"
    return refused.value


async def test_without_a_good_key_nobody_knows(mapping, alise, vega, person, account, key_file):
    alise.link(account, person.name)
    good = key_file.read_text()
    for bad in ("wrong", "a b&c=d#e", "k" * 10_000):
        key_file.write_text(bad)
        assert "key" in (await doubt(mapping, vega, person)).message
    key_file.write_text(good)
    assert (await mapping.account(vega, person, fresh=True)).account == account
    alise.revoke(good.strip())
    assert "refuses the hub's key" in (await doubt(mapping, vega, person)).message
    key_file.write_text(alise.api_key())  # read again, without a new start
    assert (await mapping.account(vega, person, fresh=True)).account == account
    key_file.unlink()
    with pytest.raises(CannotCheckError, match="cannot be read"):
        await mapping.account(vega, person, fresh=True)


async def test_an_error_inside_of_a_200_is_no_answer(
    mapping, keycloak, person, account, tmp_path, key_file
):
    with RunningAlise(tmp_path / "other", keycloak) as broken:
        key_file.write_text(broken.api_key())
        site = site_with(alise={"url": broken.url, "site": broken.site, "key_file": str(key_file)})
        broken.link(account, person.name)
        assert (await mapping.account(site, person, fresh=True)).account == account
        with sqlite3.connect(tmp_path / f"other/links_{broken.site}.db") as database:
            database.execute("ALTER TABLE ext_user RENAME TO gone")
            database.execute("CREATE TABLE ext_user (other TEXT)")
        database.close()
        status, told = broken.mapping(alise_key(site), person.subject)
        assert (status, "error" in told) == (200, True)
        assert "answers with an error" in (await doubt(mapping, site, person)).message
        broken.stop()
        assert "cannot be reached" in (await doubt(mapping, site, person)).message
        with pytest.raises(CannotCheckError):
            await mapping.account(site, person)  # lists do not show the old account either


async def test_a_login_that_alise_does_not_know_is_not_called_unlinked(mapping, vega, person):
    other = replace(person, issuer="https://elsewhere.example.org")
    assert "does not know the hub's login" in (await doubt(mapping, vega, other)).message
    for unknown in (replace(person, issuer=""), replace(person, subject="")):
        assert "does not say who you are" in (await doubt(mapping, vega, unknown)).message
    for subject in ("a:b", "a/b", "../x"):
        odd = replace(person, subject=subject)
        assert "colon or a slash" in (await doubt(mapping, vega, odd)).message
    with pytest.raises(NotLinkedError):
        await mapping.account(vega, replace(person, subject="no b?d&y#=%2F+é"), fresh=True)


async def test_a_site_that_alise_does_not_know_is_nobodys_answer(mapping, alise, key_file, person):
    site = site_with(alise={"url": alise.url, "site": "nowhere", "key_file": str(key_file)})
    await doubt(mapping, site, person)
    # The name of the outside login instead of the site's own.
    site = site_with(alise={"url": alise.url, "site": "hub", "key_file": str(key_file)})
    await doubt(mapping, site, person)


async def test_an_account_that_alise_names_is_checked_too(mapping, alise, vega, person, keycloak):
    keycloak.site.add_user("daemon")
    alise.link("daemon", person.name)
    with pytest.raises(ForbiddenError) as refused:
        await mapping.account(vega, person, fresh=True)
    assert refused.value.code == "refused-account"


async def test_keys_are_for_those_whom_alise_lets_have_them(alise, vega, keycloak):
    assert vega.accounts is not None
    client = AliseClient()
    try:
        token = keycloak.site.token("ada")["access_token"]
        key = await client.new_key(vega.accounts.alise, token)
        assert alise.get(f"/api/v1/target/{alise.site}/validate_apikey/{key}")[1] == {
            "apikey": True
        }
        for refused in (keycloak.hub.token("marie")["access_token"], "no token"):
            with pytest.raises(ForbiddenError) as error:
                await client.new_key(vega.accounts.alise, refused)
            assert error.value.code == "no-alise-admin"
    finally:
        await client.close()


def test_a_key_is_kept_for_the_services_eyes_only(tmp_path):
    for key in ("one", "two"):
        keep_key(tmp_path / "k", key)
        assert (tmp_path / "k").read_text() == f"{key}\n"
        assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["k"]
