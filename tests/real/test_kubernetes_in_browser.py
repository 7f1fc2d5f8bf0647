"""JupyterLab in a Slurm job that is a pod on a virtual node, from the login to a pod's deletion."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from farlab_real.browser import BrowserUser, browser_page
from farlab_real.control_plane import Cluster
from farlab_real.hub import RunningHub
from farlab_real.kubelet import PodsOn, RunningKubelet
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import wait_until
from farlab_real.slurm import SlurmCluster
from farlab_sites.manifest import WORKLOAD
from playwright.sync_api import expect

USER = "olga"
CELL = """\
%%offload vega
import os
print("job", os.environ["SLURM_JOB_ID"])"""


@pytest.fixture(scope="module")
def pods(control_plane: Cluster) -> Iterator[PodsOn]:
    """The namespace of the hub's pods."""
    with control_plane.namespace(f"farlab-{secrets.token_hex(4)}") as namespace:
        yield PodsOn(control_plane, namespace)


@pytest.fixture(scope="module")
def kubelet(
    control_plane: Cluster, hpc: RunningPlugin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningKubelet]:
    """The virtual node whose pods are jobs of Slurm."""
    folder, node = tmp_path_factory.mktemp("kubelet"), f"vk-{secrets.token_hex(3)}"
    with RunningKubelet(folder, control_plane, node, {"plugin": {"url": hpc.url}}) as running:
        yield running


@pytest.fixture(scope="module")
def hub_on_kubernetes(
    catalogue: dict[str, Any],
    kubelet: RunningKubelet,
    pods: PodsOn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningHub]:
    """A hub whose Vega is a virtual node of its cluster; the rest of the catalogue is the same."""
    _, vega = catalogue["sites"]
    sites = [{**vega, "carrier": {"kubernetes": {"node": kubelet.node}}}]
    with RunningHub(
        tmp_path_factory.mktemp("hub-on-kubernetes"),
        {"sites": sites},
        settings={"namespace": pods.namespace},
        env={"KUBECONFIG": str(pods.cluster.kubeconfig)},
    ) as running:
        yield running


def jobs(slurm: SlurmCluster) -> set[str]:
    """Return the jobs that Slurm still runs or holds."""
    return set(slurm.run("squeue", "--noheader", "--format=%i").split())


@pytest.mark.timeout(900)
def test_a_notebook_and_a_cell_are_pods_and_jobs(
    hub_on_kubernetes: RunningHub, pods: PodsOn, kubelet: RunningKubelet, slurm: SlurmCluster
) -> None:
    before = jobs(slurm)
    with browser_page() as page:
        olga = BrowserUser(page, hub_on_kubernetes.url)
        olga.log_in(USER)
        olga.choose("Vega HPC", partition="gpu, 2 x A100")
        olga.start()
        olga.wait_for_lab()
        olga.new_notebook()
        code = "import os; print(os.environ['SLURM_JOB_ID'], os.environ['CUDA_VISIBLE_DEVICES'])"
        said = re.fullmatch(r"(\d+) \d,\d", olga.run_cell(code).strip())
        assert said
        job = said[1]

        name = pods.kubectl("get", "pods", "-o", "name").strip().removeprefix("pod/")
        described = pods.kubectl("describe", "pod", name)
        for words in (
            rf"Node: +{kubelet.node}/",
            rf"JobID: {job}\b",
            r"Status: +Running",
            r"slurm-job.vk.io/flags: --partition=gpu --gres=gpu:a100:2 --time=60",
            r"nvidia.com/gpu: +2",
            r"Normal +Scheduled ",
        ):
            assert re.search(words, described), described
        assert f"/user/{USER}/" in pods.kubectl("logs", name)

        olga.run_cell("%load_ext farlab_kernels\nprint('loaded')")
        output = olga.add_cell(CELL)
        expect(output).to_contain_text(re.compile(r"job \d+"))  # after what it waits for
        in_a_cell = re.search(r"job (\d+)", output.inner_text())
        assert in_a_cell
        assert in_a_cell[1] not in (job, *before)
        assert len(pods.kubectl("get", "pods", "-o", "name").split()) == 2

        pods.kubectl("delete", "pod", name)
        stopped = hub_on_kubernetes.login(USER)
        stopped.wait_until_stopped()
        page.goto(f"{hub_on_kubernetes.url}hub/spawn/{USER}")
        told = page.locator("#fl-ending")
        expect(told).to_contain_text(f"Its pod {name} was deleted in Kubernetes")

    for workload in hub_on_kubernetes.workloads():
        hub_on_kubernetes.service("DELETE", f"workloads/{workload['uid']}")
    wait_until(
        lambda: not pods.kubectl("get", "pods,secrets", "-l", WORKLOAD, "-o", "name"),
        "the pods and their secrets to be gone",
    )
    wait_until(lambda: jobs(slurm) <= before, "the jobs to leave squeue")
