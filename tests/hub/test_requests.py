"""What callers send: wrong bodies, long polls, the list of sites."""

from __future__ import annotations

import asyncio
import json

import pytest
from farlab_sites.carriers import CarrierUnreachable


def changed(body, path, value):
    """Set a value deep inside a body; None removes it."""
    *way, last = path.split(".")
    place = body
    for key in way:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("uid", "not-a-uuid", "uid"),
        ("uid", "../../etc/passwd", "uid"),
        ("uid", None, "uid"),
        ("owner", "", "owner"),
        ("owner", "x" * 256, "owner"),
        ("owner", "a\0b", "owner"),
        ("owner", 7, "owner"),
        ("kind", "ray", "kind"),
        ("site", {"$ne": ""}, "site"),
        ("ports", [], "ports"),
        ("ports", [0], "ports.0"),
        ("ports", [70000], "ports.0"),
        ("ports", [1] * 9, "ports"),
        ("secret_sha256", "abc", "secret_sha256"),
        ("secret_sha256", None, "secret_sha256"),
        ("pod", [], "pod"),
        ("pod.metadata.name", "; rm -rf /", "pod.metadata.name"),
        ("pod.metadata.namespace", None, "pod.metadata.namespace"),
        ("pod.metadata.uid", "123e4567-e89b-42d3-a456-426614174000", "body"),
        ("pod.spec.containers", [], "pod.spec.containers"),
        ("pod.spec.containers", [{"image": "x"}], "pod.spec.containers.0.name"),
        ("pod.spec.containers", "notebook", "pod.spec.containers"),
        ("secrets", [7], "secrets.0"),
        ("secrets", [{"data": {}}], "secrets.0.metadata"),
        ("configmaps", [{"metadata": {"name": "../x"}}], "configmaps.0.metadata.name"),
        ("more", "fields", "more"),
    ],
)
async def test_a_wrong_body_names_its_field(place, running, path, value, field):
    body = changed(place.announcement(), path, value)
    status, answer = await running.api.call("POST", "workloads", json=body)
    assert (status, answer["code"]) == (400, "bad-request")
    assert answer["message"].startswith(f"{field}: ")
    assert await running.api.get("workloads") == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"owner":"\\ud800"}'])
async def test_what_is_no_json_object_is_refused(running, body):
    status, answer = await running.api.call("POST", "workloads", data=body)
    assert (status, answer["code"]) == (400, "bad-request")


async def test_deep_json_is_refused(running):
    body = b'{"pod":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert (await running.api.call("POST", "workloads", data=body))[0] == 400


async def test_a_body_that_is_too_large_is_refused(place, running):
    body = place.announcement(
        configmaps=[{"metadata": {"name": "c"}, "data": {"x": "y" * 5 * 2**20}}]
    )
    status, answer = await running.api.call("POST", "workloads", json=body)
    assert (status, answer["code"]) == (400, "too-large")


@pytest.mark.parametrize(
    "owner", ["Alîce Ümlaut", "李雷", "a'; DROP TABLE workloads;--", "💥", "../x"]
)
async def test_users_may_have_any_name(place, running, owner):
    uid = await place.submitted(owner=owner)
    assert (await running.api.get(f"workloads/{uid}"))["owner"] == owner
    (live,) = await running.api.get("workloads?state=live")
    assert (live["owner"], live["events"]) == (owner, [])


async def test_one_uid_belongs_to_one_announcement(place, running):
    body = place.announcement()
    assert (await running.api.call("POST", "workloads", json=body))[0] == 201
    for change in ({"owner": "bob"}, {"site": "vega"}, {"secret_sha256": "0" * 64}):
        status, answer = await running.api.call("POST", "workloads", json={**body, **change})
        assert (status, answer["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"site": "nowhere"}, 404, "not-found"),
        ({"site": "vega", "groups": ["others"]}, 403, "forbidden"),
        ({"site": "vega", "owner": "bob"}, 403, "not-linked"),
    ],
)
async def test_what_may_not_start(place, running, change, status, code):
    body = place.announcement(**change)
    answer = await running.api.call("POST", "workloads", json=body)
    assert (answer[0], answer[1]["code"]) == (status, code)
    assert answer[1]["message"]
    assert answer[1]["fix"]
    assert await running.api.get("workloads") == []
    assert place.sites["vega"].creates == {}


async def test_an_unreadable_account_file_starts_nothing(place, running):
    (place.folder / "accounts.csv").unlink()
    body = place.announcement(site="vega")
    status, answer = await running.api.call("POST", "workloads", json=body)
    assert (status, answer["code"]) == (503, "cannot-check")
    (place.folder / "accounts.csv").write_text("user,account\nalice,itw042\n")
    assert (await running.api.call("POST", "workloads", json=body))[0] == 201


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "timeout=1000", "timeout=nan", "after=1e99"]
)
async def test_wrong_numbers_are_refused(place, running, query):
    uid = (await place.announce())["uid"]
    status, answer = await running.api.call("GET", f"workloads/{uid}?{query}")
    assert (status, answer["code"]) == (400, "bad-request")
    assert answer["message"].startswith(query.split("=")[0])


async def test_a_long_poll_answers_with_what_is_new(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    before = await running.api.state(uid, "queued")
    polling = asyncio.create_task(
        running.api.get(f"workloads/{uid}?after={before['seq']}&timeout=60")
    )
    site.set(uid, message="place 2 of 9")
    news = await polling
    assert [event["message"] for event in news["events"]] == ["place 2 of 9"]
    assert news["seq"] == news["events"][0]["seq"] == before["seq"] + 1
    nothing = await running.api.get(f"workloads/{uid}?after={news['seq']}&timeout=0.1")
    assert nothing["events"] == []


async def test_long_polls_leave_nothing_behind(place, running, until):
    site = place.sites["cloud"]
    site.gates["create"] = asyncio.Event()
    uid = (await place.announce())["uid"]
    polls = [
        asyncio.create_task(running.api.get(f"workloads/{uid}?after=1&timeout=60"))
        for _ in range(50)
    ]
    await until(lambda: running.service.journal.waiting == 50)
    for poll in polls[:25]:
        poll.cancel()  # the connection is closed
    await until(lambda: running.service.journal.waiting == 25)
    site.gates["create"].set()
    await asyncio.gather(*polls[25:])
    assert running.service.journal.waiting == 0


async def sites(running, query):
    return {site["name"]: site for site in await running.api.get(f"sites?{query}")}


async def test_the_sites_of_a_user(place, running):
    place.sites["vega"].facts = {"status": "ok", "partitions": [{"name": "gpu", "nodes_free": 3}]}
    found = await sites(running, "user=alice&group=itw&group=x")
    assert list(found) == ["vega", "cloud", "cluster"]
    vega = found["vega"]
    assert (vega["title"], vega["kind"], vega["open"]) == ("Vega HPC", "hpc", True)
    assert (vega["account"], vega["reason"]) == ("itw042", "")
    assert vega["facts"]["partitions"][0]["nodes_free"] == 3
    assert 0 <= vega["age_s"] < 60
    assert (found["cluster"]["open"], found["cluster"]["account"]) == (True, "itw001")
    assert list(await sites(running, "user=alice&group=x")) == ["cloud", "cluster"]


async def test_a_site_without_account_is_there_with_the_reason(place, running):
    found = await sites(running, "user=bob&group=itw")
    assert not found["vega"]["open"]
    assert found["vega"]["account"] is None
    assert found["vega"]["reason"].startswith("bob has no account at Vega HPC. Ask ")


async def test_a_site_that_is_down_is_there_with_the_reason(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.facts.FRESH", 0.0)
    place.sites["cloud"].trouble["all"] = CarrierUnreachable("connection refused")
    found = (await sites(running, "user=alice"))["cloud"]
    assert not found["open"]
    assert found["reason"].startswith("Cloud has not answered since")
    assert (found["facts"], found["age_s"]) == ({}, None)
    place.sites["cloud"].trouble.clear()
    assert (await sites(running, "user=alice"))["cloud"]["open"]


async def test_a_slow_site_does_not_hold_up_the_form(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.facts.FRESH", 0.0)
    await sites(running, "user=alice")
    monkeypatch.setattr("farlab_hub.facts.PATIENCE", 0.1)
    gate = place.sites["cloud"].gates["ping"] = asyncio.Event()
    found = (await sites(running, "user=alice"))["cloud"]
    assert found["open"]  # what it said before has to do
    assert found["facts"] == {"status": "ok"}
    asked = place.sites["cloud"].calls["ping"]
    await sites(running, "user=alice")
    assert place.sites["cloud"].calls["ping"] == asked  # one question at a time
    gate.set()


async def test_a_site_that_never_answered_is_not_open(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.facts.PATIENCE", 0.1)
    place.sites["cloud"].gates["ping"] = asyncio.Event()
    found = (await sites(running, "user=alice"))["cloud"]
    assert (found["open"], found["reason"]) == (False, "Cloud does not answer")


async def test_facts_are_asked_once_for_many_readers(place, running):
    await asyncio.gather(*(sites(running, "user=alice") for _ in range(20)))
    assert place.sites["cloud"].calls["ping"] == 1


async def test_the_list_of_sites_needs_a_user(running):
    status, answer = await running.api.call("GET", "sites")
    assert (status, answer["code"]) == (400, "bad-request")


async def test_a_new_site_in_the_file_can_be_used_at_once(place, running):
    catalogue = place.catalogue.read_text()
    place.sites["second"] = place.sites["cloud"]
    second = catalogue.replace("name: cloud", "name: second").replace("title: Cloud", "title: 2nd")
    place.catalogue.write_text(second)
    assert "second" in await sites(running, "user=alice")
    uid = await place.submitted(site="second")
    await running.api.state(uid, "queued")
    place.catalogue.write_text("sites: [")  # a mistake: the former content counts
    assert "second" in await sites(running, "user=alice")
    place.catalogue.write_text(catalogue)
    assert "second" not in await sites(running, "user=alice")
    place.sites["second"].set(uid, phase="Failed", exit_code=1)  # but what runs there is followed
    await running.api.until(uid, lambda w: w["cleaned"])


async def test_errors_are_json_with_a_way_out(running):
    status, answer = await running.api.call("GET", "nothing/here")
    assert (status, answer["code"]) == (404, "not-found")
    assert set(answer) == {"code", "message", "fix"}


async def test_our_own_fault_tells_no_secrets(place, running, monkeypatch):
    async def broken(*_, **__):
        raise RuntimeError("a secret")

    monkeypatch.setattr(running.service.workloads, "find", broken)
    status, answer = await running.api.call("GET", "workloads")
    assert (status, answer["code"]) == (500, "internal")
    assert "secret" not in json.dumps(answer)
