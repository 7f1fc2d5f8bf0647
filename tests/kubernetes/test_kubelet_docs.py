"""What docs/kubelet.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from farlab_sites.cli import main
from farlab_sites.kubelet.admission import refusal

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/kubelet.md").read_text()


def blocks(kind: str) -> list[str]:
    found: list[str] = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return found


def commands() -> list[tuple[str, str]]:
    """Return the page's commands, each with the output that it shows."""
    found = []
    for block in blocks("console"):
        for shown in block.split("$ ")[1:]:
            command, _, output = shown.partition("\n")
            found.append((command, output))
    return found


def test_the_check_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kubelet.yaml").write_text(blocks("yaml")[0])
    [(command, output)] = [item for item in commands() if item[0].endswith("--check")]
    assert main(command.split()[1:]) == 0
    assert capsys.readouterr().out == output


def test_every_command_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["kubelet", "--help"])
    known = capsys.readouterr().out
    for command, _ in commands():
        for word in command.split():
            assert not word.startswith("--") or word in known


def test_the_tolerations_are_the_right_ones() -> None:
    spec = yaml.safe_load(blocks("yaml")[1])
    assert refusal({"spec": {"containers": [], "tolerations": spec["tolerations"][:1]}}) is None


def test_every_word_that_the_page_explains_exists() -> None:
    folder = ROOT / "sites/farlab_sites/kubelet"
    sources = "".join(path.read_text() for path in folder.glob("*.py"))
    table = PAGE.split("## When something is wrong")[1]
    words = re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)
    assert len(words) == 8
    for word in words:
        assert word in sources, word
