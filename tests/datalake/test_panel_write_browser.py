"""The panel's write side, in a real JupyterLab with a real Rucio and an object store."""

from __future__ import annotations

import re

from farlab_real.browser import browser_page
from farlab_real.lake_server import BUCKET, LakeServer
from playwright.sync_api import Locator, Page, expect

TALL = 2600
"""Pixels of a window in which every row of the test is drawn."""
DROP = """() => {
    const data = new DataTransfer();
    data.items.add(new File(["a,b\\n1,2\\n"], "dropped.csv"));
    return data;
}"""


def open_panel(page: Page, server: LakeServer) -> Locator:
    """Open JupyterLab as nobody has left it, and show the panel; return it."""
    page.goto(server.lab.address().replace("/lab?", "/lab?reset&"))
    expect(page.locator(".jp-Launcher")).to_be_visible()
    page.locator(".lm-TabBar-tab[data-id='farlab-datalake']").click()
    return page.get_by_role("region", name="DataLake", exact=True)


def row(panel: Locator, name: str) -> Locator:
    """Return the first row of an entry."""
    return panel.get_by_role("row", name=re.compile(f"^{re.escape(name)}( |$)")).first


def run_in_menu(page: Page, target: Locator, label: str) -> None:
    """Choose an item of a row's context menu."""
    target.click(button="right")
    page.get_by_role("menuitem", name=label, exact=True).click()


def drop(page: Page, target: Locator) -> None:
    """Drop a file of one's own computer on a row."""
    data = page.evaluate_handle(DROP)
    for event in ("dragover", "drop"):
        target.dispatch_event(event, {"dataTransfer": data})


def test_datasets_are_made_filled_described_and_closed(lake_server: LakeServer) -> None:
    with browser_page(height=TALL) as page:
        panel = open_panel(page, lake_server)
        dialog = page.get_by_role("dialog")
        row(panel, "ESCAPE").dblclick()
        row(panel, "demo").dblclick()
        row(panel, "days").dblclick()
        _make_dataset(page, panel, dialog)
        _attach(page, panel, dialog)
        _describe(panel, page, dialog)
        _let_it_end(page, panel, dialog)
        _detach_and_close(page, panel, dialog)
        _make_container(page, panel, dialog)
        where = "farlab/datalake/lakes/escape/details?path=user.alice:panel"
        assert lake_server.lab.call("GET", where)["metadata"]["expired_at"]
        assert lake_server.lab.call("GET", f"{where}-box")["entry"]["kind"] == "container"


def _let_it_end(page: Page, panel: Locator, dialog: Locator) -> None:
    run_in_menu(page, row(panel, "panel"), "Set Lifetime…")
    dialog.get_by_role("spinbutton").fill("3")
    dialog.get_by_role("button", name="Set", exact=True).click()
    expect(dialog).to_have_count(0)


def _make_container(page: Page, panel: Locator, dialog: Locator) -> None:
    run_in_menu(page, row(panel, "user.alice"), "New Container…")
    dialog.get_by_label("Name", exact=True).fill("panel-box")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_have_count(0)


def _make_dataset(page: Page, panel: Locator, dialog: Locator) -> None:
    run_in_menu(page, row(panel, "user.alice"), "New Dataset…")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_contain_text("It has no name.")  # the form comes again
    dialog.get_by_label("Name", exact=True).fill("panel")
    dialog.get_by_role("button", name="Add a key").click()
    dialog.get_by_label("Key 1").fill("run")
    dialog.get_by_label("Value of run").fill("3")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_have_count(0)


def _attach(page: Page, panel: Locator, dialog: Locator) -> None:
    row(panel, "day-001.csv").click()
    panel.get_by_role("treegrid").press("Shift+ArrowDown")
    panel.get_by_role("treegrid").press("Shift+ArrowDown")
    expect(panel.get_by_role("heading", name="day-003.csv and 2 more")).to_be_visible()
    run_in_menu(page, row(panel, "day-002.csv"), "Add to Dataset…")
    dialog.get_by_label("Dataset or container").fill("user.alice:panel")
    dialog.get_by_role("button", name="Add").click()
    expect(dialog).to_have_count(0)


def _describe(panel: Locator, page: Page, dialog: Locator) -> None:
    row(panel, "days").dblclick()  # closes it: names are found once from now on
    row(panel, "user.alice").dblclick()
    row(panel, "panel").click()
    metadata = panel.get_by_role("region", name="Metadata")
    expect(metadata).to_contain_text("run3")
    panel.get_by_role("treegrid").press("F2")
    dialog.get_by_label("Value of run").fill("4")
    dialog.get_by_role("button", name="Add a key").click()
    dialog.get_by_label("Key 2").fill("paper")
    dialog.get_by_label("Value of paper").fill("two words")
    dialog.get_by_role("button", name="Save").click()
    expect(metadata).to_contain_text("papertwo words")
    expect(metadata).to_contain_text("run4")


def _detach_and_close(page: Page, panel: Locator, dialog: Locator) -> None:
    row(panel, "panel").dblclick()
    shown = panel.get_by_role("row", name=re.compile(r"^day-002\.csv"))
    expect(shown).to_have_count(2)  # in the scope, and in the new dataset
    run_in_menu(page, shown.last, "Take Out of Dataset…")
    dialog.get_by_role("button", name="Take Out").click()
    expect(shown).to_have_count(1)
    run_in_menu(page, row(panel, "panel"), "Close…")
    dialog.get_by_role("button", name="Close It").click()
    expect(panel.get_by_role("tabpanel")).to_contain_text("closed")


def test_files_go_into_a_store_and_from_lake_to_lake(lake_server: LakeServer) -> None:
    with browser_page(height=TALL) as page:
        panel = open_panel(page, lake_server)
        dialog = page.get_by_role("dialog")
        run_in_menu(page, row(panel, "Store"), "New Folder…")
        dialog.get_by_label("Name", exact=True).fill("panel")
        dialog.get_by_role("button", name="Create").click()
        row(panel, "Store").dblclick()
        drop(page, row(panel, "panel"))
        dialog.get_by_role("button", name="Upload").click()
        _wait_for_uploads(panel, 1)
        _replace(page, panel, dialog)
        _copy_here(page, panel, dialog)
        _share_and_delete(page, panel, dialog)
        assert not (lake_server.folder / BUCKET / "panel" / "dropped.csv").exists()
        staged = [one for one in lake_server.folder.rglob("dropped.csv") if one.is_file()]
        assert staged == []  # what came to the server only to be uploaded is gone


def _wait_for_uploads(panel: Locator, count: int) -> None:
    """Wait until so many uploads of dropped files are through."""
    uploads = panel.get_by_role("tabpanel").get_by_role("listitem")
    done = uploads.filter(has_text="dropped.csv").filter(has_text="Done")
    expect(done).to_have_count(count)


def _replace(page: Page, panel: Locator, dialog: Locator) -> None:
    drop(page, row(panel, "panel"))
    dialog.get_by_role("button", name="Upload").click()
    expect(dialog).to_contain_text("1 file is there already")
    dialog.get_by_role("button", name="Replace").click()
    _wait_for_uploads(panel, 2)


def _copy_here(page: Page, panel: Locator, dialog: Locator) -> None:
    row(panel, "ESCAPE").dblclick()
    row(panel, "demo").dblclick()
    run_in_menu(page, row(panel, "day-004.csv"), "Copy to…")
    dialog.get_by_role("list", name="Folders").get_by_role("button", name="panel").click()
    dialog.get_by_role("button", name="Copy", exact=True).click()
    copied = panel.get_by_role("tabpanel").get_by_role("listitem").filter(has_text="day-004.csv")
    expect(copied.first).to_contain_text("Done")


def _share_and_delete(page: Page, panel: Locator, dialog: Locator) -> None:
    row(panel, "panel").dblclick()
    run_in_menu(page, row(panel, "dropped.csv"), "Copy Link to Share…")
    dialog.get_by_role("combobox").select_option(label="1 hour")
    dialog.get_by_role("button", name="Copy Link").click()
    expect(dialog).to_have_count(0)
    row(panel, "dropped.csv").click()
    panel.get_by_role("treegrid").press("Delete")
    dialog.get_by_role("button", name="Delete").click()
    expect(row(panel, "dropped.csv")).to_have_count(0)


def test_an_upload_to_another_rse_says_what_is_in_its_way(lake_server: LakeServer) -> None:
    (lake_server.folder / "elsewhere.csv").write_text("a,b\n")
    with browser_page(height=TALL) as page:
        panel = open_panel(page, lake_server)
        dialog = page.get_by_role("dialog")
        row(panel, "ESCAPE").dblclick()
        run_in_menu(page, row(panel, "play"), "Upload…")
        # The dialog takes the focus once it is there, whatever is being typed.
        expect(dialog.get_by_label("File or folder on this server")).to_be_focused()
        dialog.get_by_label("File or folder on this server").fill("elsewhere.csv")
        dialog.get_by_label("Dataset").fill("play:elsewhere")
        rse = dialog.get_by_label("RSE")
        expect(rse).to_have_attribute("placeholder", "VEGA")
        rse.fill("PSNC")
        dialog.get_by_role("button", name="Upload").click()
        upload = panel.get_by_role("tabpanel").get_by_role("listitem").filter(has_text="elsewhere")
        expect(upload.first).to_contain_text("PSNC has no WebDAV door")
        upload.first.get_by_role("button", name="Cancel").click()
        expect(upload).to_have_count(0)
