"""The spawner without a hub: manifests as data, nothing left of an earlier choice."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from farlab_spawner import attempts
from farlab_spawner.errors import LinkOnlyPrefills, SpawnRefused
from farlab_spawner.request import Job, outline, workload_request
from farlab_spawner.spawner import FarlabSpawner

IN = ("intertwin",)
GPU = {"profile": "vega--gpu", "partition": "gpu-2-x-a100"}
CPU = {"profile": "vega--cpu"}
CLOUD = {"profile": "cloud--lab"}
Make = Callable[..., FarlabSpawner]


async def body(spawner: FarlabSpawner) -> dict[str, Any]:
    """Return what the spawner would announce."""
    await spawner.load_user_options()
    job = Job("uid-1", "s3cret", spawner.choice, spawner.relay_url, spawner.service.url)
    return workload_request(job, spawner._owner, await spawner._pod())


def env(pod: dict[str, Any]) -> dict[str, Any]:
    return {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}


async def test_choice_becomes_one_manifest(make_spawner: Make) -> None:
    request = await body(make_spawner(GPU, IN))
    pod = request["pod"]
    container = pod["spec"]["containers"][0]
    assert container["resources"]["limits"] == {
        "cpu": 8.0,
        "memory": 64 * 2**30,
        "nvidia.com/gpu": "2",
    }
    assert container["image"] == "/opt/env"
    assert pod["spec"]["activeDeadlineSeconds"] == 4 * 3600
    assert pod["spec"]["restartPolicy"] == "Never"
    annotations = pod["metadata"]["annotations"]
    assert annotations["farlab/site"] == "vega"
    assert annotations["slurm-job.vk.io/flags"] == "--partition=gpu --gres=gpu:a100:2 --time=240"
    assert (pod["metadata"]["uid"], request["uid"]) == ("uid-1", "uid-1")
    assert request["groups"] == ["intertwin"]
    assert json.loads(json.dumps(request)) == request


async def test_agent_runs_first_and_fills_in_the_addresses(make_spawner: Make) -> None:
    pod = (await body(make_spawner(GPU, IN)))["pod"]
    assert pod["spec"]["containers"][0]["args"] == [
        *("farlab-agent", "--port", "8888", "--call", "hub", "--call", "farlab", "--"),
        "jupyterhub-singleuser",
    ]
    values = env(pod)
    assert values["JUPYTERHUB_SERVICE_URL"] == "http://127.0.0.1:{port:8888}/"
    assert values["JUPYTERHUB_API_URL"] == "http://127.0.0.1:{call:hub}/hub/api"
    assert values["JUPYTERHUB_ACTIVITY_URL"] == (
        "http://127.0.0.1:{call:hub}/hub/api/users/ada/activity"
    )
    assert values["FARLAB_WORKLOAD"] == "uid-1"
    assert values["FARLAB_RELAY_URL"] == "ws://edge.vega.example:4001"
    assert values["FARLAB_SITE_TITLE"] == "Vega HPC"
    assert values["BRACES"] == '{"a": 1}'


async def test_direct_sites_dial_the_hubs_relay(make_spawner: Make) -> None:
    assert env((await body(make_spawner(CLOUD)))["pod"])["FARLAB_RELAY_URL"] == (
        "ws://127.0.0.1:8091"
    )


async def test_secrets_are_in_one_secret_and_nowhere_else(make_spawner: Make) -> None:
    request = await body(make_spawner(GPU, IN))
    pod = json.dumps(request["pod"])
    assert "s3cret" not in pod
    assert "token-of-the-server" not in pod
    (secret,) = request["secrets"]
    values = {base64.b64decode(value).decode() for value in secret["data"].values()}
    assert values == {"s3cret", "token-of-the-server"}


@pytest.mark.parametrize("order", [(GPU, CPU), (GPU, CLOUD), (CLOUD, CPU), (CPU, GPU)])
async def test_nothing_of_an_earlier_choice_stays(
    make_spawner: Make, order: tuple[dict[str, str], dict[str, str]]
) -> None:
    used = make_spawner(order[0], IN)
    await body(used)
    used.user_options = order[1]
    again = await body(used)
    fresh = await body(make_spawner(order[1], IN))
    assert again == fresh


async def test_what_the_operator_set_stays(make_spawner: Make) -> None:
    spawner = make_spawner(GPU, IN)
    spawner.environment = {"MINE": "1", "WHO": lambda s: s.user.name}
    spawner.extra_annotations = {"mine": "x"}
    for options in (GPU, CLOUD, GPU):
        spawner.user_options = options
        pod = (await body(spawner))["pod"]
        assert env(pod)["MINE"] == "1"
        assert env(pod)["WHO"] == "ada"
        assert pod["metadata"]["annotations"]["mine"] == "x"
    assert set(spawner.environment) >= {"MINE", "WHO"}


@pytest.mark.parametrize(
    "name", ["ada", "Zoë Ångström", "日本語", "o'neil; rm -rf /", "a" * 200, "{user}", "$(HOME)"]
)
async def test_any_user_name_makes_a_valid_pod(make_spawner: Make, name: str) -> None:
    request = await body(make_spawner(CLOUD, name=name))
    pod_name = request["pod"]["metadata"]["name"]
    assert pod_name.replace("-", "").isalnum()
    assert pod_name.isascii()
    assert len(pod_name) <= 63
    assert request["owner"] == name


async def test_pod_of_a_kubernetes_site_has_its_node(make_spawner: Make) -> None:
    spawner = make_spawner({"profile": "k8s--lab"}, ("cluster",))
    await spawner.load_user_options()
    assert spawner.node_selector == {"kubernetes.io/hostname": "vk"}
    spawner.user_options = CLOUD
    await spawner.load_user_options()
    assert not spawner.node_selector
    assert not spawner.tolerations


async def test_choice_of_others_is_refused_before_anything_starts(make_spawner: Make) -> None:
    spawner = make_spawner(GPU, ())
    with pytest.raises(SpawnRefused):
        spawner.apply_user_options(spawner, spawner.user_options)
    with pytest.raises(SpawnRefused):
        await spawner.start()
    allowed = make_spawner(GPU, IN)
    assert allowed.apply_user_options(allowed, GPU) is None


async def test_link_never_starts_and_prefills(make_spawner: Make, fake_service: Any) -> None:
    spawner = make_spawner()
    with pytest.raises(LinkOnlyPrefills):
        spawner.options_from_query({"opt-profile": ["cloud--lab"], "opt-size": ["8-cpu-32-gb"]})
    html = await spawner.get_options_form()
    assert 'value="8-cpu-32-gb" data-limit' not in html
    assert '<option value="8-cpu-32-gb" selected' in html
    with pytest.raises(LinkOnlyPrefills):
        spawner.options_from_query({"opt-profile": ["cloud--lab"], "opt-image": ["evil"]})
    assert "not offered here: image" in await spawner.get_options_form()
    assert "not offered here" not in await spawner.get_options_form()


async def test_form_shows_only_what_the_groups_may_choose(
    make_spawner: Make, fake_service: Any
) -> None:
    everyone = await make_spawner().get_options_form()
    assert "UKRI Cloud" in everyone
    assert "Vega" not in everyone
    assert "Vega" in await make_spawner(groups=IN).get_options_form()


async def test_form_without_the_service_is_a_form(make_spawner: Make, fake_service: Any) -> None:
    fake_service.refuse = (502, "bad gateway")
    html = await make_spawner().get_options_form()
    assert "UKRI Cloud" in html
    assert 'id="fl-no-facts"' in html


def row(name: str, when: str, options: Any) -> SimpleNamespace:
    return SimpleNamespace(name=name, last_activity=when, user_options=options)


async def test_last_choice_is_remembered(make_spawner: Make, fake_service: Any) -> None:
    spawner = make_spawner(groups=IN)
    spawner.user.orm_user._orm_spawners = [
        row("old", "2026-01-01", {"profile": "cloud--lab", "size": "8-cpu-32-gb"}),
        row("newer", "2026-02-01", {**GPU}),
        row("", "2026-03-01", None),
        row("odd", "2026-04-01", "rubbish"),
    ]
    html = await spawner.get_options_form()
    assert 'id="fl-site-vega" value="vega"' in html
    assert '<option value="gpu-2-x-a100"' in html
    assert spawner._remembered() == GPU


async def test_refused_choice_comes_back(make_spawner: Make, fake_service: Any) -> None:
    spawner = make_spawner()
    sent = {
        "profile": ["cloud--lab"],
        "profile-option-cloud--lab--size": ["8-cpu-32-gb"],
        "profile-option-cloud--lab--image": ["unlisted-choice"],
        "profile-option-cloud--lab--image--unlisted-choice": ["elsewhere/evil:1"],
    }
    with pytest.raises(SpawnRefused, match="not allowed"):
        spawner.run_options_from_form(sent)
    html = await spawner.get_options_form()
    assert 'value="elsewhere/evil:1"' in html
    assert attempts.take(spawner.user.id) is None


async def test_kubespawners_pod_is_dressed_as_the_workload(make_spawner: Make) -> None:
    spawner = make_spawner({"profile": "k8s--lab"}, ("cluster",))
    await spawner.load_user_options()
    spawner._job = Job("uid-1", "s3cret", spawner.choice, spawner.relay_url, spawner.service.url)
    spawner._account = "itw001"
    pod = await spawner._pod()
    meta, container = pod["metadata"], pod["spec"]["containers"][0]
    assert (meta["labels"]["farlab/workload"], meta["labels"]["farlab/site"]) == ("uid-1", "k8s")
    assert meta["labels"]["component"] == "singleuser-server"  # KubeSpawner's own stay
    assert meta["annotations"]["farlab/account"] == "itw001"
    assert container["args"][:1] == ["farlab-agent"]
    assert container["args"][-1] == "jupyterhub-singleuser"
    values = env(pod)
    assert values["JUPYTERHUB_API_URL"] == "http://127.0.0.1:{call:hub}/hub/api"
    assert values["FARLAB_RELAY_URL"] == "ws://127.0.0.1:8091"
    assert len(values) == len(container["env"])
    shown = json.dumps(outline(pod))
    assert "s3cret" not in shown
    assert '"env"' not in shown
