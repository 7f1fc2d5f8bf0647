"""The published schema, the reference page and the example are what the code says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from farlab_sites.cli import main
from farlab_sites.schema import schema

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "sites.schema.json"


def test_the_docs_are_up_to_date() -> None:
    command = [sys.executable, "docs/regenerate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_published_schema_is_the_models() -> None:
    assert json.loads(SCHEMA.read_text()) == schema()


@pytest.fixture(scope="module")
def validator() -> Any:
    """The published schema, itself valid."""
    published = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    return jsonschema.Draft202012Validator(published)


def test_the_example_is_valid_by_the_schema_too(validator: Any) -> None:
    example = yaml.load((ROOT / "docs/examples/intertwin.yaml").read_text(), Loader=yaml.BaseLoader)
    kinds = {error.validator for error in validator.iter_errors(example)}
    assert kinds <= {"type", "anyOf"}  # a BaseLoader reads numbers and `true` as texts


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: Right here", "titel: Right here"),
        ("cloud", "clowd"),
        ("here\n", "he--re\n"),
        ("1Gi", "1 GB"),
        ("name: lab", "nam: lab"),
    ],
)
def test_an_editor_sees_mistakes(validator: Any, small: str, old: str, new: str) -> None:
    assert validator.is_valid(yaml.safe_load(small))
    assert not validator.is_valid(yaml.safe_load(small.replace(old, new, 1)))


def _commands(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each command of a page's console blocks with the output that it shows."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for shown in block.split("$ ")[1:]:
            command, _, output = shown.partition("\n")
            yield command, output


PAGE = list(_commands(ROOT / "docs" / "catalogue.md"))


@pytest.mark.parametrize(("command", "output"), PAGE, ids=[command for command, _ in PAGE])
def test_the_pages_commands_print_what_it_shows(
    command: str,
    output: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = command.split()
    assert program == "farlab"
    assert main(arguments) == 0
    assert capsys.readouterr().out.rstrip() == output.rstrip()


def test_the_pages_errors_are_real(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "catalogue.md").read_text()
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert small in page
    monkeypatch.chdir(tmp_path)
    wrong = small.replace("cloud", "clowd").replace("1Gi", "64")
    Path("sites.yaml").write_text(wrong)
    assert main(["sites", "check", "sites.yaml"]) == 1
    assert capsys.readouterr().err == shown
