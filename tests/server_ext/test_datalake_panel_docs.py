"""What the page about the DataLake panel says is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/datalake-panel.md").read_text()
SOURCES = "\n".join(
    path.read_text()
    for path in [
        *(REPOSITORY / "extensions/lab/src").rglob("*.ts*"),
        *(REPOSITORY / "server_ext/farlab_server_ext/datalake").rglob("*.py"),
    ]
    if "__tests__" not in path.parts
)


def rows(heading: str, column: int = 0) -> list[str]:
    """Return a column of the table below a line that begins with this heading."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [line.strip("| ").split(" | ")[column] for line in table.splitlines()[2:]]


def test_what_is_quoted_is_what_the_panel_says() -> None:
    marks = [text.partition(":")[0] for text in rows("mark behind a name", 1)]
    emphasised = [text for text in re.findall(r"\*([A-Z].*?)\*", PAGE) if text != "Farlab"]
    quoted = [*rows("in the menu"), *rows("what you read"), *marks, *emphasised]
    assert len(quoted) > 50
    for text in quoted:
        assert text in SOURCES, text


def test_every_command_of_the_menu_is_told() -> None:
    files = ["datalakeFileCommands.ts", "datalakeCollectionCommands.ts", "datalakeStacCommands.ts"]
    sources = [(REPOSITORY / "extensions/lab/src" / name).read_text() for name in files]
    labels = re.findall(r"\blabel: trans\.__\('(.*?)'\)", "\n".join(sources))
    assert set(rows("in the menu")) - {"Copy Name"} == set(labels) - {"Copy Name"}


def test_the_keys_are_those_of_the_panel() -> None:
    for key in re.findall(r"^\| (F2|Delete) \|", PAGE, re.MULTILINE):
        assert f"keys: ['{key}']" in SOURCES


def test_its_picture_is_there() -> None:
    for name in re.findall(r"\]\((images/[^)]*)\)", PAGE):
        assert (REPOSITORY / "docs" / name).stat().st_size < 200_000


def test_the_panel_can_be_turned_off(tmp_path: Path) -> None:
    (command,) = re.findall(r"^\$ (jupyter labextension .*)$", PAGE, re.MULTILINE)
    jupyter = Path(sys.executable).with_name("jupyter-labextension")
    environ = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path)}
    words = [*command.split()[2:], "--level=user"]
    subprocess.run([jupyter, *words], env=environ, check=True, capture_output=True)
    config = json.loads((tmp_path / "labconfig/page_config.json").read_text())
    assert config["disabledExtensions"] == {"@farlab/lab:datalake": True}
