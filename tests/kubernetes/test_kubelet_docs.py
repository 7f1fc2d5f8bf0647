"""What docs/kubelet.md says is so."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from farlab_real.control_plane import Cluster
from farlab_real.kubelet import PodsOn, RunningKubelet, pod_for
from farlab_real.plugin import RunningPlugin
from farlab_sites.cli import main
from farlab_sites.kubelet.admission import refusal

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/kubelet.md").read_text()


def blocks(kind: str) -> list[str]:
    found: list[str] = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return found


def commands() -> list[tuple[str, str]]:
    """Return the page's commands, each with the output that it shows."""
    found = []
    for block in blocks("console"):
        for shown in block.split("$ ")[1:]:
            command, _, output = shown.partition("\n")
            found.append((command, output))
    return found


def test_the_check_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kubelet.yaml").write_text(blocks("yaml")[0])
    [(command, output)] = [item for item in commands() if item[0].endswith("--check")]
    assert main(command.split()[1:]) == 0
    assert capsys.readouterr().out == output


def test_every_command_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["kubelet", "--help"])
    known = capsys.readouterr().out
    for command, _ in commands():
        for word in command.split():
            assert not word.startswith("--") or word in known


def test_the_tolerations_are_the_right_ones() -> None:
    spec = yaml.safe_load(blocks("yaml")[1])
    assert refusal({"spec": {"containers": [], "tolerations": spec["tolerations"][:1]}}) is None


def test_every_word_that_the_page_explains_exists() -> None:
    folder = ROOT / "sites/farlab_sites/kubelet"
    sources = "".join(path.read_text() for path in folder.glob("*.py"))
    table = PAGE.split("## When something is wrong")[1]
    words = re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)
    assert len(words) == 8
    for word in words:
        assert word in sources, word


GROUPS = {
    "leases": "coordination.k8s.io",
    "subjectaccessreviews": "authorization.k8s.io",
}


def rules() -> list[dict[str, Any]]:
    """Return the page's table of rights as a ClusterRole has them."""
    table = PAGE.split("What it may do there")[1].split("## ")[0]
    found = []
    for resources, verbs in re.findall(r"^\| ([a-z/, -]+?) \| ([a-z, ]+)", table, re.MULTILINE):
        for resource in resources.removesuffix(" in kube-node-lease").split(", "):
            if resource != "resource":
                group = GROUPS.get(resource, "")
                rule = {
                    "apiGroups": [group],
                    "resources": [resource],
                    "verbs": verbs.strip().split(", "),
                }
                found.append(rule)
    return found


@pytest.fixture
def account(control_plane: Cluster, namespace: str) -> Iterator[Path]:
    """A kubeconfig with the rights that the page names and no other."""
    name = f"kubelet-{namespace}"
    control_plane.kubectl("create", "serviceaccount", "kubelet", "-n", namespace)
    meta = {"name": name}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta}
    control_plane.create(role | {"rules": rules()})
    who = ["--clusterrole", name, f"--serviceaccount={namespace}:kubelet"]
    control_plane.kubectl("create", "clusterrolebinding", name, *who)
    yield control_plane.kubeconfig_for("kubelet", namespace)
    control_plane.kubectl("delete", "clusterrolebinding,clusterrole", name)


def test_the_rights_on_the_page_are_enough(
    control_plane: Cluster, namespace: str, account: Path, tmp_path: Path
) -> None:
    assert len(rules()) == 10
    node = f"vk-{secrets.token_hex(3)}"
    pods = PodsOn(control_plane, namespace)
    with RunningPlugin(tmp_path / "site", {"local": {"cpus": 8}}) as site:
        backend = {"plugin": {"url": site.url}}
        settings = {"kubeconfig": str(account)}
        with RunningKubelet(tmp_path / "k", control_plane, node, backend, **settings) as kubelet:
            pods.create(pod_for(node, "small", "echo hello; exec sleep 600"))
            pods.wait_for_phase("small", "Running")
            pods.wait_for_event("small", "Submitted")
            assert pods.kubectl("logs", "small") == "hello\n"
            pods.kubectl("delete", "pod", "small")
            pods.wait_until_gone("small")
            assert "forbidden" not in kubelet.process.read_log()
