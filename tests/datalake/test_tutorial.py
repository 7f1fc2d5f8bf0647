"""The tutorial notebook, cell by cell, in the demo's DataLake: what it shows is what it says."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from farlab_real.lab import TOKEN, RunningLab
from farlab_real.notebook_kernel import notebook, shown
from farlab_real.tutorial_lake import TutorialLake

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/datalake-tutorial.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)\n```\n", PAGE, re.DOTALL)
CELLS = [
    cell.source
    for cell in nbformat.read(ROOT / "docs/examples/datalake.ipynb", as_version=4).cells
    if cell.cell_type == "code"
]


def expected() -> list[str]:
    """Return what each cell must show; often nothing in particular."""
    found = []
    for (kind, _), (after, text) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if kind == "python":
            found.append(text if after == "text" else "")
    return found


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TutorialLake]:
    """The demo's DataLake."""
    with TutorialLake(tmp_path_factory.mktemp("tutorial") / "lake") as running:
        yield running


@pytest.fixture(scope="module")
def lab(lake: TutorialLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A JupyterLab of alice at the demo's cloud, in whose home her logins are."""
    home = tmp_path_factory.mktemp("home")
    lake.add_user("alice", home)
    catalogue = string.Template((ROOT / "demo/sites.yaml").read_text())
    lakes = yaml.safe_load(catalogue.safe_substitute(lake.addresses))["lakes"]
    told = json.dumps({"lakes": lakes, "here": {"lake": "rucio", "rse": "CLOUD"}})
    with RunningLab(home, {"FARLAB_DATALAKE": told}) as running:
        yield running


def test_nothing_has_to_be_typed(lab: RunningLab) -> None:
    lakes = lab.call("GET", "farlab/datalake/lakes")
    assert [one["name"] for one in lakes] == ["rucio", "store", "catalogue"]
    assert all(one["logged_in"] for one in lakes)
    assert lakes[0]["user"] == "alice"


async def test_the_notebook(lake: TutorialLake, lab: RunningLab) -> None:
    environment = {
        "FARLAB_DATALAKE_URL": f"{lab.url}farlab/datalake/",
        "FARLAB_DATALAKE_TOKEN": TOKEN,
        "HOME": str(lab.folder),
    }
    async with notebook(**environment) as page:
        await page.run(f"%cd -q {lab.folder}")
        for cell, texts in zip(CELLS, expected(), strict=True):
            result = await page.run(cell)
            assert result.status == "ok", f"{cell}\n{shown(result)}"
            words = re.sub(r" +", " ", shown(result))
            assert "Traceback" not in words
            assert "UsageError" not in words, f"{cell}\n{words}"
            for line in texts.splitlines():
                assert re.sub(r" +", " ", line) in words, f"{cell}\n{words}"
    # In the STAC catalogue that everybody sees.
    results = json.loads((lake.public / "results/collection.json").read_text())
    assert {"./items/change.json"} == {
        link["href"] for link in results["links"] if link["rel"] == "item"
    }
    item = json.loads((lake.public / "results/items/change.json").read_text())
    assert "user.alice:change" in json.dumps(item["links"])
