"""The conformance suite: every file of tests/conformance against each kind of node.

A node of another make is tried the same way (see tests/conformance/README.md):

    KUBECONFIG=... FARLAB_CONFORMANCE_NODE=NAME pytest tests/kubernetes/test_conformance.py
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest
from farlab_real.conformance import FOLDER, Case, Need, every_case, load
from farlab_real.conformance_run import Api, Crowd, Place, Trial
from farlab_real.control_plane import Cluster
from farlab_real.kubelet import RunningKubelet
from farlab_real.plugin import RunningPlugin
from farlab_real.podman import IMAGE, Podman
from farlab_real.processes import wait_until
from farlab_real.slurm import SlurmCluster

AT_ONCE = 12  # cases that run side by side
COPIES = int(os.environ.get("FARLAB_CONFORMANCE_COPIES", "40"))  # at most; a file may ask for more
GIVEN = os.environ.get("FARLAB_CONFORMANCE_NODE", "")
OWN: tuple[Need, ...] = ("restarts", "virtual")
OFFERS: dict[str, frozenset[Need]] = {
    "slurm": frozenset((*OWN, "no images", "queue")),
    "local": frozenset((*OWN, "no images")),
    "podman": frozenset((*OWN, "images")),
}
IN_CONTAINERS = (  # a container each takes its time; the others say nothing new there
    "default-entrypoint",
    "hello",
    "liveness-probe",
    "post-start-hook",
    "pre-stop-hook",
    "quoting",
    "readiness-probe",
    "restart-on-failure",
    "secret-volume",
    "shared-emptydir",
)
AFTERWARDS = "no-job-is-left"
CASES = {name: load(FOLDER / f"{name}.yaml") for name in every_case()}


def cases_of(kind: str) -> list[str]:
    """Return the cases that say something about a kind of node."""
    names = IN_CONTAINERS if kind == "podman" else CASES
    fitting = [name for name in names if OFFERS[kind].issuperset(CASES[name].needs)]
    return [*fitting, AFTERWARDS]


if GIVEN:
    words = os.environ.get("FARLAB_CONFORMANCE_OFFERS", "").split(",")
    OFFERS = {"given": frozenset(need for need in get_args(Need) if need in words)}


PAIRS = [(kind, case) for kind in OFFERS for case in cases_of(kind)]


def place_for(kind: str, folder: Path, cluster: Cluster, stack: ExitStack) -> Place:
    """Start a node of a kind; return where its pods go."""
    if kind == "given":
        image = os.environ.get("FARLAB_CONFORMANCE_IMAGE", "/usr")
        return Place(GIVEN, image, os.environ.get("FARLAB_CONFORMANCE_OWN_IMAGE", image))
    driver: dict[str, object] = {"local": {"cpus": 64}}
    image, more = sys.prefix, {}
    if kind == "slurm":
        slurm = stack.enter_context(SlurmCluster(nodes=1, gpus=1, cpu_nodes=4))
        # A partition whose jobs wait for ever.
        slurm.run("scontrol", "update", "nodename=q1", "state=drain", "reason=test")
        driver = {"slurm": {"conf": str(slurm.conf)}}
    if kind == "podman":
        short = stack.enter_context(TemporaryDirectory(prefix="farlab-"))  # podman wants it short
        podman = stack.enter_context(Podman(Path(short)))
        image, more = IMAGE, {"runtime": "podman", "commands": {"podman": podman.command}}
    plugin = stack.enter_context(RunningPlugin(folder / "plugin", driver, **more))
    node = f"conformance-{kind}-{secrets.token_hex(3)}"
    backend = {"plugin": {"url": plugin.url}}
    stack.enter_context(RunningKubelet(folder / "kubelet", cluster, node, backend))
    return Place(node, image, image)


class Suite:
    """A node on which every case that was asked for is under way."""

    def __init__(
        self, kind: str, folder: Path, cluster: Cluster, stack: ExitStack, wanted: list[str]
    ) -> None:
        place = place_for(kind, folder, cluster, stack)
        api = stack.enter_context(Api(cluster))
        name = f"conformance-{kind}-{secrets.token_hex(3)}"
        namespace = stack.enter_context(cluster.namespace(name))
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        stack.callback(pool.shutdown, cancel_futures=True)
        cases = [case for case in wanted if case in CASES]
        self.outcomes = {
            case: pool.submit(run, api, namespace, CASES[case], place) for case in cases
        }
        others = list(self.outcomes.values())
        self.outcomes[AFTERWARDS] = pool.submit(no_job_left, folder / "plugin/spool/jobs", others)


def run(api: Api, namespace: str, case: Case, place: Place) -> None:
    """Run one case to its end."""
    if case.copies > 1:
        Crowd(api, namespace, case, place).run(min(case.copies, COPIES))
    else:
        Trial(api, namespace, case, place).run()


def no_job_left(jobs: Path, others: list[Future[None]]) -> None:
    """Wait until all cases have ended; fail when a job outlives them."""
    wait(others)
    if not GIVEN:  # the site's folder of jobs
        wait_until(lambda: not left(jobs), "no job left", lambda: str(left(jobs)))


def left(jobs: Path) -> list[str]:
    """Return the jobs that still have a folder."""
    return [path.name for path in jobs.iterdir()]


@pytest.fixture(scope="module")
def suites(
    request: pytest.FixtureRequest,
    control_plane: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Suite]]:
    """Give the suite on a kind of node; the one before has ended then, to make room."""
    begun: dict[str, Suite] = {}
    names = " ".join(item.name for item in request.session.items)
    with ExitStack() as stack:

        def suite(kind: str) -> Suite:
            if kind not in begun:
                stack.close()
                begun.clear()
                folder = tmp_path_factory.mktemp(f"conformance-{kind}")
                wanted = [case for case in cases_of(kind) if f"[{kind}-{case}]" in names]
                begun[kind] = Suite(kind, folder, control_plane, stack, wanted)
            return begun[kind]

        yield suite


@pytest.mark.parametrize(("kind", "case"), PAIRS, ids=[f"{kind}-{case}" for kind, case in PAIRS])
def test_conformance(suites: Callable[[str], Suite], kind: str, case: str) -> None:
    suites(kind).outcomes[case].result()
