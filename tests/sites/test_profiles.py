"""What a user chose: everything that is not on the form is refused with a sentence."""

from __future__ import annotations

import re

import pytest
from farlab_sites.catalogue import Catalogue
from farlab_sites.profiles import UNLISTED, ChoiceError, choice, profile_list, profile_slug

VEGA = {
    "profile": "vega--gpu",
    "size": "16-cpu-128-gb",
    "partition": "gpu-2-x-a100",
    "image": "itwinai",
}


def test_a_choice_is_what_the_catalogue_says(example: Catalogue) -> None:
    chosen = choice(example, VEGA)
    assert chosen.site is example.site("vega")
    assert chosen.profile is example.site("vega").profile("gpu")
    assert (chosen.size.cpu, chosen.size.memory) == (16, 128 * 2**30)
    assert chosen.partition is not None
    assert chosen.partition.gpus == 2
    assert chosen.image.startswith("ghcr.io/intertwin-eu/itwinai:")
    assert chosen.options == VEGA


def test_what_is_left_out_is_the_first_of_its_list(example: Catalogue) -> None:
    chosen = choice(example, {"profile": "vega--gpu", "size": "", "image": ""})
    assert chosen.options == VEGA | {
        "size": "8-cpu-64-gb",
        "partition": "gpu-1-x-a100",
        "image": "minimal",
    }
    without = choice(example, {"profile": "kbfi--lab"})
    assert without.partition is None
    assert "partition" not in without.options


@pytest.mark.parametrize("image", ["", "unlisted-choice"])
def test_an_image_may_be_typed_where_the_catalogue_allows_it(
    example: Catalogue, image: str
) -> None:
    typed = {"profile": "vega--gpu", "image": image, UNLISTED: " ghcr.io/me/mine:2\n"}
    chosen = choice(example, typed)
    assert chosen.image == "ghcr.io/me/mine:2"
    assert chosen.options[UNLISTED] == "ghcr.io/me/mine:2"
    assert "image" not in chosen.options


def test_a_path_may_be_typed_where_nothing_starts_containers(example: Catalogue) -> None:
    profile = example.site("qmio").profile("qiskit")
    assert profile.other_image is None
    with pytest.raises(ChoiceError, match="other images can't be started here"):
        choice(example, {"profile": "qmio--qiskit", UNLISTED: "/opt/env"})


HOSTILE = [
    "$(id)",
    "`id`",
    "a;b",
    "a b",
    "a\nb",
    "a\0b",
    "../..",
    "x" * 10_000,
    "<script>alert(1)</script>",
    "{username}",
    "%s",
    "日本\u202e",
    "' OR 1=1 --",
]
FIELDS = ["profile", "size", "partition", "image", UNLISTED]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_a_hostile_text_is_refused_in_one_short_line(
    example: Catalogue, field: str, text: str
) -> None:
    options = {key: value for key, value in VEGA.items() if field != UNLISTED or key != "image"}
    with pytest.raises(ChoiceError) as caught:
        choice(example, options | {field: text})
    assert caught.value.field == field.removesuffix("--unlisted-choice")
    assert caught.value.message
    assert caught.value.fix
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [None, 1, True, ["itwinai"], {"a": "b"}, b"itwinai"], ids=repr)
def test_a_value_that_is_no_text_is_refused(example: Catalogue, field: str, value: object) -> None:
    with pytest.raises(ChoiceError, match="must be one text"):
        choice(example, {**VEGA, field: value})


@pytest.mark.parametrize("options", [None, [], "vega--gpu", 3, [("profile", "vega--gpu")]])
def test_options_that_are_no_fields_are_refused(example: Catalogue, options: object) -> None:
    with pytest.raises(ChoiceError, match="must be fields"):
        choice(example, options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "profile: nothing is chosen; choose a site"),
        (VEGA | {"profile": "vega"}, 'profile: "vega" is not offered to you; choose one of ukri--'),
        (VEGA | {"sise": "x"}, 'sise: is not a field of this form; did you mean "size"?'),
        (VEGA | {1: "x"}, "1: is not a field of this form"),
        (VEGA | {"size": "2-cpu-4-gb"}, 'size: "2-cpu-4-gb" is not offered here; choose one of 8-'),
        (VEGA | {UNLISTED: "ghcr.io/a/b:1"}, "image: one is chosen and another one is typed"),
        (VEGA | {UNLISTED: " "}, "image: one is chosen and another one is typed"),
        (VEGA | {"image": "unlisted-choice"}, "image: no image is typed; type one"),
        (
            {"profile": "vega--gpu", UNLISTED: "evil.example/a:1"},
            'image: "evil.example/a:1" is not allowed at this site; images here must match',
        ),
        (
            {"profile": "vega--gpu", UNLISTED: "ghcr.io/a/b:1 --privileged"},
            'image: "ghcr.io/a/b:1 --privileged" is not an image for the runtime apptainer',
        ),
        (
            {"profile": "kbfi--lab", "partition": "gpu"},
            "partition: this profile has none to choose from; leave it out",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_fix(
    example: Catalogue, options: object, message: str
) -> None:
    with pytest.raises(ChoiceError, match=re.escape(message)):
        choice(example, options)


def test_a_site_of_other_groups_does_not_exist(example: Catalogue) -> None:
    assert choice(example, VEGA, ["dev.intertwin.eu", "other"]).site.name == "vega"
    for groups in ([], ["other"]):
        with pytest.raises(ChoiceError) as caught:
            choice(example, VEGA, groups)
        assert "not offered to you" in caught.value.message
        assert "psnc" not in caught.value.fix


def test_the_form_has_an_entry_for_each_profile(example: Catalogue) -> None:
    entries = profile_list(example.sites)
    assert [entry["slug"] for entry in entries] == [
        profile_slug(site, profile) for site in example.sites for profile in site.profiles
    ]
    vega = next(entry for entry in entries if entry["slug"] == "vega--gpu")
    assert vega["display_name"] == "Offload to Vega HPC: JupyterLab on a GPU node"
    assert list(vega["profile_options"]) == ["size", "partition", "image"]
    sizes = vega["profile_options"]["size"]["choices"]
    assert sizes["8-cpu-64-gb"]["default"]
    assert sizes["8-cpu-64-gb"]["kubespawner_override"]["mem_limit"] == 64 * 2**30
    assert vega["profile_options"]["image"]["unlisted_choice"]["enabled"]
    qmio = next(entry for entry in entries if entry["slug"] == "qmio--qiskit")
    assert "unlisted_choice" not in qmio["profile_options"]["image"]


def test_only_what_is_open_to_the_groups_is_on_the_form(example: Catalogue) -> None:
    assert [site.name for site in example.open_to([])] == ["ukri"]
    names = [site.name for site in example.open_to(["dev.intertwin.eu"])]
    assert names == ["ukri", "vega", "psnc", "kbfi"]
