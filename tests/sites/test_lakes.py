"""The catalogue's lakes: their checks, and what a server at a site is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from farlab_sites.lakes import DATALAKE
from farlab_sites.loader import load_catalogue
from farlab_sites.manifest import profile_part
from farlab_sites.problems import CatalogueError

SITE = """
sites:
  - name: here
    title: Right here
    kind: hpc
    carrier: {direct: {url: "http://127.0.0.1:4000"}}
    DATALAKE
    profiles:
      - name: lab
        title: JupyterLab
        sizes: [{title: "1 CPU", cpu: 1, memory: 1Gi}]
        images: [{title: Python, image: /opt/env}]
"""
ESCAPE = """
  - name: escape
    title: ESCAPE
    rucio:
      url: https://rucio.example.org
      identity: {oidc: {audience: rucio}}
"""
VIRGO = """
  - name: virgo
    title: Virgo
    rucio: {url: "https://virgo.example.org", identity: {userpass: {account: virgo}}}
"""
OTHERS = """
  - name: lqcd
    title: Lattice QCD
    webdav: {url: "https://door.example.org/lqcd", ca: /etc/grid-security/certificates}
  - {name: eodc, title: EODC, s3: {url: "https://objects.example.org", identity: {keys: {}}}}
  - {name: stac, title: Earth, stac: {url: "https://stac.example.org/v1"}}
"""


def written(folder: Path, datalake: str, *lakes: str) -> Path:
    """Write a catalogue with a site's `datalake` and these lakes."""
    text = SITE.replace("DATALAKE", f"datalake: {datalake}" if datalake else "")
    text += "lakes:" + "".join(lakes) if lakes else ""
    (folder / "sites.yaml").write_text(text)
    return folder / "sites.yaml"


def test_a_server_learns_of_every_lake_and_of_its_rse(tmp_path: Path) -> None:
    file = written(tmp_path, "{rse: VEGA, prefix: /dcache/itw}", ESCAPE, OTHERS)
    site = load_catalogue(file).sites[0]
    told = json.loads(profile_part(site, site.profiles[0])["environment"][DATALAKE])
    assert told["here"] == {"lake": "escape", "rse": "VEGA", "prefix": "/dcache/itw"}
    assert [lake["name"] for lake in told["lakes"]] == ["escape", "lqcd", "eodc", "stac"]
    assert told["lakes"][0]["rucio"] == {
        "url": "https://rucio.example.org",
        "identity": {"oidc": {"audience": "rucio", "scope": "openid profile"}},
    }


def test_without_lakes_a_server_is_told_nothing(tmp_path: Path) -> None:
    site = load_catalogue(written(tmp_path, "")).sites[0]
    assert DATALAKE not in profile_part(site, site.profiles[0])["environment"]


@pytest.mark.parametrize(
    ("datalake", "lakes", "words"),
    [
        ("{rse: VEGA}", [OTHERS], "belongs to no Rucio lake"),
        ("{rse: VEGA}", [ESCAPE, VIRGO], "may belong to more than one lake"),
        ("{rse: VEGA, lake: lqcd}", [ESCAPE, OTHERS], '"lqcd" is no Rucio lake'),
        ("{rse: VEGA, prefix: data}", [ESCAPE], "datalake.prefix"),
        ("", [ESCAPE, ESCAPE], 'the name "escape" is there twice'),
        ("", ["\n  - {name: x, title: X}"], "needs exactly one of rucio and webdav and s3"),
        ("", [ESCAPE.replace("https://", "https://me:secret@")], "holds a user, a query"),
        ("", [ESCAPE.replace("oidc: {audience: rucio}", "password: x")], "is not a known key"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, datalake: str, lakes: list[str], words: str) -> None:
    with pytest.raises(CatalogueError, match=words):
        load_catalogue(written(tmp_path, datalake, *lakes))


def test_a_site_may_choose_among_lakes(tmp_path: Path) -> None:
    file = written(tmp_path, "{rse: CASCINA, lake: virgo}", ESCAPE, VIRGO)
    site = load_catalogue(file).sites[0]
    told = json.loads(profile_part(site, site.profiles[0])["environment"][DATALAKE])
    assert told["here"] == {"lake": "virgo", "rse": "CASCINA"}
