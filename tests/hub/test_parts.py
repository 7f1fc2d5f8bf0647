"""The parts that need nothing else: states, verdicts, words, accounts."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from farlab_hub.errors import CannotCheckError, ForbiddenError, NotLinkedError
from farlab_hub.identity.mapping import Mapping
from farlab_hub.identity.person import Person
from farlab_hub.models import Workload
from farlab_hub.states import ENDED, LIVE, STEPS, State, may_step
from farlab_hub.verdicts import judge
from farlab_hub.words import exit_words, last_line, tail_of
from farlab_sites.carriers import PodStatus
from farlab_sites.catalogue import Site

START = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)


def workload(**facts: Any) -> Workload:
    values: dict[str, Any] = {
        "uid": "u", "owner": "alice", "server_name": "", "kind": "server", "site": "vega",
        "profile": "gpu", "account": None, "state": State.SUBMITTED, "reason": "", "message": "",
        "job_id": "7", "node": "", "address": "", "listeners": {8888: 4001}, "secret_sha256": "",
        "pod": {}, "created": 0.0, "updated": 0.0, "walltime": 3600.0,
    }  # fmt: skip
    return Workload(**{**values, **facts})


def site(accounts: Any) -> Site:
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
        }
    )


def test_every_state_has_its_steps_and_only_live_ones_go_on():
    assert set(STEPS) == set(State) == LIVE | ENDED
    for old in State:
        assert may_step(old, old)
        for end in ENDED - {old}:
            assert may_step(old, end) == (old in LIVE)
        assert not may_step(old, State.REQUESTED) or old == State.REQUESTED
    order = ["requested", "submitted", "queued", "starting", "ready"]
    for before, after in pairwise(order):
        assert may_step(State(before), State(after))


@pytest.mark.parametrize(
    ("facts", "status", "lost", "expected"),
    [
        ({}, {"phase": "Waiting", "reason": "Priority", "message": "place 3"}, "",
         {"state": "queued", "reason": "Priority", "message": "place 3"}),
        ({}, {"phase": "Waiting"}, "", {"state": "queued", "reason": "Waiting"}),
        # the agent is here already: the plugin's answer is old
        ({"state": State.STARTING, "agent": "a"}, {"phase": "Waiting", "reason": "Priority"}, "",
         {"state": None, "reason": None}),
        # the batch system put it back into the queue
        ({"state": State.STARTING}, {"phase": "Waiting", "reason": "BeginTime"}, "",
         {"state": "queued", "reason": "BeginTime"}),
        ({}, {"phase": "Running", "node": "n7", "started_at": START}, "",
         {"state": "starting", "reason": "The job runs on n7", "node": "n7",
          "deadline": START.timestamp() + 3600}),
        ({"walltime": None}, {"phase": "Running", "started_at": START}, "", {"deadline": None}),
        ({"state": State.STARTING, "agent": "a", "message": "a log line"}, {"phase": "Running"}, "",
         {"state": "starting", "reason": "The server is starting", "message": None}),
        ({"state": State.READY, "agent": "a"}, {"phase": "Running"}, "",
         {"state": "ready", "reason": ""}),
        ({"state": State.READY, "agent": "a"}, {"phase": "Running"}, "lost",
         {"state": "ready", "reason": "lost"}),
        ({}, {"phase": "Succeeded", "reason": "Completed", "exit_code": 0}, "",
         {"state": "finished", "message": "The server ended by itself.", "exit_code": 0}),
        ({}, {"phase": "Failed", "reason": "OOMKilled", "message": "5 GB of 4", "exit_code": 137},
         "", {"state": "failed", "reason": "OOMKilled", "message": "5 GB of 4"}),
        ({}, {"phase": "Failed", "exit_code": 3}, "",
         {"reason": "Error", "message": "The server ended with exit code 3."}),
        ({}, {"phase": "Failed", "reason": "Error", "message": "no space", "exit_code": 139}, "",
         {"message": "The server crashed (SIGSEGV). no space"}),
        ({}, {"phase": "Failed"}, "", {"message": "The job ended."}),
    ],
)  # fmt: skip
def test_what_a_pods_status_means(facts, status, lost, expected):
    change = judge(workload(**facts), PodStatus("u", "7", **status), lost)
    assert {name: getattr(change, name) for name in expected} == expected


def test_words_for_exit_codes():
    assert "out" not in exit_words("server", 0)
    assert "farlab[lab]" in exit_words("server", 127)
    assert "memory" in exit_words("kernel", 137)
    assert "farlab[job]" in exit_words("kernel", 127)
    assert exit_words("kernel", 42) == "The kernel ended with exit code 42."


def test_a_logs_tail_is_short_and_clean():
    assert tail_of("") == last_line("") == ""
    text = "\x1b[1mone\x1b[0m\r\ntwo\x00\x07\n\n"
    assert tail_of(text) == "one\ntwo"
    assert last_line(tail_of(text)) == "two"
    long = tail_of("\n".join(f"{n}{'x' * 1000}" for n in range(1000)))
    assert len(long) <= 8000
    assert long.splitlines()[-1].startswith("999x")


async def account(mapping: Mapping, at: Site, user: str, groups: list[str]) -> str | None:
    return (await mapping.account(at, Person(user, tuple(groups)))).account


async def test_an_account_file_is_read_again_when_it_changes(tmp_path):
    file = tmp_path / "accounts.csv"
    vega, mapping = site({"file": str(file)}), Mapping()
    with pytest.raises(CannotCheckError, match=r"accounts\.csv cannot be read"):
        await account(mapping, vega, "alice", [])
    file.write_text("\ufeffuser,account\nalice,itw001\n 李雷 , itw002 \n\n", encoding="utf-8")
    assert await account(mapping, vega, "alice", []) == "itw001"
    assert await account(mapping, vega, "李雷", []) == "itw002"
    with pytest.raises(NotLinkedError, match="bob has no account at Vega"):
        await account(mapping, vega, "bob", [])
    file.write_text("user,account\nbob,itw003\n")
    assert await account(mapping, vega, "bob", []) == "itw003"
    with pytest.raises(NotLinkedError):
        await account(mapping, vega, "alice", [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name,login\n",
        'user,account\n"a\n',
        "\xff",
        "user,account\na,itw0010\nb,itw00",  # half written: of b, and who knows of whom else
    ],
)
async def test_a_broken_account_file_maps_nobody(tmp_path, text):
    file = tmp_path / "accounts.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(CannotCheckError):
        await account(Mapping(), site({"file": str(file)}), "a", [])


@pytest.mark.parametrize(
    "name",
    ["root", "toor", "www-data", "Root", "nobody", "a;b", "$(id)", "a b", "-x", "../x", "a" * 33],
)
async def test_some_accounts_run_no_jobs(tmp_path, name):
    file = tmp_path / "accounts.csv"
    file.write_text(f"user,account\nalice,{name}\n")
    with pytest.raises(ForbiddenError) as refused:
        await account(Mapping(), site({"file": str(file)}), "alice", [])
    assert refused.value.code == "refused-account"


async def test_an_organisation_has_one_account():
    vega = site({"vo": {"dev.intertwin.eu": "itw001", "other": "oth001"}})
    assert await account(Mapping(), vega, "alice", ["x", "other"]) == "oth001"
    assert await account(Mapping(), vega, "alice", ["other", "dev.intertwin.eu"]) == "itw001"
    with pytest.raises(NotLinkedError):
        await account(Mapping(), vega, "alice", [])
    assert await account(Mapping(), site(None), "alice", []) is None
