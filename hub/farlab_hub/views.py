"""What the API shows: the shapes of its answers, which its description is made from."""

from __future__ import annotations

from typing import Any, Literal

from farlab_sites.catalogue import Profile, Site
from farlab_sites.lakes import storage_of
from farlab_sites.manifest import idle_time, walltime
from farlab_sites.units import slug
from pydantic import BaseModel, ConfigDict, Field

from .ledger.views import SiteBudgetView
from .states import State


class View(BaseModel):
    """What all answers have in common: they are read off the service's own values."""

    model_config = ConfigDict(from_attributes=True)


class ErrorView(View):
    """Why a request was refused."""

    code: str = Field(description="For programs.")
    message: str = Field(description="What is wrong, for people.")
    fix: str = Field(description="What to do about it; may be empty.")


class EventView(View):
    """One thing that happened to a workload."""

    seq: int = Field(description="Its number; the first of a workload is 1.")
    time: float = Field(description="Seconds since 1970.")
    state: State
    reason: str
    message: str


class WorkloadView(View):
    """A workload. Times in seconds since 1970."""

    uid: str
    owner: str
    name: str = Field(description="What its owner calls it.")
    server_name: str = Field(description="The name of a server; empty for others.")
    kind: str
    site: str
    profile: str
    options: dict[str, Any] = Field(description="What was chosen: size, partition, gpus, image.")
    account: str | None = Field(description="The site's local account that runs it.")
    state: State
    reason: str = Field(description="Why it is in this state, in a few words.")
    message: str = Field(description="More about it, such as the place in the queue.")
    job_id: str
    node: str
    address: str = Field(description="Where the hub's proxy reaches a server.")
    port: int | None
    created: float
    updated: float
    deadline: float | None = Field(description="When the site ends it.")
    log_tail: str = Field(description="The last lines of its log, while it starts and at its end.")
    exit_code: int | None
    cleaned: bool = Field(description="It has ended, and nothing of it is left at the site.")
    seq: int = Field(description="The number of its newest event.")
    events: list[EventView]


class OwnWorkloadView(WorkloadView):
    """A workload as its owner sees it."""

    key: str = Field(description="What clients of the kernel prove themselves with.")


class LogView(View):
    """What a workload's job has written."""

    uid: str
    log: str


class SizeView(View):
    """CPU cores and memory."""

    key: str
    title: str
    cpu: float
    memory: int = Field(description="Bytes.")


class PartitionView(View):
    """A partition with its accelerators."""

    key: str
    title: str
    partition: str | None = Field(description="The batch system's name.")
    gpus: int
    gpu_type: str | None
    qpus: int
    walltime: int | None = Field(description="Longest run, in seconds.")


class ImageView(View):
    """The software that a job finds."""

    key: str
    title: str
    image: str


class ProfileView(View):
    """What can be chosen at a site. The first entry of each list is the default."""

    name: str
    title: str
    description: str
    sizes: list[SizeView]
    partitions: list[PartitionView]
    images: list[ImageView]
    other_image: bool = Field(description="Whether another image may be named.")
    walltime: int | None = Field(description="Longest run, in seconds.")
    idle: int | None = Field(description="How long a kernel may do nothing, in seconds.")


class DatalakeView(View):
    """The storage that a site's machines read as files."""

    lake: str = Field(description="Name of the lake that manages it.")
    rse: str = Field(description="Name of the storage element there.")


class LinkageView(View):
    """Whether a user has an account at a site."""

    state: Literal["linked", "not-linked", "cannot-check", "refused", "not-needed"]
    reason: str = Field(description="Why there is none.")
    fix: str = Field(description="What to do about it.")
    link_url: str | None = Field(description="Where an account is linked, if that can be done.")


class SiteView(View):
    """A site as a user may use it, and how it is now."""

    name: str
    title: str
    kind: str
    description: str
    kernels: bool = Field(description="Whether kernels can be started there.")
    open: bool
    reason: str = Field(description="Why it is not open.")
    account: str | None
    linkage: LinkageView
    budgets: list[SiteBudgetView] = Field(description="That count there; how they stand.")
    facts: dict[str, Any] = Field(description="What the site says of itself: partitions, queue.")
    age_s: float | None = Field(description="Seconds since it said so.")
    profiles: list[ProfileView]
    datalake: DatalakeView | None = Field(
        default=None, description="Where data must be to be read there; null: nowhere."
    )


def datalake_view(site: Site) -> DatalakeView | None:
    """Return a site's storage as the API shows it."""
    return DatalakeView(**storage_of(site.datalake, site.lakes)) if site.datalake else None


def profile_views(site: Site) -> list[ProfileView]:
    """Return a site's profiles as the API shows them."""
    return [_profile(site, profile) for profile in site.profiles]


def _profile(site: Site, profile: Profile) -> ProfileView:
    return ProfileView(
        name=profile.name,
        title=profile.title,
        description=profile.description,
        sizes=[
            SizeView(key=slug(one.title), title=one.title, cpu=one.cpu, memory=one.memory)
            for one in profile.sizes
        ],
        partitions=[
            PartitionView(
                key=slug(one.title),
                title=one.title,
                partition=one.partition,
                gpus=one.gpus,
                gpu_type=one.gpu_type,
                qpus=one.qpus,
                walltime=walltime(site, profile, one),
            )
            for one in profile.partitions
        ],
        images=[
            ImageView(key=slug(one.title), title=one.title, image=one.image)
            for one in profile.images
        ],
        other_image=profile.other_image is not None,
        walltime=walltime(site, profile, None),
        idle=idle_time(site, profile),
    )
