"""The magics, in a notebook's real kernel, with kernels of a site behind a service."""

from __future__ import annotations

import pytest
from farlab_real.fake_service import FakeService
from farlab_real.notebook_kernel import notebook


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with FakeService(tmp_path_factory.mktemp("service")) as here:
        yield here


@pytest.fixture
async def page(service):
    async with notebook(**service.environment) as here:
        yield here
        await here.run("%offload stop --all")


def texts(result, name="stdout"):
    found = [m["content"] for m in result.of("stream")]
    return "".join(content["text"] for content in found if content["name"] == name)


async def test_a_cell_looks_local(page):
    await page.run("x = 20")
    result = await page.run(
        "%%offload vega -i x -o y\n"
        "import sys\n"
        "from IPython.display import HTML, clear_output, display\n"
        "print('out')\n"
        "print('err', file=sys.stderr)\n"
        "shown = display(HTML('<b>1</b>'), display_id=True)\n"
        "shown.update(HTML('<b>2</b>'))\n"
        "clear_output(wait=True)\n"
        "y = 2 * x + 2\n"
        "y"
    )
    print([(m["msg_type"], m["content"]) for m in result.messages])
    assert result.status == "ok", result.reply
    assert texts(result) == "out\n"
    assert "err\n" in texts(result, "stderr")
