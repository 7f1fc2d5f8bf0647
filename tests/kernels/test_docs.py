"""What the tutorial says is so: its cells are run in order, at a real local site."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from farlab_real.notebook_kernel import notebook
from farlab_real.service import RunningService

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "offload.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def service(tmp_path):
    with RunningService(tmp_path / "service") as here:
        yield here


def steps():
    """Return the cells, and what each must show."""
    for at, (kind, text) in enumerate(BLOCKS):
        if kind == "python":
            follows = BLOCKS[at + 1] if at + 1 < len(BLOCKS) else ("", "")
            yield text.rstrip("\n"), follows[1] if follows[0] == "text" else ""


def shown(result):
    """Return all that a cell shows as text."""
    text = ""
    for message in result.messages:
        content = message["content"]
        text += content.get("text", "") + "\n".join(content.get("traceback", ()))
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


async def test_the_tutorial(service, tmp_path):
    async with notebook(**service.environment) as page:
        await page.run(f"%cd -q {tmp_path}")
        for cell, expected in steps():
            result = await page.run(cell)
            for line in expected.splitlines():
                assert line in shown(result), cell
            assert result.status == ("error" if "Error" in expected else "ok"), shown(result)
        await page.run("%offload stop --all")
    service.wait_until_empty()


async def test_the_commands(service, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    (command,) = re.findall(r"^\$ farlab (kernels install)$", PAGE, re.M)
    farlab = str(Path(sys.executable).with_name("farlab"))
    done = await asyncio.to_thread(
        subprocess.run, [farlab, *command.split()], capture_output=True, text=True, check=True
    )
    for name in re.findall(r"--kernel(?:_name)?=(\S+)", PAGE):
        assert name in done.stdout


def test_every_message_that_the_page_explains_exists():
    sources = "".join(path.read_text() for path in (DOCS.parent / "kernels").rglob("*.py"))
    joined = re.sub(r'"\n\s+f?"', "", sources)
    for message in re.findall(r"^\| `(.*?)` \|", PAGE.partition("## When")[2], re.M):
        assert message in joined, message


def test_the_notebook_is_the_page():
    cells = nbformat.read(DOCS / "examples" / "offload.ipynb", as_version=4).cells
    assert [cell.source for cell in cells if cell.cell_type == "code"] == [c for c, _ in steps()]
