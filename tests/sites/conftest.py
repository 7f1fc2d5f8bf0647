"""What the tests of the catalogue share: a small catalogue as text, and as data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from farlab_sites.catalogue import Catalogue
from farlab_sites.loader import load_catalogue
from farlab_sites.problems import CatalogueError, Problem

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "intertwin.yaml"

SMALL = """\
sites:
  - name: here
    title: Right here
    kind: cloud
    carrier: {direct: {url: "http://127.0.0.1:4000"}}
    profiles:
      - name: lab
        title: JupyterLab
        sizes:
          - {title: "1 CPU, 1 GB", cpu: 1, memory: 1Gi}
        images:
          - {title: Python, image: /opt/env}
"""


@pytest.fixture
def small() -> str:
    """The smallest useful catalogue: change it to make it wrong."""
    return SMALL


@pytest.fixture
def example() -> Catalogue:
    """The catalogue of interTwin's hub."""
    return load_catalogue(EXAMPLE)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write a catalogue and return its file."""

    def write(content: str | bytes) -> Path:
        file = tmp_path / "sites.yaml"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return write


@pytest.fixture
def load(write: Callable[[str | bytes], Path]) -> Callable[[str | bytes], Catalogue]:
    """Load a catalogue from its text."""
    return lambda content: load_catalogue(write(content))


@pytest.fixture
def problems(write: Callable[[str | bytes], Path]) -> Callable[[str | bytes], list[Problem]]:
    """Return what is wrong with a catalogue's text."""

    def problems(content: str | bytes) -> list[Problem]:
        with pytest.raises(CatalogueError) as caught:
            load_catalogue(write(content))
        return caught.value.problems

    return problems
