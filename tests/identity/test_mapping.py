"""Accounts by claim, by membership and by file: what is trusted, refused, and written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from farlab_hub.errors import CannotCheckError, ForbiddenError, NotLinkedError
from farlab_hub.identity.access import Access, needs_login
from farlab_hub.identity.audit import Audit
from farlab_hub.identity.linkage import must_be_usable
from farlab_hub.identity.mapping import Mapping
from farlab_hub.identity.person import GivenPeople, Person
from farlab_hub.identity.view import Identity
from farlab_sites.catalogue import Site
from farlab_sites.entitlements import among
from hypothesis import given
from hypothesis import strategies as st

ISSUER = "https://sso.vega.si/realms/SLING"
MEMBER = "urn:mace:egi.eu:group:dev.intertwin.eu:role=member#aai.egi.eu"


def site(accounts: Any, **more: Any) -> Site:
    return Site.model_validate(
        {
            "name": "vega",
            "title": "Vega",
            "kind": "hpc",
            "carrier": {"direct": {"url": "http://127.0.0.1:4000"}},
            "accounts": accounts,
            "profiles": [
                {
                    "name": "p",
                    "title": "P",
                    "sizes": [{"title": "s", "cpu": 1, "memory": "1Gi"}],
                    "images": [{"title": "i", "image": "/opt/i"}],
                }
            ],
            **more,
        }
    )


def person(name: str = "marie", **facts: Any) -> Person:
    return Person(name, **{"issuer": ISSUER, "subject": f"sub-of-{name}", **facts})


def decisions(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_the_sites_own_provider_names_the_account():
    vega = site({"claim": {"issuer": ISSUER}})
    marie = person(claims={"preferred_username": "itw001", "upn": "itw002"})
    found = await Mapping().account(vega, marie, fresh=True)
    assert (found.account, found.rule) == ("itw001", "claim")
    assert ISSUER in found.detail
    by_upn = site({"claim": {"issuer": ISSUER, "name": "upn"}})
    assert (await Mapping().account(by_upn, marie)).account == "itw002"
    whoever = site({"claim": {}})
    assert (await Mapping().account(whoever, marie)).account == "itw001"


@pytest.mark.parametrize(
    "issuer",
    [
        "https://evil.org/realms/SLING",
        f"{ISSUER}/",
        ISSUER.upper(),
        f"{ISSUER}x",
        "http" + ISSUER[5:],
    ],
)
async def test_another_provider_names_nobodys_account(issuer):
    vega = site({"claim": {"issuer": ISSUER}})
    with pytest.raises(NotLinkedError, match="your login is of"):
        await Mapping().account(
            vega, person(issuer=issuer, claims={"preferred_username": "itw001"})
        )


async def test_a_claim_that_is_missing_or_odd():
    vega = site({"claim": {"issuer": ISSUER}})
    for claims in ({}, {"preferred_username": ""}, {"preferred_username": None}):
        with pytest.raises(NotLinkedError, match="has no preferred_username"):
            await Mapping().account(vega, person(claims=claims))
    for odd in (["itw001"], 7, True, {"a": 1}):
        with pytest.raises(CannotCheckError):
            await Mapping().account(vega, person(claims={"preferred_username": odd}))
    with pytest.raises(CannotCheckError, match="login says nothing"):
        await Mapping().account(vega, Person("marie", claims={"preferred_username": "itw001"}))
    for bad in ("root", "a;id", "daemon", "a\n", "marie@example.org"):
        with pytest.raises(ForbiddenError) as refused:
            await Mapping().account(vega, person(claims={"preferred_username": bad}))
        assert refused.value.code == "refused-account"


async def test_a_membership_has_an_account():
    vega = site({"vo": {MEMBER: "itw001", "other": "oth001"}})
    found = await Mapping().account(vega, person(entitlements=(MEMBER,), groups=("other",)))
    assert (found.account, found.rule, found.detail) == ("itw001", "vo", MEMBER)
    assert (await Mapping().account(vega, person(groups=("other",)))).account == "oth001"
    subgroup = MEMBER.replace(":role", ":sub:role")
    other_authority = MEMBER.replace("#aai.egi.eu", "#evil.org")
    for given_to_others in ((), (subgroup,), (other_authority,), ("other",)):
        with pytest.raises(NotLinkedError):
            await Mapping().account(vega, person(entitlements=given_to_others))
    with pytest.raises(NotLinkedError):  # a group of the hub that is called as the entitlement
        await Mapping().account(vega, person(groups=(MEMBER,)))


async def test_who_may_choose_a_site_can_be_an_entitlement():
    vega = site(None, groups=[MEMBER, "staff"])
    assert needs_login(vega)
    assert vega.open_to([], [MEMBER])
    assert vega.open_to(["staff"])
    assert vega.open_to([MEMBER])  # so the login calls the group that it makes of it
    assert not vega.open_to(["dev.intertwin.eu"], [MEMBER.replace("member", "admin")])
    admin = MEMBER.replace("member", "admin")
    assert among(["staff", admin, MEMBER], [MEMBER, "staff"]) == [MEMBER]


class PeopleInTrouble:
    """A hub that does not say who anybody is."""

    async def person(self, name: str, groups: Any) -> Person:
        raise CannotCheckError("the hub does not answer", "Try again.")


async def test_nothing_starts_where_the_login_matters_and_is_not_known(tmp_path):
    access = Access(PeopleInTrouble(), Mapping())
    seen = await access.seen("marie", ["staff"])
    for accounts in ({"claim": {}}, {"vo": {MEMBER: "itw001"}}):
        with pytest.raises(CannotCheckError):
            await access.admit(site(accounts), "marie", ["staff"])
        shown = await Identity(None, access, Mapping(), None, None).at(site(accounts), seen)
        assert (shown.state, shown.account, shown.open) == ("cannot-check", None, False)
        assert "the hub does not answer" in shown.reason
    assert (await access.admit(site(None), "marie", [])).account is None
    assert (
        await access.admit(site({"vo": {"staff": "st01"}}), "marie", ["staff"])
    ).account == "st01"
    with pytest.raises(ForbiddenError, match="Only members of staff"):
        await Access(GivenPeople(), Mapping()).admit(site(None, groups=["staff"]), "marie", [])


async def test_each_decision_is_written_down(tmp_path, caplog):
    file = tmp_path / "audit.jsonl"
    mapping = Mapping(Audit(file))
    (tmp_path / "a.csv").write_text("user,account\nmarie,itw001\npierre,itw001\neve,root\n")
    vega = site({"file": str(tmp_path / "a.csv")})
    await mapping.account(vega, person("marie"), fresh=True)
    for _ in range(3):  # a list is looked at again and again
        await mapping.account(vega, person("pierre"))
    for name, error in (("eve", ForbiddenError), ("bob", NotLinkedError)):
        with pytest.raises(error):
            await mapping.account(vega, person(name), fresh=True)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(CannotCheckError):
        await mapping.account(vega, person("marie"), fresh=True)
    await mapping.close()
    told = decisions(file)
    assert [one["outcome"] for one in told] == [
        "mapped", "mapped", "refused-account", "not-linked", "cannot-check",
    ]  # fmt: skip
    first = told[0]
    assert first.pop("time") > 0
    assert first.pop("detail") == "a.csv"
    assert first == {
        "user": "marie", "issuer": ISSUER, "subject": "sub-of-marie", "site": "vega",
        "account": "itw001", "rule": "file", "outcome": "mapped", "purpose": "start",
    }  # fmt: skip
    assert (told[1]["shared_with"], told[1]["purpose"]) == ("marie", "look")
    assert "pierre and marie are both the account itw001" in caplog.text
    assert file.stat().st_mode & 0o777 == 0o600


async def test_one_account_for_many_is_what_an_organisation_is_for(tmp_path, caplog):
    mapping = Mapping(Audit(tmp_path / "audit.jsonl"))
    vega = site({"vo": {"staff": "st01"}})
    for name in ("marie", "pierre"):
        assert (await mapping.account(vega, person(name, groups=("staff",)))).account == "st01"
    assert "both the account" not in caplog.text
    assert decisions(tmp_path / "audit.jsonl")[1]["shared_with"] == "marie"


def test_the_audit_files_are_private_when_they_are_rotated(tmp_path, monkeypatch):
    monkeypatch.setattr("farlab_hub.identity.audit.MOST_BYTES", 2000)
    audit = Audit(tmp_path / "audit.jsonl")
    for number in range(100):
        audit.decided(
            person(f"user{number}"), "vega", rule="vo", outcome="not-linked", purpose="start"
        )
    audit.close()
    files = sorted(file.name for file in tmp_path.iterdir())
    assert len(files) == 10
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    assert decisions(tmp_path / "audit.jsonl")[-1]["user"] == "user99"


@given(st.text(max_size=40))
def test_an_account_that_passes_is_harmless_in_every_shell(account):
    try:
        must_be_usable(account, "marie", "Vega")
    except ForbiddenError:
        return
    assert account
    assert account[0].isalpha() or account[0] == "_"
    assert all(char.isascii() and (char.isalnum() or char in "_.-") for char in account)
