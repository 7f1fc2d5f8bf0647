"""What the page for site operators says is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real.processes import Process
from farlab_sites.plugin.config import Settings, parse
from farlab_sites.usage import Usage

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "plugin.md").read_text()


def blocks(kind: str) -> list[str]:
    """Return the page's blocks of one kind."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_shows_every_field() -> None:
    text = (DOCS / "examples" / "plugin.yaml").read_text()
    settings = parse(text)
    commented = {line.split(":")[0].strip("# ") for line in text.splitlines() if ":" in line}
    assert set(Settings.model_fields) <= set(settings.model_fields_set) | commented


@pytest.fixture
def site(home: Path) -> Iterator[Process]:
    """The page's plugin, at any free port and in another folder."""
    text = blocks("yaml")[0].replace("/tmp/farlab-site", f"{home}/site")
    (home / "plugin.yaml").write_text(f"listen: 127.0.0.1:0\n{text}")
    [command] = [line for line in commands() if line.startswith("farlab plugin")]
    farlab = Path(sys.executable).with_name("farlab")
    process = Process([str(farlab), *command.split()[1:]], home / "log")
    yield process
    process.stop()


def commands() -> list[str]:
    """Return the commands on the page."""
    lines = "\n".join(blocks("console")).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def test_the_commands_do_what_the_page_says(site: Process, home: Path) -> None:
    site.start()
    site.wait_until(lambda: "listening on" in site.read_log(), "the plugin")
    found = re.search(r"INFO listening on http://(127\.0\.0\.1:\d+)", site.read_log())
    assert found
    [curl] = [line for line in commands() if line.startswith("curl")]
    line = curl.replace("127.0.0.1:4000", found[1])
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, cwd=home)
    [shown] = re.findall(r"^\{.*", "\n".join(blocks("console")), re.MULTILINE)
    assert done.stdout.startswith(shown)


def test_the_usage_on_the_page_is_one() -> None:
    [block] = blocks("json")
    usage = Usage.from_json(json.loads(block))
    assert usage.to_json() == json.loads(block)
    assert usage.final


def test_every_message_that_the_page_explains_exists() -> None:
    sources = "".join(
        path.read_text() for path in (DOCS.parent / "sites/farlab_sites/plugin").rglob("*.py")
    )
    joined = re.sub(r'"\n\s+f?"', "", sources)
    for message in re.findall(r"^\| `(.*?)` \|", PAGE, re.MULTILINE):
        assert message.removesuffix(" farlab-agent") in joined, message
