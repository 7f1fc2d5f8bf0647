"""Kernels that users ask for: a choice of the catalogue becomes a pod, and a workload."""

from __future__ import annotations

import uuid

from farlab_sites.profiles import ChoiceError
from farlab_sites.wishes import granted

from .auth import Caller
from .errors import BadRequestError, NotFoundError
from .links import Links
from .models import NewWorkload, Workload
from .pods import kernel_workload, new_secret
from .requests import KernelRequest
from .workloads import Workloads


class Kernels:
    """Starts kernels; `relay_url` is what their agents dial where a site has no way of its own."""

    def __init__(self, links: Links, workloads: Workloads) -> None:
        self._links = links
        self._workloads = workloads
        self.relay_url = ""

    async def create(self, request: KernelRequest, caller: Caller) -> Workload:
        """Start a kernel for a caller; the same uid again is the same kernel."""
        return await self._workloads.announce(await self._new(request, caller))

    async def _new(self, request: KernelRequest, caller: Caller) -> NewWorkload:
        catalogue = await self._links.catalogue()
        try:
            chosen = granted(catalogue, request.wish, caller.groups)
        except ChoiceError as error:
            msg = f"{error.field}: {error.message}"
            fix = error.fix[:1].upper() + error.fix[1:] + "."
            if error.field == "site":
                raise NotFoundError(msg, fix, code="no-such-site") from error
            raise BadRequestError(msg, fix, code="bad-choice") from error
        return kernel_workload(
            chosen,
            uid=request.uid or str(uuid.uuid4()),
            owner=caller.name,
            groups=[*caller.groups],
            name=request.name,
            relay_url=self.relay_url,
            secret=new_secret(),
            key=new_secret(),
            first=(request.first.code, request.first.inputs) if request.first else None,
        )
