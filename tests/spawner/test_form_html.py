"""The form as HTML: what a browser, a keyboard and a screen reader get."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from farlab_sites.catalogue import Catalogue
from farlab_spawner.endings import Ending
from farlab_spawner.form import FormRequest, form_view
from farlab_spawner.pages import failure_html, form_html

EVIL = '"><script>alert(1)</script>&'
VOID = {"input", "br", "img", "path", "rect", "circle", "ellipse", "meta", "link"}


class Page(HTMLParser):
    """The elements of a page, with their attributes and whether tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without its start"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """Return the attributes of the elements with this tag and these attributes."""
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in attributes.items())
        ]


FACTS: dict[str, Any] = {
    "cloud": {"name": "cloud", "open": True, "account": None, "facts": {}},
    "vega": {"name": "vega", "open": False, "reason": "no account", "account": None, "facts": {}},
}


@pytest.fixture
def page(catalogue: Catalogue) -> Page:
    return Page(form_html(form_view(FormRequest(catalogue.open_to(["intertwin"]), FACTS))))


@pytest.fixture
def open_page(catalogue: Catalogue) -> Page:
    return Page(form_html(form_view(FormRequest(catalogue.open_to(["intertwin"]), None))))


def test_every_field_has_a_label(open_page: Page) -> None:
    labelled = {label["for"] for label in open_page.all("label")}
    fields = [*open_page.all("select"), *open_page.all("input")]
    shown = [field for field in fields if field.get("type") != "hidden"]
    assert len(shown) > 8
    assert [field for field in shown if field.get("id") not in labelled] == []


def test_ids_are_unique_and_references_lead_somewhere(open_page: Page) -> None:
    ids = [found["id"] for _, found in open_page.elements if "id" in found]
    assert len(ids) == len(set(ids))
    for _, found in open_page.elements:
        for name in ("for", "aria-describedby", "aria-labelledby"):
            for reference in (found.get(name) or "").split():
                assert reference in ids, f"{name}={reference}"


def test_sites_are_one_group_of_radio_buttons(page: Page) -> None:
    assert page.all("fieldset")
    assert page.all("legend")
    radios = page.all("input", name="farlab-site")
    assert [radio["value"] for radio in radios] == ["cloud", "vega"]
    assert [("checked" in radio, "disabled" in radio) for radio in radios] == [
        (True, False),
        (False, True),
    ]
    assert all(radio["aria-describedby"] for radio in radios)


def test_closed_site_says_why_and_offers_nothing(page: Page) -> None:
    assert "no account" in page.text
    assert not [s for s in page.all("select") if "vega" in (s["name"] or "")]


def test_linking_and_budgets_are_shown_and_escaped(catalogue: Catalogue) -> None:
    link = "https://alise.example.org/vega?" + EVIL
    linkage = {"state": "not-linked", "reason": "no account", "link_url": link}
    budget = {
        "name": EVIL, "scope": "user", "subject": "ada", "unit": "core-hours", "amount": 50,
        "left": 12.5, "window": "30 days", "state": "warn", "room_at": None, "coming": [[1, 2]],
        "weights": {"core": 1, "gpu": 0, "gib": 0, "cpu": 0},
    }  # fmt: skip
    facts = {
        "cloud": FACTS["cloud"] | {"budgets": [budget]},
        "vega": FACTS["vega"] | {"linkage": linkage},
    }
    page = Page(form_html(form_view(FormRequest(catalogue.open_to(["intertwin"]), facts))))
    [anchor] = page.all("a", href=link)
    assert anchor["rel"] == "noopener noreferrer"
    assert "12.5 of 50 core-hours left" in page.text
    [site] = page.all("div", **{"data-site": "cloud"})
    assert json.loads(site["data-budgets"] or "")[0]["name"] == EVIL
    assert len(page.all("script")) == 2


def test_profiles_of_a_site_are_a_group(open_page: Page) -> None:
    radios = open_page.all("input", name="farlab-profile-vega")
    assert [radio["value"] for radio in radios] == ["vega--gpu", "vega--cpu"]
    assert open_page.all("input", name="farlab-profile-cloud", type="hidden")


def test_single_options_need_no_select(open_page: Page) -> None:
    only = open_page.all("input", name="profile-option-vega--cpu--size")
    assert [(o["type"], o["value"]) for o in only] == [("hidden", "64-cpu-128-gb")]


def test_start_button_and_summary(page: Page) -> None:
    assert "disabled" not in page.all("button", id="fl-start")[0]
    assert page.all("output", id="fl-summary")[0]["aria-live"] == "polite"
    assert "waits up to 1 hour" in page.text


def test_without_an_open_site_nothing_can_be_started(catalogue: Catalogue) -> None:
    down = {name: {**entry, "open": False, "reason": "down"} for name, entry in FACTS.items()}
    page = Page(form_html(form_view(FormRequest(catalogue.open_to([]), down))))
    assert "disabled" in page.all("button", id="fl-start")[0]


def test_form_is_never_empty() -> None:
    html = form_html(form_view(FormRequest([], {}, groups=("a", "b"))))
    page = Page(html)
    assert "No site is open to you" in page.text
    assert "a, b" in page.text
    assert not page.all("button")


def test_everything_is_escaped(catalogue: Catalogue) -> None:
    facts = {
        "cloud": {
            "open": True,
            "account": EVIL,
            "facts": {"partitions": [{"name": EVIL, "nodes": 2, "nodes_free": 1}]},
        },
        "vega": {"open": False, "reason": EVIL},
    }
    html = form_html(
        form_view(
            FormRequest(
                catalogue.open_to(["intertwin"]),
                facts,
                options={"profile": "cloud--lab", "image--unlisted-choice": EVIL},
                notes=(EVIL,),
                ending=Ending(EVIL, EVIL, EVIL, 1.0, EVIL, EVIL, 1),
            )
        )
    )
    assert "<script>alert" not in html
    assert html.count("<script>") == 2  # ours
    Page(re.sub(r"(?s)<(script|style)>.*?</\1>", "", html))


def test_ending_tells_what_when_and_what_to_do() -> None:
    ending = Ending("OOMKilled", "used 17 GB of 16", "Vega HPC", 1.0, "last line", "4711", 137)
    page = Page(failure_html(ending))
    for text in ("Vega HPC has ended", "ran out of memory", "used 17 GB", "more memory"):
        assert text in page.text
    for text in ("last line", "job 4711", "exit code 137", "1970-01-01 00:00 UTC"):
        assert text in page.text
