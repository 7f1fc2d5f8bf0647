"""Cells of a notebook at a cloud that run in a Slurm job of Vega, as a user sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real.browser import BrowserUser, browser_page
from farlab_real.hub import RunningHub
from farlab_real.processes import wait_until
from farlab_real.slurm import SlurmCluster
from playwright.sync_api import Locator, expect

USER = "grace"
LINES = 500

SLIDER = """\
%%offload
import time
import ipywidgets
slider, seen = ipywidgets.IntSlider(max=9), ipywidgets.Label()
slider.observe(lambda change: setattr(seen, "value", f"seen at the site: {change.new}"), "value")
display(slider, seen)
while slider.value < 3: time.sleep(0.05)
print("while the cell ran:", slider.value)"""

PLOT = """\
%%offload
%matplotlib inline
import matplotlib.pyplot as plt
from tqdm import tqdm
for _ in tqdm(range(5), desc="steps"): time.sleep(0.01)
_ = plt.plot([1, 3, 2])"""

ERROR = """\
%%offload
class Diverged(Exception): pass
def train(rate):
    raise Diverged(f"at rate {rate}")
train(3)"""

NIGHT = """\
%%offload vega --partition cpu --name night -o losses --detach
import os, time
print("job", os.environ["SLURM_JOB_ID"], flush=True)
open("{folder}/begun", "w").close()
while not os.path.exists("{folder}/go"): time.sleep(0.05)
for number in range({lines}): print("line", number, flush=True)
losses = [0.5, 0.25]"""


def jobs(slurm: SlurmCluster) -> set[str]:
    """Return the jobs that Slurm still runs or holds."""
    return set(slurm.run("squeue", "--noheader", "--format=%i").split())


@pytest.fixture(scope="module")
def server(hub: RunningHub, slurm: SlurmCluster) -> Iterator[None]:
    """The user's server at the cloud; when it stops, no job of the tests may be left."""
    before = jobs(slurm)
    with hub.login(USER) as user:
        user.spawn({"profile": "cloud--lab"})
        user.wait_until_ready()
        yield
        for workload in hub.workloads():
            if workload["owner"] == USER and workload["kind"] == "kernel":
                hub.service("DELETE", f"workloads/{workload['uid']}")
        user.stop()
    wait_until(lambda: jobs(slurm) <= before, "the jobs of the tests to leave squeue")


@pytest.fixture
def grace(hub: RunningHub, server: None) -> Iterator[BrowserUser]:
    """The user with a new notebook that has the magics."""
    with browser_page(height=2400) as page:
        user = BrowserUser(page, hub.url)
        user.open_lab(USER)
        user.new_notebook()
        user.add_cell("%load_ext farlab_kernels")
        yield user


@pytest.mark.timeout(900)
def test_cells_at_vega_look_local(grace: BrowserUser, slurm: SlurmCluster) -> None:
    first = grace.add_cell(
        "%%offload vega --partition cpu --name day\n"
        "import os\nprint('job', os.environ['SLURM_JOB_ID'], 'of', os.environ['FARLAB_SITE'])"
    )
    expect(first).to_contain_text(re.compile(r"job \d+ of vega"))
    job = job_of(first)
    assert job in jobs(slurm)

    move_the_slider(grace)

    plot = grace.add_cell(PLOT)
    expect(plot.locator("img")).to_have_count(1)
    expect(plot).to_contain_text("steps: 100%")

    error = grace.add_cell(ERROR)
    expect(error).to_contain_text("Diverged: at rate 3")
    expect(error).to_contain_text("train(3)")  # the line of the cell, in the site's traceback
    assert "farlab" not in error.inner_text()

    endless = grace.add_cell("%%offload\nprint('begun', flush=True)\ntime.sleep(3600)")
    expect(endless).to_contain_text("begun")
    grace.press_button("interrupt")
    expect(endless).to_contain_text("KeyboardInterrupt")
    expect(grace.add_cell("%%offload\nprint('slider at', slider.value)")).to_contain_text(
        "slider at 8"
    )

    expect(grace.add_cell("%offload stop day")).to_contain_text("stopped: day")
    wait_until(lambda: job not in jobs(slurm), "the job to leave squeue")


def move_the_slider(grace: BrowserUser) -> None:
    """Move a slider in the browser, while its cell runs and later, and from the site."""
    shown = grace.add_cell(SLIDER)
    handle, readout = shown.locator(".noUi-handle"), shown.locator(".widget-readout")
    for value in (1, 2, 3):
        handle.press("ArrowRight")
        expect(shown).to_contain_text(f"seen at the site: {value}")
    expect(shown).to_contain_text("while the cell ran: 3")
    handle.press("ArrowRight")
    expect(shown).to_contain_text("seen at the site: 4")
    expect(readout).to_have_text("4")
    grace.add_cell("%%offload\nslider.value = 8")
    expect(readout).to_have_text("8")


@pytest.mark.timeout(900)
def test_a_detached_cell_survives_the_notebooks_kernel(
    grace: BrowserUser, slurm: SlurmCluster, tmp_path: Path
) -> None:
    sent = grace.add_cell(NIGHT.format(folder=tmp_path, lines=LINES))
    expect(sent).to_contain_text("night goes on by itself")
    wait_until((tmp_path / "begun").exists, "the cell to begin at the site")
    grace.restart_kernel()

    grace.add_cell("%load_ext farlab_kernels")
    night = grace.add_cell("%offload attach night")
    expect(night).to_contain_text(re.compile(r"job \d+"))
    job = job_of(night)
    assert job in jobs(slurm)
    (tmp_path / "go").touch()
    # The next cell runs when the whole output has come.
    expect(grace.add_cell("print('losses', losses)")).to_contain_text("losses [0.5, 0.25]")
    whole = [str(number) for number in range(LINES)]
    wait_until(
        lambda: re.findall(r"line (\d+)", night.inner_text()) == whole,
        "every line, once, in order",
        night.inner_text,
    )

    expect(grace.add_cell("%offload stop --all")).to_contain_text("stopped: night")
    wait_until(lambda: job not in jobs(slurm), "the job to leave squeue")
    # It ends kernels, not the server that the notebook is in.
    expect(grace.add_cell("print('still', 'here')")).to_contain_text("still here")


def job_of(output: Locator) -> str:
    """Return the number of the Slurm job that a cell has printed."""
    found = re.search(r"job (\d+)", output.inner_text())
    assert found, output.inner_text()
    return found[1]
