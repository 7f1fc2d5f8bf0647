"""The demo on Binder: its files, and a cell at the site that it starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from farlab_real.lab import RunningLab
from farlab_real.processes import kill_all_below, wait_until

REPOSITORY = Path(__file__).parents[2]
BINDER = REPOSITORY / "binder"
CELL = "%%offload vega\nimport os\nprint('at', os.environ['FARLAB_SITE'])"


def test_the_environment_names_a_python_that_farlab_runs_on() -> None:
    environment = yaml.safe_load((BINDER / "environment.yml").read_text())
    # Binder reads the version in this form only.
    (python,) = (one for one in environment["dependencies"] if one.startswith("python"))
    found = re.fullmatch(r"python=3\.(\d+)", python)
    assert found
    assert int(found[1]) >= 11


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_can_be_run(name: str) -> None:
    script = BINDER / name
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def test_what_the_tutorial_imports_is_installed() -> None:
    cells = nbformat.read(REPOSITORY / "docs/examples/offload.ipynb", as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    lines = re.findall(r"^\s*(?:import|from) (\w[\w., ]*)", code, re.MULTILINE)
    imported = {name for line in lines for name in re.findall(r"(?:^|, )(\w+)", line)}
    installed = (BINDER / "postBuild").read_text().split()
    assert imported - sys.stdlib_module_names - {"farlab_kernels"} <= set(installed)
    assert "numpy" in imported


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunningLab]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    lab = RunningLab(tmp_path / "home", {"PATH": path})
    lab.process.argv = [str(BINDER / "start"), *lab.process.argv]
    with lab:
        yield lab
    # Not before: JupyterLab would start a killed kernel anew while it ends.
    kill_all_below(tmp_path)


def test_a_cell_runs_at_the_site_that_start_starts(lab: RunningLab) -> None:
    kernel = lab.open_session("offload.ipynb", "python3")
    assert lab.run(kernel, "%load_ext farlab_kernels") == ""
    printed = ""

    def there() -> bool:
        # The site can be used as soon as its plugin has answered once.
        nonlocal printed
        printed = lab.run(kernel, CELL)
        return "at vega\n" in printed

    wait_until(there, "a cell at the site", lambda: printed + lab.process.read_log())
    lab.run(kernel, "%offload stop --all")
    assert "at vega" not in lab.run(kernel, "%offload status")
