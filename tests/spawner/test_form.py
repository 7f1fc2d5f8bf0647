"""What the form shows, as data."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from farlab_sites.catalogue import Catalogue
from farlab_spawner.endings import Ending
from farlab_spawner.form import Card, FormRequest, FormView, ProfileView, Takes, form_view

IN = ["intertwin"]
LINK = "https://alise.example.org/vega"


def entry(name: str, **changes: Any) -> dict[str, Any]:
    """Return what the hub service says about a site."""
    free = {"name": "gpu", "nodes": 4, "nodes_free": 2, "gpus": 8, "gpus_free": 5, "waiting": 3}
    known: dict[str, Any] = {"name": name, "open": True, "reason": "", "account": None}
    return known | {"facts": {"partitions": [free]}, "age_s": 2.0} | changes


def view(catalogue: Catalogue, **more: Any) -> FormView:
    sites = catalogue.open_to(IN)
    facts = more.pop("facts", {"cloud": entry("cloud"), "vega": entry("vega", account="itw001")})
    return form_view(FormRequest(sites, facts, **more))


def card(form: FormView, name: str) -> Card:
    return next(card for card in form.cards if card.name == name)


def vega_with(catalogue: Catalogue, partition: dict[str, Any]) -> Card:
    """Return Vega's card when it has one partition with these facts."""
    facts = {"vega": entry("vega", facts={"partitions": [partition]})}
    return card(view(catalogue, facts=facts), "vega")


def profile(card: Card, slug: str) -> ProfileView:
    return next(profile for profile in card.profiles if profile.slug == slug)


def test_one_card_a_site_in_the_catalogues_order(catalogue: Catalogue) -> None:
    form = view(catalogue)
    assert [c.title for c in form.cards] == ["UKRI Cloud", "Vega HPC"]
    assert [c.kind_title for c in form.cards] == ["Cloud", "HPC"]
    assert [c.selected for c in form.cards] == [True, False]


def test_live_facts(catalogue: Catalogue) -> None:
    vega = card(view(catalogue), "vega")
    assert vega.facts == ("2 of 4 nodes, 5 of 8 GPUs free", "3 jobs waiting")
    assert (vega.badge, vega.tone) == ("Available", "ok")
    assert vega.account == "linked as itw001"
    gpu = profile(vega, "vega--gpu")
    assert gpu.partition is not None
    assert [item.about for item in gpu.partition.items] == [
        "5 GPUs free, 3 jobs waiting, ends after 8 hours",
        "5 GPUs free, 3 jobs waiting, ends after 4 hours",
    ]


def test_partitions_are_told_apart(catalogue: Catalogue) -> None:
    gpu = {"name": "gpu", "nodes": 4, "nodes_free": 1, "gpus": 8, "gpus_free": 2, "waiting": 1}
    debug = {"name": "debug", "nodes": 4, "nodes_free": 4, "waiting": 9}
    both = {"partitions": [debug, gpu]}
    vega = card(view(catalogue, facts={"vega": entry("vega", facts=both)}), "vega")
    assert vega.facts == ("1 of 4 nodes, 2 of 8 GPUs free", "1 job waiting")  # debug is not offered
    cloud = card(view(catalogue, facts={"cloud": entry("cloud", facts=both)}), "cloud")
    assert cloud.facts == (
        "debug: 4 of 4 nodes free",
        "gpu: 1 of 4 nodes, 2 of 8 GPUs free",
        "10 jobs waiting",
    )


def test_full_site_says_when_it_expects_to_start(catalogue: Catalogue) -> None:
    soon = time.time() + 600
    full = {"name": "gpu", "nodes": 4, "nodes_free": 0, "waiting": 1, "start_estimate": soon}
    vega = vega_with(catalogue, full)
    assert (vega.badge, vega.tone) == ("Busy", "warn")
    assert vega.start is not None
    assert vega.start.epoch == soon
    assert vega.start.text.endswith("UTC")
    partition = profile(vega, "vega--gpu").partition
    assert partition is not None
    assert "start expected about" in partition.items[0].about


@pytest.mark.parametrize(
    "estimate", ["2020-01-01T00:00:00", "soon", None, [], True, 12.0, 1e300, float("nan")]
)
def test_estimates_that_say_nothing(catalogue: Catalogue, estimate: object) -> None:
    full = {"name": "gpu", "nodes": 4, "nodes_free": 0, "start_estimate": estimate}
    vega = vega_with(catalogue, full)
    assert vega.start is None


def test_estimate_in_iso_8601(catalogue: Catalogue) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    estimate = soon.replace(tzinfo=None).isoformat()
    full = {"name": "gpu", "nodes": 4, "nodes_free": 0, "start_estimate": estimate}
    vega = vega_with(catalogue, full)
    assert vega.start is not None
    assert vega.start.epoch == soon.timestamp()
    assert vega.start.text == f"{soon:%H:%M} UTC"


def test_machine_of_one_node_counts_cores(catalogue: Catalogue) -> None:
    local = {
        "name": "local",
        "nodes": 1,
        "nodes_free": 1,
        "cpus_free": 12,
        "gpus": 2,
        "gpus_free": 1,
    }
    form = view(catalogue, facts={"cloud": entry("cloud", facts={"partitions": [local]})})
    cloud = card(form, "cloud")
    assert cloud.facts == ("12 CPU cores, 1 of 2 GPUs free",)
    partition = profile(cloud, "cloud--lab").partition
    assert partition is not None
    assert partition.label == "GPU"
    assert partition.items[1].about == "1 GPU free, no time limit"


def test_site_that_is_down_is_shown_and_closed(catalogue: Catalogue) -> None:
    down = entry("cloud", open=False, reason="UKRI Cloud does not answer", facts={})
    form = view(catalogue, facts={"cloud": down, "vega": entry("vega", account="itw001")})
    cloud = card(form, "cloud")
    assert (cloud.open, cloud.badge, cloud.reason) == (
        False,
        "Unavailable",
        "UKRI Cloud does not answer",
    )
    assert form.selected is not None
    assert form.selected.name == "vega"


def test_site_without_an_account_says_so(catalogue: Catalogue) -> None:
    why = "ada has no account at Vega HPC"
    linkage = {"state": "not-linked", "reason": why, "fix": "Ask ...", "link_url": LINK}
    unlinked = entry("vega", open=False, reason=f"{why}. Ask ...", linkage=linkage)
    vega = card(view(catalogue, facts={"vega": unlinked}), "vega")
    assert (vega.open, vega.badge, vega.tone) == (False, "Not linked", "warn")
    assert "no account at Vega" in vega.reason
    assert vega.link_url == LINK


@pytest.mark.parametrize(
    ("linkage", "badge"),
    [
        ({"state": "cannot-check", "link_url": LINK}, "Can't check"),
        ({"state": "refused", "link_url": LINK}, "Closed to you"),
        ({"state": "not-linked", "link_url": "javascript:alert(1)"}, "Not linked"),
        ({"state": "not-linked", "link_url": LINK, "reason": "another"}, "Unavailable"),
        ("nonsense", "Unavailable"),
    ],
)
def test_a_link_is_offered_only_where_it_helps(
    catalogue: Catalogue, linkage: Any, badge: str
) -> None:
    why = "it is so."
    said = {"reason": why, **linkage} if isinstance(linkage, dict) else linkage
    closed = entry("vega", open=False, reason=f"{why} Do this.", linkage=said)
    vega = card(view(catalogue, facts={"vega": closed}), "vega")
    assert (vega.badge, vega.link_url) == (badge, "")


BUDGET = {
    "name": "monthly", "scope": "user", "subject": "ada", "unit": "core-hours", "amount": 50.0,
    "left": 12.5, "window": "30 days", "state": "ok", "room_at": None, "coming": [],
    "weights": {"core": 1.0, "gpu": 0.0, "gib": 0.0, "cpu": 0.0},
}  # fmt: skip


def test_budgets_left(catalogue: Catalogue) -> None:
    soon = time.time() + 86400
    full = {"name": "shared", "scope": "group", "subject": "itw", "left": 0, "state": "full"}
    budgets = [BUDGET, BUDGET | full | {"room_at": soon}, {"name": "nonsense"}, None]
    one, two = card(
        view(catalogue, facts={"cloud": entry("cloud", budgets=budgets)}), "cloud"
    ).budgets
    assert one.text == "12.5 of 50 core-hours left (monthly)"
    assert one.room is None
    assert two.text == "0 of 50 core-hours left (shared, itw)"
    assert two.room is not None
    assert two.room.dated.startswith(time.strftime("%Y-%m-%d", time.gmtime(soon)))


def test_what_choices_take(catalogue: Catalogue) -> None:
    gpu = profile(card(view(catalogue), "vega"), "vega--gpu")
    assert gpu.size.items[0].takes == Takes(cores=8, gib=64)
    assert gpu.partition is not None
    assert [item.takes for item in gpu.partition.items] == [
        Takes(gpus=1, seconds=8 * 3600),
        Takes(gpus=2, seconds=4 * 3600),
    ]
    assert gpu.takes == Takes(seconds=8 * 3600)


def test_form_without_facts_is_a_form(catalogue: Catalogue) -> None:
    form = view(catalogue, facts=None)
    assert not form.facts_known
    assert all(c.open and c.badge == "State unknown" and not c.facts for c in form.cards)
    assert form.selected is not None


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"partitions": None},
        {"partitions": "many"},
        {"partitions": [None, 3, "x", {"nodes": "four", "nodes_free": []}]},
        {"partitions": {"gpu": 1}},
        None,
        "rubbish",
    ],
)
def test_rubbish_facts_are_left_out(catalogue: Catalogue, facts: object) -> None:
    cloud = card(view(catalogue, facts={"cloud": entry("cloud", facts=facts)}), "cloud")
    assert cloud.open
    assert cloud.facts == ()


def test_old_facts_say_how_old(catalogue: Catalogue) -> None:
    cloud = card(view(catalogue, facts={"cloud": entry("cloud", age_s=600)}), "cloud")
    assert cloud.facts[-1] == "as of 10 minutes ago"


def test_last_choice_is_selected(catalogue: Catalogue) -> None:
    options = {"profile": "vega--gpu", "partition": "gpu-2-x-a100", "size": "gone"}
    form = view(catalogue, options=options)
    assert form.selected is not None
    assert form.selected.name == "vega"
    gpu = profile(form.selected, "vega--gpu")
    assert gpu.selected
    assert gpu.partition is not None
    assert gpu.partition.chosen.value == "gpu-2-x-a100"
    assert gpu.size.chosen.value == "8-cpu-64-gb"


def test_typed_image_comes_back(catalogue: Catalogue) -> None:
    options = {"profile": "cloud--lab", "image--unlisted-choice": "registry/mine:2"}
    lab = profile(card(view(catalogue, options=options), "cloud"), "cloud--lab")
    assert lab.image.chosen.value == "unlisted-choice"
    assert lab.other is not None
    assert (lab.other.value, lab.other.allow) == ("registry/mine:2", "registry/[a-z]+:[0-9.]+")


def test_last_choice_of_a_closed_site_is_explained(catalogue: Catalogue) -> None:
    down = entry("cloud", open=False, reason="it is down")
    form = view(
        catalogue,
        facts={"cloud": down, "vega": entry("vega")},
        options={"profile": "cloud--lab", "size": "8-cpu-32-gb"},
    )
    assert form.notes == ("UKRI Cloud cannot be chosen now: it is down",)


def test_no_site_at_all() -> None:
    form = form_view(FormRequest([], {}, groups=("students",)))
    assert form.cards == ()
    assert form.selected is None
    assert form.groups == ("students",)


def test_ending_is_handed_on(catalogue: Catalogue) -> None:
    ending = Ending("OOMKilled", "too much", "Vega HPC")
    assert view(catalogue, ending=ending).ending is ending
