"""docs/kubernetes.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from farlab_sites import carriers
from farlab_sites.loader import load_catalogue
from farlab_sites.manifest import IMAGE_ROOT, WORKLOAD

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/kubernetes.md").read_text()
SOURCES = [*Path(carriers.__file__).parent.glob("*.py"), *ROOT.glob("hub/farlab_hub/*.py")]


def test_its_catalogue_is_one(tmp_path: Path) -> None:
    file = tmp_path / "sites.yaml"
    file.write_text(re.findall(r"(?s)```yaml\n(.*?)```", PAGE)[0])
    catalogue = load_catalogue(file)
    assert catalogue.site("vega").virtual_node == "vega-vk"
    assert catalogue.site("cloud").is_ordinary


def test_its_names_are_those_of_the_code() -> None:
    for name in (WORKLOAD, IMAGE_ROOT):
        assert f"`{name}`" in PAGE


def test_the_messages_that_it_explains_exist() -> None:
    code = re.sub(r"\s+", " ", "".join(file.read_text() for file in SOURCES))
    for start in ("no way to Kubernetes is configured", "Kubernetes has no node",
                  "another pod in Kubernetes is named", "The hub has not made its pod",
                  "is not ready"):  # fmt: skip
        assert start in code
        assert start in PAGE
