"""The spawner in a real JupyterHub with its real proxy, the hub service and a real plugin."""

from __future__ import annotations

import os
import re
import signal

import pytest
from farlab_real.kernel import RemoteKernel
from farlab_real.processes import wait_until
from farlab_real.world import World
from farlab_spawner.progress import STAGES

SMALL = {"profile": "cloud--lab"}
WHOLE = {"profile": "cloud--lab", "size": "whole-machine"}
LINKS = (
    "?opt-profile=cloud--lab&opt-size=whole-machine",
    "?opt-profile=cloud--lab&opt-image--unlisted-choice=/evil/env",
    "?profile=cloud--lab",
    "?opt-profile=members--lab",
    "?opt-profile=cloud--lab&next=/hub/home",
    "?anything=else",
)
ANYONE = "Zoë 日本語 o'neil; $(rm -rf ~)@example.org"


both = pytest.mark.parametrize("world", ["6", "5"], indirect=True)


def text_of(html: str, element: str) -> str:
    """Return the text in the element with this id, up to the end of its `div`."""
    found = re.search(rf'(?s)<div[^>]*id="{element}".*?</div>\s*(</div>|<form|<div|<p)', html)
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split()) if found else ""


@both
def test_link_starts_nothing(world: World) -> None:
    ada = world.user("ada")
    logged_before = len(world.hub.read_log())
    for link in LINKS:
        page = ada.http.get(f"hub/spawn/ada{link}")
        assert page.status_code == 200, link
        assert 'id="fl-form"' in page.text, link
        assert 'id="fl-error"' not in page.text, link
        assert "/evil/env" not in re.sub(r'action="[^"]*"', "", page.text), link
        assert ada.model() == {}, link
    assert world.live() == {}
    assert '<option value="whole-machine" data-' not in ada.form(query=LINKS[0])
    assert re.search(r'<option value="whole-machine"[^>]* selected', ada.form(query=LINKS[0]))
    assert "not offered here: image--unlisted-choice" in ada.form(query=LINKS[1])
    assert "not offered here: profile" in ada.form(query=LINKS[3])
    assert "Traceback" not in world.hub.read_log()[logged_before:]


def test_form_shows_the_sites_as_they_are(world: World) -> None:
    page = world.user("ada").form()
    assert "UKRI Cloud" in page
    assert "Members" not in page
    assert re.search(r'id="fl-site-down"[^>]* disabled', page)
    assert "Members" in world.user("eve").form()


@both
def test_what_is_not_on_the_form_is_refused_with_the_choice_kept(world: World) -> None:
    ada = world.user("ada")
    refused = ada.spawn({**WHOLE, "image": "unlisted-choice", "image--unlisted-choice": "/evil; x"})
    assert refused.status_code == 400
    assert "is not an image" in text_of(refused.text, "fl-error")
    assert 'value="/evil; x"' in refused.text
    assert re.search(r'<option value="whole-machine"[^>]* selected', refused.text)
    named = ada.spawn({**WHOLE, "image--unlisted-choice": "/opt/../x"}, "named")
    assert re.search(r'<option value="whole-machine"[^>]* selected', named.text)
    for fields in ({}, {"profile": "members--lab"}, {"farlab-site": "cloud"}):
        assert ada.post_form(fields).status_code == 400
    assert ada.model() == {}
    assert world.live() == {}


def test_api_is_checked_like_the_form(world: World) -> None:
    world.user("bob")
    for options in (
        {},
        {"profile": "members--lab"},
        {"profile": "cloud--lab", "cmd": "sh"},
        {"profile": "cloud--lab", "image--unlisted-choice": "/evil"},
        {"profile": 3},
    ):
        answer = world.hub.api("POST", "users/bob/server", **options)
        assert answer.status_code == 400, options
        assert "What to do" in answer.text
    assert world.live() == {}


@both
def test_from_the_form_to_a_cell_and_back(world: World) -> None:
    ada = world.user("ada")
    ada.spawn(SMALL)
    events = list(ada.progress())
    stages = [event["farlab"]["stage"] for event in events if "farlab" in event]
    assert stages == sorted(stages, key=STAGES.index)
    assert any(event.get("farlab", {}).get("job_id") for event in events)
    assert events[-1]["ready"], events
    ada.wait_until_ready()
    with RemoteKernel(ada) as kernel:
        names = kernel.run("import os; print(*[n for n in os.environ if n.startswith('FARLAB_')])")
    assert "FARLAB_SECRET" not in names.split()
    place = ada.get("farlab/api/server").json()
    assert (place["site"], place["profile"]) == ("cloud", "lab")
    ada.stop()
    assert world.live() == {}
    assert ada.model() == {}
    assert re.search(r'<option value="1-cpu"[^>]* selected', ada.form())
    assert 'id="fl-ending"' not in ada.form()


def test_waiting_job_tells_why_and_can_be_cancelled(world: World) -> None:
    ada = world.user("ada")
    ada.spawn(WHOLE)
    ada.wait_until_ready()
    ada.spawn(SMALL, "second")
    wait_until(lambda: world.live().get("ada/second") == "queued", "the second server to queue")
    page = ada.http.get("hub/spawn-pending/ada/second").text
    assert "Starting JupyterLab at UKRI Cloud" in page
    assert "ends after 8 hours" in page
    events = ada.progress("second")
    assert any("place 1 of 1" in event["message"] for event in events)
    ada.stop("second")
    assert world.live() == {"ada/": "ready"}
    ada.stop()


@both
def test_start_can_be_cancelled_at_once(world: World) -> None:
    ada = world.user("ada")
    ada.spawn(SMALL)
    ada.stop()
    assert world.live() == {}
    assert ada.spawn(SMALL).url.path == "/hub/spawn-pending/ada"
    ada.stop()


def test_site_that_is_down_is_tried_and_can_be_left(world: World) -> None:
    ada = world.user("ada")
    ada.spawn({"profile": "down--lab"})
    assert "can't be reached" in next(
        event["message"] for event in ada.progress() if "reached" in event["message"]
    )
    ada.stop()
    assert world.live() == {}


@both
def test_start_that_fails_shows_the_log_and_the_way_back(world: World) -> None:
    ada = world.user("ada")
    ada.spawn({**SMALL, "image": "broken"})
    ada.wait_until_stopped()
    page = ada.http.get("hub/spawn-pending/ada").text
    failed = text_of(page, "fl-failed")
    assert "Your server at UKRI Cloud did not start" in failed
    assert re.search(r'id="start"[^>]*href="/hub/spawn/ada', page)
    form = ada.form()
    assert "did not start" in text_of(form, "fl-ending")
    assert re.search(r'<option value="broken"[^>]* selected', form)
    assert world.live() == {}
    assert "SpawnRefused" not in world.hub.read_log()


def test_server_that_ends_by_itself_is_noticed_and_explained(world: World) -> None:
    ada = world.user("ada")
    ada.spawn(SMALL)
    ada.wait_until_ready()
    with RemoteKernel(ada) as kernel:
        server = int(kernel.run("import os; print(os.getppid())"))
    os.kill(server, signal.SIGKILL)
    ada.wait_until_stopped()
    ending = text_of(ada.form(), "fl-ending")
    assert "Your server at UKRI Cloud has ended" in ending
    assert "exit code 137" in ending
    assert "Last lines of its log" in ending
    assert "has ended" in ada.http.get("user/ada/lab").text
    ada.spawn(SMALL)
    ada.stop()
    assert 'id="fl-ending"' not in ada.form()


def test_restart_of_the_hub_keeps_what_runs_and_what_waits(world: World) -> None:
    ada = world.user("ada")
    ada.spawn(WHOLE)
    ada.wait_until_ready()
    for server in ("waits", "leaves"):
        ada.spawn(SMALL, server)
        wait_until(lambda s=server: world.live().get(f"ada/{s}") == "queued", server)
    kernel = RemoteKernel(ada)
    kernel.run("x = 41")
    kernel.close()
    world.hub.kill()
    world.hub.restart()
    ada.login()
    ada.wait_until_ready()
    kernel.connect()
    assert kernel.run("print(x + 1)") == "42\n"
    kernel.close()
    assert 'id="fl-progress"' in ada.http.get("hub/spawn-pending/ada/leaves").text
    ada.stop("leaves")
    ada.stop()
    ada.wait_until_ready("waits")
    ada.stop("waits")
    assert world.live() == {}


def test_any_user_name(world: World) -> None:
    user = world.user(ANYONE)
    user.spawn(SMALL)
    user.wait_until_ready()
    assert user.get("api/status").status_code == 200
    user.stop()
    assert world.live() == {}
