"""Memory, walltimes and the keys that titles become."""

from __future__ import annotations

import pytest
from farlab_sites.units import format_memory, format_walltime, parse_memory, parse_walltime, slug
from pydantic_core import PydanticCustomError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64Gi", 64 * 2**30),
        ("512Mi", 512 * 2**20),
        ("64G", 64 * 10**9),
        ("1.5Gi", 3 * 2**29),
        ("2048Ki", 2**21),
        ("5000k", 5_000_000),
        ("1Ti", 2**40),
        ("1048576", 2**20),
        (2**30, 2**30),
    ],
)
def test_memory_is_read_as_kubernetes_writes_it(text: object, size: int) -> None:
    assert parse_memory(text) == size
    assert parse_memory(format_memory(size)) == size


@pytest.mark.parametrize(
    "text", ["", "Gi", "64", "64GB", "64gi", "-1Gi", "1e9", "2Pi", "64 Gi", "٣Gi", 1.5, None, True]
)
def test_what_is_no_memory_is_refused(text: object) -> None:
    with pytest.raises(PydanticCustomError):
        parse_memory(text)


@pytest.mark.parametrize(
    ("text", "seconds", "again"),
    [
        ("8:00:00", 28800, "8:00:00"),
        ("0:30:00", 1800, "0:30:00"),
        ("48:00:00", 172800, "2-00:00:00"),
        ("1-02:03:04", 93784, "26:03:04"),
        ("366-00:00:00", 366 * 86400, "366-00:00:00"),
        ("480", 28800, "8:00:00"),
        (480, 28800, "8:00:00"),
    ],
)
def test_a_walltime_is_read_as_slurm_writes_it(text: object, seconds: int, again: str) -> None:
    assert parse_walltime(text) == seconds
    assert format_walltime(seconds) == again
    assert parse_walltime(again) == seconds


@pytest.mark.parametrize(
    "text", ["", "8:00", "1-00", "8h", "0", "0:00:59", "1:60:00", "-5", "1:0:0", 8.5, None, True]
)
def test_what_is_no_walltime_is_refused(text: object) -> None:
    with pytest.raises(PydanticCustomError):
        parse_walltime(text)


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("8 CPU, 64 GB", "8-cpu-64-gb"),
        ("gpu, 1 x A100", "gpu-1-x-a100"),
        ("  itwinai (1.0)  ", "itwinai-1-0"),
        ("Jülich", "julich"),
        ("Poznań / short", "poznan-short"),
        ("---", "cb3f91d5"),
        ("日本", "cf2abf0c"),
        ("GPU 日本", "gpu-cd8ff89e"),
    ],
)
def test_a_key_comes_from_the_title_alone(title: str, key: str) -> None:
    assert slug(title) == key
