"""Fixtures for the plugin's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from farlab_real.plugin_pods import Client, kill_all, plugin_folder, processes_with, running


@pytest.fixture
def home() -> Iterator[Path]:
    """A plugin's folder; what still runs in it at the end is killed."""
    with plugin_folder() as folder:
        yield folder
        kill_all(processes_with(str(folder)))


@pytest.fixture
async def plugin(home: Path) -> AsyncIterator[Client]:
    """A plugin with the local driver and room for 64 CPUs."""
    async with running(home) as client:
        yield client
