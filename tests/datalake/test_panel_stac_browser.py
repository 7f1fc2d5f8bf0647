"""STAC catalogues in the panel: items on the map, found by area, and linked with Rucio."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import password_of
from farlab_real.stac_server import RunningStacApi, StaticCatalogue
from playwright.sync_api import Locator, expect

FOOTPRINT = [[10, 45], [12, 45.5], [11.5, 47], [10, 45]]
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b")
"""A GIF of one pixel."""


@pytest.fixture
def catalogue(tmp_path: Path, rucio: RunningRucio) -> Iterator[StaticCatalogue]:
    """A static catalogue whose first item is in the Rucio, and has a picture."""
    with StaticCatalogue(tmp_path / "catalogue") as running:
        place = "fires/items/fire-000.json"
        item = json.loads((running.folder / place).read_text())
        link = f"rucio://{urlsplit(rucio.url).netloc}/demo:"
        item |= {"geometry": {"type": "Polygon", "coordinates": [FOOTPRINT]}}
        item |= {"bbox": [10, 45, 12, 47], "links": [{"rel": "rucio", "href": f"{link}days"}]}
        item["assets"]["data"]["alternate"]["rucio"]["href"] = f"{link}day-003.csv"
        item["assets"]["thumbnail"] |= {"href": "./picture.gif", "type": "image/gif"}
        running.write(place, item)
        (running.folder / "fires/items/picture.gif").write_bytes(PIXEL)
        yield running


@pytest.fixture
def lab(
    tmp_path: Path, rucio: RunningRucio, catalogue: StaticCatalogue, stac_api: RunningStacApi
) -> Iterator[RunningLab]:
    """A JupyterLab with the catalogue, an API, and the Rucio, to which alice has logged in."""
    lakes = [
        {"name": "escape", "title": "ESCAPE",
         "rucio": {"url": rucio.url, "identity": {"userpass": {}}}},
        {"name": "disasters", "title": "Disasters", "stac": {"url": catalogue.url}},
        {"name": "fires", "title": "Fires", "stac": {"url": stac_api.url}},
    ]  # fmt: skip
    told = {"lakes": lakes, "here": {"lake": "escape", "rse": "VEGA"}}
    with RunningLab(tmp_path / "lab", {"FARLAB_DATALAKE": json.dumps(told)}) as running:
        alice = {"username": "alice", "password": password_of("alice")}
        running.call("PUT", "farlab/datalake/lakes/escape/identity", alice)
        yield running


def row(panel: Locator, name: str) -> Locator:
    """Return the first row of an entry."""
    return panel.get_by_role("row", name=re.compile(f"^{re.escape(name)}( |$)")).first


def test_items_are_seen_found_by_area_and_lead_to_their_data(lab: RunningLab) -> None:
    with browser_page() as page:
        page.goto(lab.address())
        expect(page.locator(".jp-Launcher")).to_be_visible()
        page.locator(".lm-TabBar-tab[data-id='farlab-datalake']").click()
        panel = page.get_by_role("region", name="DataLake", exact=True)
        _item_is_seen(panel)
        _it_leads_to_its_data(panel)
        _items_are_found_by_area(panel)


def _item_is_seen(panel: Locator) -> None:
    row(panel, "Disasters").dblclick()
    row(panel, "Burnt areas").dblclick()
    row(panel, "Fire 0").click()
    mark = row(panel, "Fire 0").get_by_role("img")
    expect(mark).to_have_accessible_name("In the lake: escape")
    details = panel.get_by_role("tabpanel")
    expect(details.get_by_role("img", name="Where it is: 10, 45, 12, 47")).to_be_visible()
    expect(details).to_contain_text("2020-01-01 · 10° to 12°, 45° to 47°")
    picture = details.get_by_role("img", name="Picture of Fire 0")
    expect(picture).to_have_js_property("naturalWidth", 1)
    expect(details).to_contain_text("on this machine")


def _it_leads_to_its_data(panel: Locator) -> None:
    places = panel.get_by_role("region", name="In the lakes")
    places.get_by_role("button", name="escape: demo:day-003.csv").click()
    expect(row(panel, "day-003.csv")).to_have_attribute("aria-selected", "true")
    expect(panel.get_by_role("region", name="Replicas")).to_contain_text("VEGA available")
    # What it is part of is a link too.
    panel.get_by_role("region", name="Part of").get_by_role("button", name="demo:days").click()
    expect(row(panel, "days")).to_have_attribute("aria-selected", "true")
    panel.get_by_role("button", name="End the search").click()


def _items_are_found_by_area(panel: Locator) -> None:
    row(panel, "Fires").dblclick()
    row(panel, "Burnt areas").click()
    choice = panel.get_by_role("combobox", name="Lake to search")
    choice.select_option(label="Fires")
    panel.get_by_role("button", name="Area and time").click()
    for edge, degrees in (("West", -115), ("South", -1), ("East", -113.5), ("North", 2)):
        panel.get_by_role("spinbutton", name=edge).fill(str(degrees))
    panel.get_by_role("button", name="Search Fires").click()
    expect(row(panel, "Fire 5")).to_be_visible()
    expect(row(panel, "Fire 20")).to_have_count(0)
