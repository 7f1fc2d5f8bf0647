"""From a login at Keycloak to a job that runs as the account which the site's mapping names."""

from __future__ import annotations

import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from farlab_real.alise import RunningAlise
from farlab_real.hub import RunningHub
from farlab_real.keycloak import RunningKeycloak
from farlab_real.keycloak_realms import MEMBER
from farlab_real.local_accounts import local_accounts
from farlab_real.oidc_hub import OidcUser, oidc_hub
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import wait_until
from farlab_real.service import small_profile
from farlab_real.service_account import lend_environment

OTHER = MEMBER.replace("#aai.egi.eu", "#other.example.org")
WORDS = "has no account at"


def become(name: str) -> list[str]:
    """Return what makes a command run as an account."""
    entry = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]


class Places:
    """A hub with a site for each way of mapping, on one machine with accounts of its own."""

    def __init__(self, folder: Path, names: list[str], alise: RunningAlise) -> None:
        self.folder, self.names, self.alise = folder, names, alise
        self.key_file = folder / "alise.key"
        self.key_file.write_text(alise.api_key())
        self.accounts = folder / "accounts.csv"
        self.accounts.write_text("user,account\n")
        self.environment = lend_environment(become(names[0]), folder)

    def catalogue(self, plugin: RunningPlugin, keycloak: RunningKeycloak) -> dict[str, Any]:
        alise = {"url": self.alise.url, "site": self.alise.site, "key_file": str(self.key_file)}
        ways: dict[str, Any] = {
            "by-file": {"file": str(self.accounts)},
            "by-alise": {"alise": alise},
            "by-claim": {"claim": {"issuer": keycloak.hub.issuer}},
            "by-other": {"claim": {"issuer": keycloak.site.issuer}},
            "by-vo": {"vo": {OTHER: self.names[0], MEMBER: self.names[1]}},
        }
        images = [{"title": "lent", "image": str(self.environment)}]
        profiles = [small_profile(images=images)]
        common = {"kind": "hpc", "carrier": plugin.carrier, "profiles": profiles}
        sites = [
            {"name": name, "title": name.title(), "accounts": accounts, **common}
            for name, accounts in ways.items()
        ]
        closed = {"name": "closed", "title": "Closed", "groups": [OTHER], **common}
        members = {"name": "members", "title": "Members", "groups": [MEMBER], **common}
        return {"sites": [*sites, closed, members]}


@pytest.fixture(scope="module")
def places(keycloak: RunningKeycloak, alise: RunningAlise) -> Iterator[tuple[Places, RunningHub]]:
    with (
        local_accounts(3) as names,
        tempfile.TemporaryDirectory(prefix="farlab-at-sites-") as made,
    ):
        folder = Path(made)
        folder.chmod(0o711)  # the accounts pass through it to their jobs
        world = Places(folder, names, alise)
        settings = {
            "accounts": {"allow": names},
            "python": str(world.environment / "bin/python"),
        }
        with RunningPlugin(folder / "plugin", {"local": {"cpus": 16}}, **settings) as plugin:
            plugin.folder.chmod(0o711)
            (folder / "hub").mkdir(mode=0o700)
            hub = oidc_hub(folder / "hub", keycloak, world.catalogue(plugin, keycloak))
            with hub:
                yield world, hub


@contextmanager
def somebody(
    hub: RunningHub, keycloak: RunningKeycloak, name: str, *entitlements: str
) -> Iterator[OidcUser]:
    keycloak.hub.add_user(name, entitlements=entitlements)
    with OidcUser(hub, keycloak, name) as user:
        yield user.login()


def start(user: OidcUser, site: str) -> tuple[int, dict[str, Any]]:
    answer = user.farlab("POST", "workloads", {"kind": "kernel", "site": site})
    return answer.status_code, answer.json()


def runs_as(user: OidcUser, site: str, account: str) -> None:
    """Start a kernel, look whose processes it is made of, and end it."""
    status, workload = start(user, site)
    assert status == 201, workload
    assert workload["account"] == account
    uid = workload["uid"]

    def found() -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["cmdline"]) if _is_of(one, uid, account)]

    wait_until(lambda: bool(found()), f"a job of {account}", lambda: str(state(user, uid)))
    assert user.farlab("DELETE", f"workloads/{uid}").status_code in (200, 202)
    wait_until(lambda: not found(), f"the end of {account}'s job")


def _is_of(process: psutil.Process, uid: str, account: str) -> bool:
    """Return whether a process works in a workload's folder as somebody who is not the plugin."""
    try:
        mine = process.uids().real == pwd.getpwnam(account).pw_uid
        return mine and any(uid in word for word in process.cmdline())
    except psutil.Error:
        return False


def state(user: OidcUser, uid: str) -> Any:
    return user.farlab("GET", f"workloads/{uid}").json()


def site_of(user: OidcUser, name: str) -> dict[str, Any]:
    [site] = [one for one in user.farlab("GET", "identity").json()["sites"] if one["site"] == name]
    found: dict[str, Any] = site
    return found


def test_a_linked_account_runs_the_jobs_until_it_is_unlinked(places, keycloak):
    world, hub = places
    account = world.names[0]
    keycloak.site.add_user(account)
    with somebody(hub, keycloak, "lena") as lena:
        status, refused = start(lena, "by-alise")
        assert (status, refused["code"]) == (403, "not-linked")
        assert world.alise.url in refused["fix"]
        visitor = world.alise.link(account, "lena")
        runs_as(lena, "by-alise", account)
        visitor.unlink()
        status, refused = start(lena, "by-alise")
        assert (status, refused["code"]) == (403, "not-linked")
        assert site_of(lena, "by-alise")["state"] == "not-linked"


def test_nothing_starts_while_the_link_cannot_be_checked(places, keycloak):
    world, hub = places
    account = world.names[2]
    keycloak.site.add_user(account)
    good = world.key_file.read_text()
    with somebody(hub, keycloak, "nadia") as nadia:
        world.alise.link(account, "nadia")
        runs_as(nadia, "by-alise", account)
        try:
            world.key_file.write_text("revoked")
            status, refused = start(nadia, "by-alise")
            assert (status, refused["code"]) == (503, "cannot-check")
            assert "cannot be checked now" in refused["message"]
            assert WORDS not in refused["message"]
        finally:
            world.key_file.write_text(good)
        world.alise.stop()
        try:
            status, refused = start(nadia, "by-alise")
            assert (status, refused["code"]) == (503, "cannot-check")
            assert site_of(nadia, "by-alise")["state"] == "cannot-check"
            [listed] = [
                one for one in nadia.farlab("GET", "sites").json() if one["name"] == "by-alise"
            ]
            assert not listed["open"]
            assert "cannot be checked now" in listed["reason"]
        finally:
            world.alise.start()
        runs_as(nadia, "by-alise", account)
        assert nadia.farlab("GET", "workloads").json() == []


def test_the_logins_own_provider_names_the_account(places, keycloak):
    world, hub = places
    with somebody(hub, keycloak, world.names[0]) as user:
        runs_as(user, "by-claim", world.names[0])
        status, refused = start(user, "by-other")
        assert (status, refused["code"]) == (403, "not-linked")
        assert keycloak.site.issuer in refused["message"]
    with somebody(hub, keycloak, "daemon") as user:
        status, refused = start(user, "by-claim")
        assert (status, refused["code"]) == (403, "refused-account")


def test_an_entitlement_has_an_account_and_opens_a_site(places, keycloak):
    world, hub = places
    with somebody(hub, keycloak, "mila", MEMBER) as mila:
        runs_as(mila, "by-vo", world.names[1])
        assert start(mila, "closed")[0] in (403, 404)
        names = {one["name"] for one in mila.farlab("GET", "sites").json()}
        assert "members" in names
        assert "closed" not in names
        assert "Members" in mila.form()
        assert "Closed" not in mila.form()
    forged = MEMBER.replace("#aai.egi.eu", "#evil.org")
    with somebody(hub, keycloak, "eva", forged, MEMBER.replace(":role", ":sub:role")) as eva:
        status, refused = start(eva, "by-vo")
        assert (status, refused["code"]) == (403, "not-linked")
        assert "members" not in {one["name"] for one in eva.farlab("GET", "sites").json()}


def test_a_file_names_the_account_and_each_decision_is_written_down(places, keycloak):
    world, hub = places
    with somebody(hub, keycloak, "fred") as fred:
        assert start(fred, "by-file")[1]["code"] == "not-linked"
        world.accounts.write_text(f"user,account\nfred,{world.names[2]}\n")
        runs_as(fred, "by-file", world.names[2])
        world.accounts.write_text("user,account\nfred,root\n")
        assert start(fred, "by-file")[1]["code"] == "refused-account"
    audit = hub.state / "accounts.audit.jsonl"
    told = audit.read_text()
    assert audit.stat().st_mode & 0o777 == 0o600
    for words in ('"user": "fred"', keycloak.hub.subject("fred"), world.names[2]):
        assert words in told
    assert world.key_file.read_text().strip() not in told
    assert world.key_file.read_text().strip() not in hub.read_log()
