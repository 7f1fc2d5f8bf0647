"""What docs/datalake.md says is so: its cells are run in order, with real lakes and a real site."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from farlab_kernels.datalake.magics import DatalakeMagics
from farlab_real.lake_server import LakeServer, service_at
from farlab_real.notebook_kernel import notebook, shown
from farlab_real.rucio_server import RunningRucio

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "datalake.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def steps() -> Iterator[tuple[str, str]]:
    """Yield the cells, and what each must show."""
    for at, (kind, text) in enumerate(BLOCKS):
        if kind == "python":
            follows = BLOCKS[at + 1] if at + 1 < len(BLOCKS) else ("", "")
            yield text.rstrip("\n"), follows[1] if follows[0] == "text" else ""


async def test_the_page(lake_server: LakeServer, rucio: RunningRucio, tmp_path: Path) -> None:
    # The service has a loop and threads of its own, but it starts and ends as ordinary code.
    site = service_at(tmp_path / "service", rucio, "VEGA")
    service = await asyncio.to_thread(site.__enter__)
    try:
        async with notebook(**lake_server.environment, **service.environment) as page:
            await page.run(f"%cd -q {tmp_path}")
            for cell, expected in steps():
                result = await page.run(cell)
                assert result.status == "ok", f"{cell}\n{shown(result)}"
                for line in expected.splitlines():
                    words = re.sub(r" +", " ", shown(result))
                    assert re.sub(r" +", " ", line) in words, f"{cell}\n{shown(result)}"
            await page.run("%offload stop --all")
        await asyncio.to_thread(service.wait_until_empty)
    finally:
        await asyncio.to_thread(site.__exit__, None, None, None)


def test_every_command_of_the_text_is_one() -> None:
    commands = re.findall(r"`%datalake\b([^`?]*)`", PAGE.replace("\n", " "))
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command)
        assert DatalakeMagics.datalake.parser.parse_intermixed_args(words), command


def test_every_message_that_the_page_explains_exists() -> None:
    parts = [ROOT / "kernels", ROOT / "server_ext"]
    sources = "".join(path.read_text() for part in parts for path in part.rglob("*.py"))
    joined = re.sub(r'"\n\s+f?"', "", sources)
    messages = re.findall(r"^\| `(.*?)` \|", PAGE.partition("## When")[2], re.M)
    assert messages
    for message in messages:
        assert message in joined, message
