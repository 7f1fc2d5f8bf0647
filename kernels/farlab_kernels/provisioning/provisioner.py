"""The kernel provisioner `farlab-provisioner`: jupyter_client starts kernels at sites with it.

A kernel.json chooses the site (kernelspecs.py writes such files):

    "metadata": {"kernel_provisioner": {
        "provisioner_name": "farlab-provisioner",
        "config": {"site": "vega", "profile": "gpu", "partition": "gpu-1-x-a100"}
    }}

All the work is done in an event loop of its own: jupyter_client's may stand still between calls.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Int, Unicode

from farlab_kernels.loops import shared_loop
from farlab_kernels.provisioning.job import Job
from farlab_kernels.service.client import Client
from farlab_kernels.service.models import Workload
from farlab_kernels.wishes import Wish, check_profile, choose_site, new_name

Result = TypeVar("Result")
_POLL = 0.1  # seconds
_SHUTDOWN_PATIENCE = 20.0  # seconds between a polite request to end and less polite ones
_EXIT_PATIENCE = 15.0  # seconds
_jobs: dict[str, Job] = {}  # that this process has, by name


class FarlabProvisioner(KernelProvisionerBase):
    """Starts one kernel at a site, through the Farlab service that the environment names."""

    site = Unicode(help="The site's name.").tag(config=True)
    profile = Unicode(help="The profile's name; empty: the site's first one.").tag(config=True)
    size = Unicode(help="The key of one of the profile's sizes.").tag(config=True)
    partition = Unicode(help="The key of one of the profile's partitions.").tag(config=True)
    gpus = Int(None, allow_none=True, help="How many GPUs.").tag(config=True)
    image = Unicode(help="The key of one of the profile's images.").tag(config=True)
    walltime = Unicode(help="The longest time it may take, such as 2:00:00.").tag(config=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._job: Job | None = None
        self._down = False  # as far as jupyter_client knows
        self._polite = False  # it was asked to end, or to restart
        self._generation = 0
        self._name = ""

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel, or one is waited for."""
        return self._job is not None and not self._down

    async def poll(self) -> int | None:
        """Return None while it runs, or is waited for."""
        if self._job is None or self._down:
            return 0
        if self._job.running:
            return None
        return 0 if self._polite else 1

    async def wait(self) -> int | None:
        """Wait for its end."""
        while (code := await self.poll()) is None:  # noqa: ASYNC110  (it changes in another loop)
            await asyncio.sleep(_POLL)
        self._down = True
        return code

    # Start

    async def pre_launch(self, **options: Any) -> dict[str, Any]:
        """Need nothing of this machine."""
        options.pop("extra_arguments", None)
        return {**await super().pre_launch(**options), "cmd": []}

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """Start it, or start it anew in its job; returns while it is still waited for."""
        if self._job is not None and self._job.ended:
            await self._replace(self._job)
        if self._job is None:
            await self._start(options.get("env") or {})
        elif self._polite:
            await _do(self._job.restarted(self._generation))
        else:
            await _do(self._job.restart())
        self._down = self._polite = False
        return self._connect()

    def _connect(self) -> KernelConnectionInfo:
        assert self._job is not None  # noqa: S101  (for the type checker)
        self.connection_info = cast("KernelConnectionInfo", self._job.connection_info())
        return self.connection_info

    async def _replace(self, job: Job) -> None:
        """Let a job go that has ended; only who asks for it gets another one."""
        if not self._polite:
            raise RuntimeError(f"{job.workload.name} at {self.site} has ended: {job.ended}")
        await self._close(job)

    async def _start(self, env: dict[str, str]) -> None:
        names = ("profile", "size", "partition", "gpus", "image", "walltime")
        wish = Wish(self.site, **{name: getattr(self, name) for name in names})
        self._name = new_name(wish, env.get("JPY_SESSION_NAME", ""), "the notebook's own kernel")
        self._job = await _do(_begin(wish, self._name, self._news))
        _keep(self._name, self._job)

    def _news(self, text: str) -> None:
        """Log how it is coming along; the Jupyter server's API shows it as the kernel's reason."""
        if self.parent is not None:
            self.parent.reason = text
        if text:
            self.log.info("kernel %s: %s", self._name, text)

    # Signals and the end

    async def send_signal(self, signum: int) -> None:
        """Interrupt it, or end it."""
        if self._job is None:
            return
        if signum == signal.SIGINT:
            await _do(self._job.interrupt())
        elif signum in (signal.SIGTERM, signal.SIGKILL):
            await self.kill()

    async def kill(self, restart: bool = False) -> None:
        """Count it as ended: what comes next, cleanup or launch_kernel, makes it so."""
        self._down = True

    async def terminate(self, restart: bool = False) -> None:
        """Do as `kill` does."""
        await self.kill(restart)

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Take note that it was asked to end."""
        self._polite = True
        if self._job is not None:
            self._generation = self._job.link.kernel.generation
            self._down = restart or self._job.link.waiting or bool(self._job.ended)

    async def cleanup(self, restart: bool = False) -> None:
        """End its job, unless it is only restarted."""
        if self._job is not None and not restart:
            await self._close(self._job)

    async def _close(self, job: Job) -> None:
        self._job = None
        _jobs.pop(self._name, None)
        await _do(job.end())

    def get_shutdown_wait_time(self, recommended: float = 5.0) -> float:
        """Give it the time that a way to the site and back takes."""
        return max(recommended, _SHUTDOWN_PATIENCE)

    # A Jupyter server that comes back

    async def get_provisioner_info(self) -> dict[str, Any]:
        """Return what another process needs to go on with this kernel."""
        info: dict[str, Any] = await super().get_provisioner_info()
        if self._job is not None:
            link = self._job.link
            info |= {"uid": self._job.workload.uid, "client": link.client, "seen": link.seen}
        return info

    async def load_provisioner_info(self, provisioner_info: dict[str, Any]) -> None:
        """Go on with the kernel of another process, at local sockets of this one."""
        await super().load_provisioner_info(provisioner_info)
        uid = str(provisioner_info["uid"])
        session = {name: provisioner_info[name] for name in ("client", "seen")}
        self._job = await _do(_resume(uid, session, self._news))
        self._name = self._job.workload.name
        _keep(self._name, self._job)
        self._connect()


def _keep(name: str, job: Job) -> None:
    if not _jobs:
        atexit.unregister(_end_all)
        atexit.register(_end_all)
    _jobs[name] = job


def _end_all() -> None:
    """End the kernels with their program, as those of this machine end; a killed one can't."""
    ending = [shared_loop().start(job.end()) for job in _jobs.values()]
    concurrent.futures.wait(ending, timeout=_EXIT_PATIENCE)


async def _do(work: Coroutine[Any, Any, Result]) -> Result:
    """Do something in the loop where the links are."""
    return await asyncio.wrap_future(shared_loop().start(work))


async def _begin(wish: Wish, name: str, on_news: Any) -> Job:
    """Ask for a workload; the one that a killed Jupyter server has left behind is taken again."""
    client = Client()
    try:
        workload = await _find(client, name)
        if workload is None:
            check_profile(choose_site(await client.sites(), wish.site), wish.profile)
            workload = await client.create(wish.site, name=name, **wish.options())
        return await _started(Job(client, workload, on_news))
    except BaseException:
        await client.close()
        raise


async def _find(client: Client, name: str) -> Workload | None:
    if name in _jobs:
        return None
    return next((known for known in await client.list() if known.name == name), None)


async def _resume(uid: str, session: dict[str, Any], on_news: Any) -> Job:
    client = Client()
    try:
        return await _started(Job(client, await client.get(uid), on_news), **session)
    except BaseException:
        await client.close()
        raise


async def _started(job: Job, **session: Any) -> Job:
    await job.start(**session)
    return job
