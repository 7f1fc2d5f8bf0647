"""A real JupyterLab: kernels at sites in its launcher, and cells at a site in its notebooks."""

from __future__ import annotations

import nbformat
import pytest
from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from farlab_real.processes import wait_until
from farlab_real.service import RunningService
from playwright.sync_api import expect

KERNEL = "farlab-vega-small"

CELLS = (
    "%load_ext farlab_kernels",
    "%%offload vega --name page\n"
    "import time, ipywidgets\n"
    "slider = ipywidgets.IntSlider(max=9)\n"
    "label = ipywidgets.Label()\n"
    "slider.observe(lambda change: setattr(label, 'value', f'moved to {change.new}'), 'value')\n"
    "display(slider, label)\n"
    "while slider.value < 3: time.sleep(0.05)\n"
    "print('seen while the cell ran:', slider.value)",
    "%%offload\n"
    "%matplotlib inline\n"
    "import matplotlib.pyplot as plt\n"
    "from tqdm import tqdm\n"
    "for _ in tqdm(range(5), desc='steps'): time.sleep(0.01)\n"
    "_ = plt.plot([1, 3, 2])",
    "%%offload\nprint('begun')\ntime.sleep(600)",
    "%%offload\n1 / 0",
)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with RunningService(tmp_path_factory.mktemp("service")) as here:
        yield here


@pytest.fixture
def lab(tmp_path, service):
    with RunningLab(tmp_path / "home", service.environment) as here:
        wait_until(lambda: KERNEL in here.api("GET", "kernelspecs")["kernelspecs"], "the specs")
        yield here


def test_a_server_that_is_killed_finds_the_notebooks_kernel_again(lab, service):
    kernel = lab.open_session("train.ipynb", KERNEL)
    assert lab.run(kernel, "kept = 5\nprint('there')") == "there\n"
    lab.process.kill()
    lab.start()
    kernel = lab.open_session("train.ipynb", KERNEL)
    assert lab.run(kernel, "print(kept)") == "5\n"
    lab.api("POST", f"kernels/{kernel}/restart")
    assert lab.run(kernel, "print('kept' in dir())") == "False\n"
    service.wait_until_live(1)
    lab.api("DELETE", f"kernels/{kernel}")
    service.wait_until_empty()


def test_cells_at_a_site_look_local(lab, service):
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    book = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(book, lab.folder / "book.ipynb")
    with browser_page() as page:
        page.goto(lab.address("book.ipynb"))
        shown = page.locator(".jp-NotebookPanel .jp-CodeCell")
        expect(shown).to_have_count(len(CELLS))
        page.locator("#jp-bottom-panel").get_by_text("| Idle").wait_for()

        def run(number):
            shown.nth(number).locator(".cm-content").click()
            page.keyboard.press("Control+Enter")
            return shown.nth(number).locator(".jp-OutputArea")

        run(0)
        widget = run(1)
        handle = widget.locator(".noUi-handle")
        handle.wait_for()
        for value in (1, 2, 3):
            handle.press("ArrowRight")
            expect(widget).to_contain_text(f"moved to {value}")
        expect(widget).to_contain_text("seen while the cell ran: 3")
        handle.press("ArrowRight")
        expect(widget).to_contain_text("moved to 4")

        plot = run(2)
        expect(plot).to_contain_text("steps: 100%")
        expect(plot.locator("img")).to_have_count(1)

        endless = run(3)
        expect(endless).to_contain_text("begun")
        page.keyboard.press("Escape")
        page.keyboard.press("i")
        page.keyboard.press("i")
        expect(endless).to_contain_text("KeyboardInterrupt")

        error = run(4)
        expect(error).to_contain_text("ZeroDivisionError: division by zero")
    assert [workload["name"] for workload in service.live()] == ["page"]
