"""What a form, a link or a script sends, and what it means."""

from __future__ import annotations

import pytest
from farlab_sites.catalogue import Catalogue
from farlab_spawner.errors import SpawnRefused
from farlab_spawner.options import checked, options_from_form, options_from_query

VEGA = ["intertwin"]


def test_form_of_a_site_with_its_own_profile() -> None:
    sent = {
        "farlab-site": ["vega"],
        "farlab-profile-vega": ["vega--cpu"],
        "farlab-profile-cloud": ["cloud--lab"],
        "profile-option-vega--cpu--size": ["64-cpu-128-gb"],
        "profile-option-vega--gpu--partition": ["gpu-1-x-a100"],
        "profile-option-cloud--lab--size": ["8-cpu-32-gb"],
        "_xsrf": ["x"],
    }
    assert options_from_form(sent) == {"profile": "vega--cpu", "size": "64-cpu-128-gb"}


def test_kubespawners_own_form_is_understood() -> None:
    sent = {"profile": ["cloud--lab"], "profile-option-cloud--lab--image": ["itwinai"]}
    assert options_from_form(sent) == {"profile": "cloud--lab", "image": "itwinai"}


def test_text_field_counts_only_when_it_is_asked_for() -> None:
    sent = {
        "profile": ["cloud--lab"],
        "profile-option-cloud--lab--image": ["minimal"],
        "profile-option-cloud--lab--image--unlisted-choice": ["registry/old:1"],
    }
    assert options_from_form(sent) == {"profile": "cloud--lab", "image": "minimal"}
    sent["profile-option-cloud--lab--image"] = ["unlisted-choice"]
    assert options_from_form(sent)["image--unlisted-choice"] == "registry/old:1"


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"farlab-site": []},
        {"farlab-site": ["vega"]},
        {"farlab-site": [b"\xff"], "profile": [b"x"]},
        {"farlab-site": [["x"]]},
    ],
)
def test_form_without_a_choice(sent: dict[str, list[str]]) -> None:
    assert options_from_form(sent) == {}


def test_link_carries_what_is_offered(catalogue: Catalogue) -> None:
    query = {"opt-profile": ["cloud--lab"], "opt-size": ["8-cpu-32-gb"], "opt-image": ["itwinai"]}
    prefill = options_from_query(catalogue, [], query)
    assert prefill.options == {"profile": "cloud--lab", "size": "8-cpu-32-gb", "image": "itwinai"}
    assert prefill.ignored == ()


def test_link_in_the_old_style(catalogue: Catalogue) -> None:
    prefill = options_from_query(catalogue, [], {"profile": ["cloud--lab"], "utm_source": ["x"]})
    assert (prefill.options, prefill.ignored) == ({"profile": "cloud--lab"}, ())


@pytest.mark.parametrize(
    ("query", "ignored"),
    [
        ({"image--unlisted-choice": "registry/evil:1"}, "image--unlisted-choice"),
        ({"image": "unlisted-choice"}, "image"),
        ({"image": "registry/evil:1"}, "image"),
        ({"size": "1000000-cpu"}, "size"),
    ],
)
def test_link_never_carries_what_is_not_listed(
    catalogue: Catalogue, query: dict[str, str], ignored: str
) -> None:
    sent = {"opt-profile": ["cloud--lab"], **{f"opt-{k}": [v] for k, v in query.items()}}
    prefill = options_from_query(catalogue, [], sent)
    assert prefill.options == {"profile": "cloud--lab"}
    assert prefill.ignored == (ignored,)


def test_link_to_a_site_of_others_is_like_a_link_to_nowhere(catalogue: Catalogue) -> None:
    closed = options_from_query(catalogue, [], {"opt-profile": ["vega--gpu"], "opt-size": ["x"]})
    assert (closed.options, closed.ignored) == ({}, ("profile", "size"))
    mine = options_from_query(catalogue, VEGA, {"opt-profile": ["vega--gpu"]})
    assert mine.options == {"profile": "vega--gpu"}


def test_choice_is_completed_with_the_first_of_each(catalogue: Catalogue) -> None:
    chosen = checked(catalogue, VEGA, {"profile": "vega--gpu"})
    assert chosen.site.name == "vega"
    assert chosen.partition is not None
    assert chosen.partition.gpus == 1
    assert chosen.options == {
        "profile": "vega--gpu",
        "size": "8-cpu-64-gb",
        "partition": "gpu-1-x-a100",
        "image": "python-3",
    }


@pytest.mark.parametrize(
    "options",
    [
        None,
        {},
        [],
        "cloud--lab",
        {"profile": "vega--gpu"},
        {"profile": "cloud--lab", "size": "a; rm -rf /"},
        {"profile": "cloud--lab", "size": ["2-cpu-8-gb"]},
        {"profile": "cloud--lab", "cmd": "sh"},
        {"profile": "cloud--lab", "image--unlisted-choice": "elsewhere/evil:1"},
        {"profile": "cloud--lab", "image--unlisted-choice": "registry/ok:1;rm"},
        {"profile": "cloud--lab", "image--unlisted-choice": "registry/ok:1\nx"},
        {"profile": "x" * 100_000},
        {"profile": "cloud--lab", "environment": {"LD_PRELOAD": "x"}},
    ],
)
def test_what_is_not_offered_is_refused_with_a_reason(
    catalogue: Catalogue, options: object
) -> None:
    with pytest.raises(SpawnRefused) as refused:
        checked(catalogue, ["other"], options)
    assert refused.value.status_code == 400
    assert refused.value.reason == "choice"
    assert "What to do" in str(refused.value)
    assert len(str(refused.value)) < 1000
