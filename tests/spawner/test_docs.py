"""docs/hub.md says what is so."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import farlab_spawner
import pytest
from farlab_spawner.configure import configure
from traitlets.config import Config

PAGE = (Path(__file__).parents[2] / "docs/hub.md").read_text()
BLOCKS = [block for block in re.findall(r"(?s)```python\n(.*?)```", PAGE) if "configure" in block]


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_run(
    block: str, sites_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sites_file.parent)
    config = Config()
    names = {"c": config, "farlab_spawner": farlab_spawner}
    exec(block.replace("/srv/farlab", str(tmp_path / "state")), names)
    assert config.JupyterHub.spawner_class is farlab_spawner.FarlabSpawner


def test_every_argument_of_the_examples_exists() -> None:
    named = set(re.findall(r"(?m)^    (\w+)=", "\n".join(BLOCKS)))
    assert named
    assert named <= set(inspect.signature(configure).parameters)


def test_table_of_settings_is_true(sites_file: Path, tmp_path: Path) -> None:
    config = Config()
    configure(config, sites_file, state_dir=tmp_path)
    named = re.findall(r"`c\.(\w+)\.(\w+)`", PAGE.partition("## Arguments")[0])
    assert len(named) >= 7
    for section, setting in named:
        assert setting in config[section], f"c.{section}.{setting}"
    assert config.FarlabSpawner.poll_interval == 5
    assert config.JupyterHub.init_spawners_timeout == 1
