"""What docs/slurm.md shows is what the programs accept."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from farlab_sites.plugin.config import parse
from farlab_sites.plugin.slurm_settings import SlurmSettings

PAGE = (Path(__file__).parents[2] / "docs" / "slurm.md").read_text()


def block(language: str) -> str:
    """Return the page's one block in this language."""
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_configuration_is_valid() -> None:
    settings = parse(block("yaml"))
    assert settings.driver.slurm is not None
    assert settings.driver.slurm.query_every == 5


def test_every_setting_is_described_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \|", PAGE, re.MULTILINE)
    shown = {name: default.strip() for name, default in rows}
    assert set(shown) == set(SlurmSettings.model_fields)
    defaults = SlurmSettings()
    for name in ("bin", "query_every", "time_limit"):
        value = getattr(defaults, name)
        assert shown[name] == (f"{value:g}" if isinstance(value, float) else str(value))


def test_sudo_accepts_the_line(tmp_path: Path) -> None:
    file = tmp_path / "farlab"
    file.write_text(block("sudoers"))
    argv = ["/usr/sbin/visudo", "-cf", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "parsed OK" in done.stdout + done.stderr
