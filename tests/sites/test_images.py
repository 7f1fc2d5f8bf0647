"""Which texts are images, and which patterns may be matched against what users type."""

from __future__ import annotations

import re

import pytest
from farlab_sites.images import IMAGE_LENGTH, Runtime, image_problem, pattern_problem

REFERENCES = [
    "python",
    "jupyter/minimal-notebook",
    "jupyter/minimal-notebook:2026-10-05",
    "registry.example.org:5000/a/b_c/d.e:1.0",
    "localhost/lab:latest",
    "ghcr.io/intertwin-eu/itwinai:0.3-torch2.6-jammy",
    "lab@sha256:" + "a" * 64,
    "lab:1.0@sha256:" + "0" * 64,
]
PATHS = ["/opt/env", "/opt/conda/envs/lab-1.0/", "/cvmfs/unpacked/x@y+z=1_2.sif"]
NEITHER = [
    "",
    " ",
    "Upper/case",
    "a b",
    "a\nb",
    "lab:1.0\n",
    "lab;id",
    "$(id)",
    "`id`",
    "lab|sh",
    "lab&",
    "lab>x",
    "'lab'",
    "--privileged",
    "-v",
    "docker://lab",
    "http://lab/x",
    "lab:",
    "lab@sha256:abc",
    "lab:" + "x" * 129,
    "/opt/../etc",
    "/..",
    "/opt env",
    "/opt/$HOME",
    "opt/Env/",
    "/",
    "lab\0",
    "l\u00e4b",
    "x" * (IMAGE_LENGTH + 1),
    "/" + "x" * 10_000,
    "{value}",
]


@pytest.mark.parametrize("image", REFERENCES)
def test_a_reference_is_an_image_where_containers_are(image: str) -> None:
    assert image_problem(image, "podman") is None
    assert image_problem(image, "apptainer") is None
    assert image_problem(image, "none")


@pytest.mark.parametrize("image", PATHS)
def test_a_path_is_an_environment_or_an_image_file(image: str) -> None:
    assert image_problem(image, "none") is None
    assert image_problem(image, "apptainer") is None
    assert image_problem(image, "podman")


@pytest.mark.parametrize("image", NEITHER, ids=lambda image: repr(image[:20]))
@pytest.mark.parametrize("runtime", ["none", "apptainer", "podman"])
def test_anything_else_is_no_image(image: str, runtime: Runtime) -> None:
    problem = image_problem(image, runtime)
    assert problem
    assert problem[1].startswith("give ")


HARMLESS = [
    r"registry\.example\.org/.+",
    r"(ghcr\.io|docker\.io)/[a-z0-9/._-]+:[A-Za-z0-9._-]+",
    r"(?:a|b)/[\w.-]+(:[\w.-]+)?",
    r"lab@sha256:[a-f0-9]{64}",
    r"[]a-z[-]+/x\(+\)",
    r".*:.*",
]
HARMFUL = ["(a+)+", "(a*)*b", "(a|a)*b", "((a+)?)+b", "(a?){30}a{30}", "(.{1,9}){1,9}x"]
SLOW = ["a*a*a*a*a*b", "a?a?a?a?a?a?a?a?a?aaaaaaaaa"]
STRANGE = ["(", "[a", "a**", r"(?=a)b", r"(?P<x>a)\1", "(?i)a", r"a{99999999999999999999}"]


@pytest.mark.parametrize("pattern", HARMLESS)
def test_a_simple_pattern_is_accepted_and_quick(pattern: str) -> None:
    assert pattern_problem(pattern) is None
    for text in ("a" * IMAGE_LENGTH, "registry.example.org/" * 12, ":" * IMAGE_LENGTH):
        re.fullmatch(pattern, text)


@pytest.mark.parametrize("pattern", HARMFUL + SLOW + STRANGE)
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str) -> None:
    assert pattern_problem(pattern)


def test_deeply_nested_patterns_are_answered() -> None:
    assert pattern_problem("(" * 200 + "a+" + ")+" * 200)
    pattern_problem("(" * 249 + "a" + ")" * 249)
