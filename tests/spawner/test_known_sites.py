"""The catalogue is read again when it changes, and never lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from farlab_sites.problems import CatalogueError
from farlab_spawner.known_sites import KnownSites


def rewrite(file: Path, text: str, tick: int) -> None:
    """Change a file, with a time of change that is certainly another one."""
    file.write_text(text)
    os.utime(file, ns=(tick, tick))


def test_change_is_noticed(sites_file: Path) -> None:
    known = KnownSites(str(sites_file))
    assert known.catalogue.sites[0].title == "UKRI Cloud"
    assert known.catalogue is known.catalogue
    rewrite(sites_file, sites_file.read_text().replace("UKRI Cloud", "Cloud"), 1)
    assert known.catalogue.sites[0].title == "Cloud"


def test_mistake_keeps_the_former_content(
    sites_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = KnownSites(str(sites_file))
    before = known.catalogue
    rewrite(sites_file, "sites: [", 1)
    assert known.catalogue is before
    assert "Keeping the former catalogue" in caplog.text
    sites_file.unlink()
    assert known.catalogue is before


def test_first_content_must_be_valid(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError):
        _ = KnownSites(str(tmp_path / "missing.yaml")).catalogue
