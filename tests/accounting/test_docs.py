"""docs/accounting.md says what is so: its commands are run, its YAML and Python are read."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from farlab_hub.api import ROUTES
from farlab_hub.auth import METRICS
from farlab_sites.accounting import Budget, SiteAccounting

PAGE = (Path(__file__).parents[2] / "docs/accounting.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_every_address_is_there():
    listed = set(re.findall(r"^\| `((?:usage|metrics)[a-z/{}]*)", PAGE, re.MULTILINE))
    assert listed == {r.path for r in ROUTES if r.path.startswith(("usage", "metrics"))}


def test_the_catalogues_parts_are_valid():
    budgets, site, scrape = map(yaml.safe_load, blocks("yaml"))
    for budget in budgets["budgets"]:
        Budget.model_validate(budget)
    said = SiteAccounting.model_validate(site["sites"][0]["accounting"])
    assert said.grams_per_kwh("2026-09") == 180
    assert scrape["scrape_configs"][0]["metrics_path"].endswith("/api/metrics")
    assert METRICS in blocks("python")[0]


@pytest.mark.parametrize("command", blocks("bash")[0].strip().splitlines())
async def test_the_commands_answer(running: Any, tmp_path: Path, command: str):
    environment = {
        "FARLAB_API_URL": running.api.base.rstrip("/"),
        "JUPYTERHUB_API_TOKEN": "alice",
        "PATH": "/usr/bin:/bin",
    }
    failing = command.replace("curl -s", "curl -s --fail", 1)
    process = await asyncio.create_subprocess_shell(failing, env=environment, cwd=tmp_path)
    assert await process.wait() == 0
