"""Kubernetes quantities, and what of them a job needs."""

from __future__ import annotations

from fractions import Fraction

import pytest
from farlab_real.plugin_pods import Json, make_pod
from farlab_sites.plugin.podspec import parse_pod
from farlab_sites.plugin.quantities import parse_quantity, whole


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        (2, 2),
        (1.5, Fraction(3, 2)),
        ("500m", Fraction(1, 2)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("64Gi", 64 * 2**30),
        ("64G", 64 * 10**9),
        ("1k", 1000),
        ("100u", Fraction(1, 10_000)),
    ],
)
def test_quantities(text: object, value: Fraction) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "x", "1GB", "-1", "1 Gi", "1e9999", True, None, "1K"])
def test_what_is_no_quantity(text: object) -> None:
    with pytest.raises(ValueError):
        parse_quantity(text)


def test_whole_numbers_are_rounded_up() -> None:
    assert [whole(Fraction(1, 2)), whole(Fraction(2)), whole(Fraction(0))] == [1, 2, 0]


def container(name: str, **limits: str) -> Json:
    """Return a container with limits; `gpu` stands for an NVIDIA GPU."""
    named = {key.replace("gpu", "nvidia.com/gpu"): value for key, value in limits.items()}
    return {"name": name, "command": ["x"], "resources": {"limits": named}}


def test_containers_add_up_and_init_containers_run_before_them() -> None:
    spec = {
        "containers": [container("a", cpu="1500m", memory="1Gi", gpu="1"), container("b", cpu="1")],
        "initContainers": [container("c", memory="3Gi"), container("d", cpu="4", gpu="2")],
    }
    pod = parse_pod(make_pod(spec=spec))
    assert (pod.cpus(), pod.memory(), pod.gpus()) == (4, 3 * 2**30, 2)


def test_requests_count_where_there_is_no_limit() -> None:
    resources = {"requests": {"cpu": "3", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    pod = parse_pod(make_pod(resources=resources))
    assert (pod.cpus(), pod.memory(), pod.gpus()) == (3, 2 * 2**30, 0)
    assert parse_pod(make_pod()).cpus() == 1
