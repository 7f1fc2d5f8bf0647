"""What the page about the Workloads panel says is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/workloads-panel.md").read_text()
SOURCES = "\n".join(
    path.read_text()
    for path in (REPOSITORY / "extensions/lab/src").rglob("*.ts*")
    if "__tests__" not in path.parts
)


def rows(heading: str) -> list[str]:
    """Return the first column of the table below a line with this heading."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]


def test_what_is_quoted_is_what_the_panel_says() -> None:
    states = re.findall(r"[A-Z]\w+", PAGE.partition("| state | ")[2].partition(";")[0])
    commands = re.findall(r"\*(\w+ the .*?)\*", PAGE)
    quoted = [*rows("button"), *rows("what you read"), *states, *commands]
    assert len(quoted) == 16
    for text in quoted:
        assert text in SOURCES, text


def test_the_numbers_are_those_of_the_panel() -> None:
    assert "NEWEST = 20;" in SOURCES
    assert "LINES = 1000;" in SOURCES
    assert "INTERVAL = 3000;" in SOURCES


def test_the_panel_can_be_turned_off(tmp_path: Path) -> None:
    (command,) = re.findall(r"^\$ (jupyter labextension .*)$", PAGE, re.MULTILINE)
    jupyter = Path(sys.executable).with_name("jupyter-labextension")
    environ = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path)}
    words = [*command.split()[2:], "--level=user"]
    subprocess.run([jupyter, *words], env=environ, check=True, capture_output=True)
    config = json.loads((tmp_path / "labconfig/page_config.json").read_text())
    assert config["disabledExtensions"] == {"@farlab/lab:workloads": True}
