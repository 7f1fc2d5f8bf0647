"""What `deploy/` holds: a real API server admits it, its rights are just enough, and it works."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from farlab_real.control_plane import Cluster, ControlPlane
from farlab_real.kubelet import PodsOn, RunningKubelet, pod_for
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import Process, free_ports
from farlab_sites.carriers.cluster import Cluster as Connection
from farlab_sites.carriers.kubernetes import KubernetesCarrier
from farlab_sites.kubelet.config import Settings
from farlab_sites.loader import load_catalogue, load_file
from farlab_sites.sites_cli import main
from farlab_spawner import FarlabSpawner
from kubernetes_asyncio.config import kube_config
from traitlets.config import Config

Json = dict[str, Any]
DEPLOY = Path(__file__).parents[2] / "deploy"
NODE = "vega-vk"


@pytest.fixture(scope="module")
def namespace(control_plane: Cluster) -> Iterator[str]:
    """A namespace that admits only pods without any privilege."""
    with control_plane.namespace(f"farlab-{secrets.token_hex(4)}") as name:
        levels = [f"pod-security.kubernetes.io/{what}=restricted" for what in ("enforce", "warn")]
        control_plane.kubectl("label", "namespace", name, *levels)
        yield name


@pytest.fixture(scope="module")
def folder(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/ for the namespace, changed as an operator would, and with a tunnel."""
    copy = tmp_path_factory.mktemp("deploy") / "deploy"
    shutil.copytree(DEPLOY, copy)
    for file in copy.glob("*/kustomization.yaml"):
        file.write_text(file.read_text().replace("namespace: jhub", f"namespace: {namespace}"))
    (copy / "tunnelled").mkdir()
    overlay = {"resources": ["../base"], "components": ["../tunnel"]}
    (copy / "tunnelled/kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return copy


@pytest.fixture(scope="module")
def applied(control_plane: Cluster, namespace: str, folder: Path) -> Iterator[str]:
    """The namespace, with everything applied; what is outside of it is removed at the end."""
    for part in ("base", "kubelet"):
        control_plane.kubectl("apply", "-k", str(folder / part))
    yield namespace
    for part in ("base", "kubelet"):
        control_plane.kubectl("delete", "-k", str(folder / part), "--wait=false")


def rendered(control_plane: Cluster, folder: Path) -> list[Json]:
    """Return what kustomize makes of a folder."""
    return list(yaml.safe_load_all(control_plane.kubectl("kustomize", str(folder))))


def deployments(control_plane: Cluster, folder: Path) -> list[Json]:
    """Return the Deployments of a folder; there is one at least."""
    found = [item for item in rendered(control_plane, folder) if item["kind"] == "Deployment"]
    assert found
    return found


PARTS = pytest.mark.parametrize("part", ["base", "kubelet", "tunnelled"])


@PARTS
def test_the_api_server_takes_it(control_plane: Cluster, folder: Path, part: str) -> None:
    control_plane.kubectl(
        *("apply", "-k", str(folder / part), "--dry-run=server"),
        # The pods of a Deployment are judged when they are made; before, there is a warning.
        "--warnings-as-errors",
    )


@PARTS
def test_its_pods_are_admitted_without_any_privilege(
    control_plane: Cluster, folder: Path, namespace: str, part: str
) -> None:
    for deployment in deployments(control_plane, folder / part):
        template = deployment["spec"]["template"]
        meta = {"name": deployment["metadata"]["name"], "labels": template["metadata"]["labels"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
        # Its account may not be there yet; admission's judgement does not depend on it.
        pod["spec"].pop("serviceAccountName")
        dry = ("create", "-n", namespace, "--dry-run=server", "-f", "-")
        control_plane.kubectl(*dry, stdin=json.dumps(pod))
        pod["spec"]["hostNetwork"] = True
        with pytest.raises(RuntimeError, match="violates PodSecurity"):
            control_plane.kubectl(*dry, stdin=json.dumps(pod))


@PARTS
def test_its_containers_are_shut_in(control_plane: Cluster, folder: Path, part: str) -> None:
    for deployment in deployments(control_plane, folder / part):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["resources"]["requests"]["memory"]
            assert container["resources"]["limits"]["memory"]
            assert re.fullmatch(r"registry\.example\.org/farlab:[0-9.]+", container["image"])
            if container["name"] != "tunnel":  # ssh ends when it does not work
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    assert container[probe]


def test_every_pod_has_a_network_policy(control_plane: Cluster, folder: Path) -> None:
    for part in ("base", "kubelet"):
        items = rendered(control_plane, folder / part)
        (policy,) = [item for item in items if item["kind"] == "NetworkPolicy"]
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        wanted = policy["spec"]["podSelector"]["matchLabels"]
        for deployment in deployments(control_plane, folder / part):
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            assert wanted.items() <= labels.items()


# What each account may do, and what it may not: resource[/subresource][:name], and verbs.
SERVICE_MAY = {
    "pods": "get list watch create delete",
    "pods/log": "get",
    "secrets": "create update patch deletecollection",
    "configmaps": "create update patch deletecollection",
    "events": "list watch",
    "nodes": "get list",
}
SERVICE_MAY_NOT = {
    "secrets": "get list watch",
    "pods": "update patch deletecollection",
    "pods/exec": "get create",
    "pods/attach": "create",
    "pods/portforward": "create",
    "events": "create",
    "nodes": "create patch delete",
    "nodes/proxy": "get",
    "serviceaccounts": "create impersonate",
    "serviceaccounts/token": "create",
    "roles.rbac.authorization.k8s.io": "create bind escalate",
    "rolebindings.rbac.authorization.k8s.io": "create",
    "deployments.apps": "get create",
    "persistentvolumeclaims": "create",
}
KUBELET_MAY = {
    "pods": "get list watch patch delete",
    "pods/status": "patch",
    "secrets": "get",
    "configmaps": "get",
    "serviceaccounts/token:default": "create",
    "events": "create",
    "nodes": "create",
    f"nodes:{NODE}": "get patch delete",
    f"nodes/status:{NODE}": "patch",
    "subjectaccessreviews.authorization.k8s.io": "create",
}
KUBELET_MAY_NOT = {
    "secrets": "list watch create update patch delete",
    "configmaps": "list watch create update patch delete",
    "pods": "create update deletecollection",
    "pods/exec": "get create",
    "pods/binding": "create",
    "serviceaccounts": "create impersonate",
    "serviceaccounts/token:hub": "create",
    "serviceaccounts/token:farlab": "create",
    "nodes": "list watch deletecollection",
    "nodes:another": "get patch delete",
    "nodes/status:another": "patch",
    "nodes/proxy": "get create",
    "clusterroles.rbac.authorization.k8s.io": "bind escalate",
}
SERVICE, KUBELET = "farlab", "farlab-kubelet-vega"


def review(account: str, asked: str, verb: str, where: str) -> Json:
    """Return the question that `kubectl auth can-i --as` puts to the API server."""
    asked, _, name = asked.partition(":")
    resource, _, group = asked.partition(".")
    resource, _, subresource = resource.partition("/")
    what = {"resource": resource, "subresource": subresource, "group": group, "name": name}
    attributes = {**what, "verb": verb, "namespace": where}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account, "resourceAttributes": attributes},
    }


def allowed(
    cluster: Cluster, home: str, account: str, questions: dict[str, str], where: str
) -> list[str]:
    """Return what of all that an account of `home` may do in a namespace."""
    user = f"system:serviceaccount:{home}:{account}"
    asked = [(what, verb) for what, verbs in questions.items() for verb in verbs.split()]
    items = [review(user, what, verb, where) for what, verb in asked]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    verdict = 'jsonpath={.status.allowed}{"\\n"}'
    answers = cluster.kubectl("create", "-f", "-", "-o", verdict, stdin=listed).split()
    return [
        f"{verb} {what}"
        for (what, verb), answer in zip(asked, answers, strict=True)
        if answer == "true"
    ]


@pytest.mark.parametrize(
    ("account", "may", "may_not"),
    [(SERVICE, SERVICE_MAY, SERVICE_MAY_NOT), (KUBELET, KUBELET_MAY, KUBELET_MAY_NOT)],
    ids=["service", "kubelet"],
)
def test_accounts_may_do_what_they_need_and_no_more(
    control_plane: Cluster,
    applied: str,
    account: str,
    may: dict[str, str],
    may_not: dict[str, str],
) -> None:
    needed = [f"{verb} {what}" for what, verbs in may.items() for verb in verbs.split()]
    assert allowed(control_plane, applied, account, may, applied) == needed
    assert allowed(control_plane, applied, account, may_not, applied) == []


def test_kubectl_agrees(control_plane: Cluster, applied: str) -> None:
    def may(*question: str) -> bool:
        account = f"--as=system:serviceaccount:{applied}:{SERVICE}"
        argv = ("auth", "can-i", *question, "-n", applied, account)
        return control_plane.kubectl(*argv, check=False).strip() == "yes"

    assert may("create", "pods")
    assert may("get", "pods", "--subresource=log")
    assert not may("get", "secrets")
    assert not may("create", "pods", "--subresource=exec")


def test_nothing_of_other_namespaces_can_be_touched(control_plane: Cluster, applied: str) -> None:
    verbs = "get create update patch delete deletecollection"
    kinds = dict.fromkeys(("pods", "pods/status", "secrets", "configmaps", "events"), verbs)
    kinds["serviceaccounts/token:default"] = "create"
    lease = {f"leases.coordination.k8s.io:{NODE}": "get patch delete"}
    other = {"leases.coordination.k8s.io:another": "get patch delete"}
    for where in ("kube-system", "default"):
        for account in (SERVICE, KUBELET):
            assert allowed(control_plane, applied, account, kinds | lease, where) == []
    leases = "kube-node-lease"
    assert len(allowed(control_plane, applied, KUBELET, lease | other, leases)) == 3
    assert allowed(control_plane, applied, SERVICE, lease | other, leases) == []


def test_a_node_is_named_once_and_for_all(control_plane: Cluster, folder: Path) -> None:
    items = rendered(control_plane, folder / "kubelet")
    names = {
        name
        for item in items
        for rule in item.get("rules", ())
        for name in rule.get("resourceNames", ())
    }
    settings = load_file(DEPLOY / "kubelet/kubelet.yaml", Settings)
    assert names == {settings.node, "default"}
    (site,) = [s for s in load_catalogue(DEPLOY / "base/sites.yaml").sites if s.virtual_node]
    assert site.virtual_node == settings.node == NODE


def kubelet_settings(folder: Path) -> Json:
    """Return what the kubelet's own file says, without what only holds in its pod."""
    settings: Json = yaml.safe_load((folder / "kubelet/kubelet.yaml").read_text())
    del settings["backend"], settings["serving"]
    return settings


def test_a_pod_runs_with_these_rights_alone(
    control_plane: Cluster, applied: str, folder: Path, tmp_path: Path
) -> None:
    kubeconfig = control_plane.kubeconfig_for(KUBELET, applied)
    pods = PodsOn(control_plane, applied)
    pod = pod_for(NODE, "hello", "echo $WORD; cat /var/run/token/token", env=[
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "words", "key": "word"}}},
    ], volumeMounts=[{"name": "token", "mountPath": "/var/run/token"}])  # fmt: skip
    token = {"serviceAccountToken": {"path": "token", "audience": "farlab.example.org"}}
    pod["spec"]["volumes"] = [{"name": "token", "projected": {"sources": [token]}}]
    unprivileged(pod)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "words"}}
    pods.create({**secret, "stringData": {"word": "from-a-secret"}})
    settings = kubelet_settings(folder) | {"kubeconfig": str(kubeconfig)}
    del settings["node"]
    with (
        RunningPlugin(tmp_path / "plugin", {"local": {"cpus": 4}}) as plugin,
        RunningKubelet(
            tmp_path / "kubelet", control_plane, NODE, {"plugin": {"url": plugin.url}}, **settings
        ) as kubelet,
    ):
        pods.create(pod)
        done = pods.wait_for_phase("hello", "Succeeded")
        assert done["spec"]["nodeName"] == NODE
        pods.wait_for_event("hello", "Submitted")
        if isinstance(control_plane, ControlPlane):
            assert pods.kubectl("logs", "hello").startswith("from-a-secret\neyJ")
        pods.kubectl("delete", "pod", "hello", "--wait=false")
        pods.wait_until_gone("hello")
        kubelet.drain()
        logs = [(kubelet.folder / f"{name}.log").read_text() for name in ("kubelet", "drain")]
        assert "drained: the node is removed" in logs[1]
        assert "forbidden" not in "".join(logs).lower(), logs
    # As for a kubelet of another node: what it names is not this account's.
    other = PodsOn(control_plane.seen_by(kubeconfig), applied)
    with pytest.raises(RuntimeError, match="forbidden"):
        other.cluster.kubectl("delete", "node", "another")


def unprivileged(pod: Json) -> None:
    """Let a namespace that enforces `restricted` admit a pod."""
    pod["spec"]["securityContext"] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in pod["spec"]["containers"]:
        container["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


async def test_the_service_starts_kernels_with_these_rights_alone(
    control_plane: Cluster, applied: str
) -> None:
    kubeconfig = control_plane.kubeconfig_for(SERVICE, applied)
    carrier = KubernetesCarrier(Connection(applied, kubeconfig), "cloud")
    uid = "11111111-2222-3333-4444-555555555555"
    container = {"name": "kernel", "image": "registry.example.org/lab:1", "command": ["true"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "farlab-kernel", "namespace": applied, "uid": uid},
        "spec": {"containers": [container], "restartPolicy": "Never"},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "farlab-kernel"}}
    async with carrier:
        await carrier.create(pod, [secret])
        await carrier.create(pod, [secret])  # again, as after a kill
        assert uid in await carrier.status([pod])
        assert await carrier.ping() is not None
        assert await carrier.logs(pod, container="kernel") == ""  # no node has it yet
        owners = "jsonpath={.metadata.ownerReferences[0].name}"
        get = ("get", "secret", "farlab-kernel", "-n", applied, "-o", owners)
        assert control_plane.kubectl(*get) == "farlab-kernel"
        await carrier.delete(pod)
    left = control_plane.kubectl("get", "pod,secret", "-n", applied, "-o", "name")
    assert "farlab-kernel" not in left


def moved(text: str, places: dict[str, str]) -> str:
    """Return a text of a manifest with the places that this machine has instead."""
    for there, here in places.items():
        text = text.replace(there, here)
    return text


def test_the_service_starts_as_its_deployment_says(
    control_plane: Cluster, applied: str, folder: Path, tmp_path: Path
) -> None:
    (deployment,) = deployments(control_plane, folder / "base")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    api, relay = free_ports(2)
    # What is different on this machine: the places of files, and which ports are free.
    here = {
        "/etc/farlab/sites": str(DEPLOY / "base"),
        "/var/lib/farlab": str(tmp_path),
        "0.0.0.0:8092": f"127.0.0.1:{api}",
        "--relay-ip=0.0.0.0": "--relay-ip=127.0.0.1",
        "8091": str(relay),
    }

    env = {item["name"]: moved(item.get("value", "a-token"), here) for item in container["env"]}
    kubeconfig = control_plane.kubeconfig_for(SERVICE, applied)
    env |= {"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig)}
    command = [str(Path(sys.executable).with_name(container["command"][0]))]
    command += container["command"][1:] + [moved(argument, here) for argument in container["args"]]
    process = Process(command, tmp_path / "log", env)
    process.start()
    try:
        process.wait_until(lambda: "The API is at" in process.read_log(), "the service")
        answer = httpx.get(f"http://127.0.0.1:{api}/services/farlab/api/sites", timeout=60)
        assert answer.status_code in (401, 403), answer.text
        answer = httpx.get(f"http://127.0.0.1:{relay}/relay/agent/x", timeout=60)
        assert answer.status_code >= 400
        assert process.running
    finally:
        process.stop()


@pytest.fixture
def values() -> Json:
    """The values for zero-to-jupyterhub."""
    content: Json = yaml.safe_load((DEPLOY / "z2jh-values.yaml").read_text())
    return content


@pytest.fixture
def hub_config(values: Json, tmp_path: Path) -> Config:
    """The hub's configuration, as zero-to-jupyterhub makes it: `config`, then `extraConfig`."""
    (tmp_path / "tokens").mkdir()
    for name in ("farlab", "farlab-spawner"):
        (tmp_path / f"tokens/{name}.token").write_text(f"{name}-word")
    places = {
        "/etc/farlab/sites": str(DEPLOY / "base"),
        "/etc/farlab/tokens": str(tmp_path / "tokens"),
    }
    c = Config()
    for name, section in values["hub"]["config"].items():
        c[name].update(section)
    for code in values["hub"]["extraConfig"].values():
        exec(compile(moved(code, places), "extraConfig", "exec"), {"c": c})
    return c


def test_the_hubs_values_turn_farlab_on(values: Json, hub_config: Config) -> None:
    hub = hub_config.JupyterHub
    assert hub.spawner_class is FarlabSpawner
    service, caller = hub.services
    assert service["url"] == hub_config.FarlabSpawner.service_url == "http://farlab:8092"
    assert (service["api_token"], caller["api_token"]) == ("farlab-word", "farlab-spawner-word")
    assert "command" not in service
    mounts = {mount["mountPath"] for mount in values["hub"]["extraVolumeMounts"]}
    assert mounts == {"/etc/farlab/tokens"}
    assert values["hub"]["extraFiles"]["sites"]["mountPath"] == "/etc/farlab/sites/sites.yaml"


def test_hub_and_service_agree(control_plane: Cluster, folder: Path, hub_config: Config) -> None:
    """The names that one gives are those that the other asks for."""
    items = rendered(control_plane, folder / "base")
    (deployment,) = [item for item in items if item["kind"] == "Deployment"]
    (service,) = [item for item in items if item["kind"] == "Service"]
    (ingress,) = [item for item in items if item["kind"] == "Ingress"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    name, ports = service["metadata"]["name"], [port["port"] for port in service["spec"]["ports"]]
    url = hub_config.FarlabSpawner.service_url
    assert url == f"http://{name}:{ports[0]}"
    assert f"--ports-host={name}" in container["args"]
    relay_url = hub_config.FarlabSpawner.relay_url
    assert f"--relay-url={relay_url}" in container["args"]
    (rule,) = ingress["spec"]["rules"]
    assert relay_url == f"wss://{rule['host']}{rule['http']['paths'][0]['path']}"
    env = {item["name"]: item for item in container["env"]}
    reference = env["JUPYTERHUB_API_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "farlab-tokens", "key": "farlab.token"}
    assert env["JUPYTERHUB_SERVICE_URL"]["value"].endswith(f":{ports[0]}")


def test_the_catalogue_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(DEPLOY / "base/sites.yaml")]) == 0
    assert "2 sites, 2 profiles: ok" in capsys.readouterr().out


@pytest.mark.parametrize("profile", ["cloud--small", "vega--gpu"])
async def test_users_pods_are_admitted(
    control_plane: Cluster,
    namespace: str,
    hub_config: Config,
    monkeypatch: pytest.MonkeyPatch,
    profile: str,
) -> None:
    kubeconfig = str(control_plane.kubeconfig)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig)
    hub_config.KubeSpawner.uid = 1000  # the chart's own
    groups = [SimpleNamespace(name="vega-users")]
    user = SimpleNamespace(
        name="ada", escaped_name="ada", id=1, url="/user/ada/", groups=groups, settings={},
        orm_user=SimpleNamespace(_orm_spawners=[]),
    )  # fmt: skip
    hub = SimpleNamespace(
        public_host="",
        url="http://hub:8081/hub/",
        base_url="/hub/",
        api_url="http://hub:8081/hub/api",
    )
    spawner = FarlabSpawner(_mock=True, user=user, hub=hub, config=hub_config)
    spawner.api_token = "a-token"
    spawner.user_options = {"profile": profile}
    await spawner.load_user_options()
    pod = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    pod["metadata"].pop("uid", None)
    dry = ("create", "-n", namespace, "--dry-run=server", "-o", "json", "-f", "-")
    made = json.loads(control_plane.kubectl(*dry, stdin=json.dumps(pod)))
    assert made["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert not made["spec"].get("initContainers")
