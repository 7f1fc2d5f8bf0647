"""The catalogue: every site and its profiles, as validated data.

The models are what `sites.yaml` holds, key by key; their descriptions are the reference
documentation and the text of error messages. They are frozen and refuse unknown keys.
`farlab_sites.loader` reads the file and turns the errors into lines of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from farlab_sites.accounting import Accounting, Budget, SiteAccounting, budget_problem
from farlab_sites.entitlements import is_member
from farlab_sites.fields import (
    Count,
    ImageName,
    Label,
    Line,
    Memory,
    Title,
    Walltime,
    Word,
)
from farlab_sites.identity import Accounts, Membership
from farlab_sites.images import Runtime, image_problem, pattern_problem
from farlab_sites.lakes import Lake, SiteDatalake, lake_problem, scope_problem
from farlab_sites.login import Login
from farlab_sites.models import Model, refuse_duplicates
from farlab_sites.publishing import Target, target_problem
from farlab_sites.reaching import Carrier, Direct, Relay
from farlab_sites.units import slug, wrong

Kind = Literal["cloud", "hpc", "htc", "quantum"]

_RESERVED = ("FARLAB_", "JUPYTERHUB_", "JPY_")


def _one_switch(value: object) -> object:
    """Return the settings that `true` and `false` stand for."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class Size(Model):
    """How many cores and how much memory a job gets."""

    title: Title = Field(description="What the user reads, such as `8 CPU, 64 GB`.")
    cpu: float = Field(strict=True, gt=0, le=10_000, description="Number of CPU cores.")
    memory: Memory = Field(description="Memory as Kubernetes writes it: `64Gi`, `512Mi`, `64G`.")


class Partition(Model):
    """Where at the site a job runs, and with which accelerators."""

    title: Title = Field(description="What the user reads, such as `gpu, 1 x A100`.")
    partition: Word | None = Field(
        default=None,
        description="The batch system's partition or queue; absent where there is none.",
    )
    gpus: Count = Field(default=0, description="Number of GPUs.")
    gpu_type: Word | None = Field(
        default=None, description="The batch system's name for the GPU model, such as `a100`."
    )
    qpus: Count = Field(default=0, description="Number of quantum processors.")
    walltime: Walltime | None = Field(
        default=None, description="Longest run here; absent: the profile's, else the site's."
    )

    @model_validator(mode="after")
    def _type_needs_gpus(self) -> Self:
        """Refuse a GPU model without any GPU."""
        if self.gpu_type and not self.gpus:
            raise wrong("names a GPU type but no GPUs", 'add "gpus: 1"', ("gpu_type",))
        return self


class Image(Model):
    """The software that a job finds: a container image, or an environment at the site."""

    title: Title = Field(description="What the user reads, such as `itwinai 1.0`.")
    image: ImageName = Field(
        description="Image reference; with `runtime: none` the absolute path of an environment "
        "whose `bin` comes first in `PATH`."
    )


class OtherImage(Model):
    """Which images a user may type instead of choosing one."""

    allow: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="Regular expression that the whole image must match; absent: any image.",
    )

    @model_validator(mode="after")
    def _pattern_is_harmless(self) -> Self:
        """Refuse a pattern that does not compile or could take for ever."""
        if self.allow and (problem := pattern_problem(self.allow)):
            fix = r"write a simple one such as registry\.example\.org/[a-z0-9/-]+:.+"
            raise wrong(problem, fix, ("allow",))
        return self

    def allows(self, image: str) -> bool:
        """Return whether the pattern matches the whole image."""
        return not self.allow or re.fullmatch(self.allow, image) is not None


class Limits(Model):
    """How many workloads there may be at the site at once, waiting ones included."""

    workloads: int | None = Field(
        default=None, strict=True, ge=1, le=1_000_000, description="Of all users together."
    )
    workloads_per_user: int | None = Field(
        default=None, strict=True, ge=1, le=1_000_000, description="Of one user."
    )


class Profile(Model):
    """What a user picks at a site."""

    name: Label = Field(description="Name of the profile, unique at its site.")
    title: Title = Field(description="What the user reads, such as `JupyterLab on a GPU node`.")
    description: Line = Field(default="", description="One line for the user.")
    walltime: Walltime | None = Field(
        default=None, description="Longest run; absent: the site's. A partition's own comes first."
    )
    idle: Walltime | None = Field(
        default=None, description="How long a kernel may do nothing; absent: the site's."
    )
    project: Word | None = Field(
        default=None, description="What its jobs are charged to; absent: the site's."
    )
    sizes: tuple[Size, ...] = Field(
        min_length=1, description="What the user may choose from; the first is the default."
    )
    partitions: tuple[Partition, ...] = Field(
        default=(),
        description="Partitions and accelerators to choose from; absent: no such choice.",
    )
    images: tuple[Image, ...] = Field(min_length=1, description="Images to choose from.")
    other_image: Annotated[
        OtherImage | None,
        BeforeValidator(_one_switch, json_schema_input_type=bool | OtherImage),
    ] = Field(
        default=None,
        description="Whether other images may be typed, or which: `true`, `false`, `{allow: ...}`.",
    )

    @model_validator(mode="after")
    def _options_differ(self) -> Self:
        """Refuse two options of one list with the same key."""
        for field in ("sizes", "partitions", "images"):
            seen = {"unlisted-choice": "the form's own entry for another image"}
            for index, option in enumerate(getattr(self, field)):
                key, at = slug(option.title), (field, index, "title")
                if key in seen:
                    raise wrong(f"is too like {seen[key]}", "give it another title", at)
                seen[key] = f'"{option.title}", which comes before it'
        return self


class Site(Model):
    """A place that runs work."""

    name: Label = Field(description="Name of the site, unique in the file.")
    title: Title = Field(description="What the user reads on the card.")
    description: Line = Field(default="", description="One line for the user.")
    kind: Kind = Field(description="What the site is: `cloud`, `hpc`, `htc` or `quantum`.")
    groups: Annotated[tuple[Membership, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Hub groups and entitlements whose holders may choose it; absent: everyone.",
    )
    carrier: Carrier = Field(description="How a pod reaches the site.")
    relay: Relay = Field(
        default_factory=Relay, description="How the agent in a job reaches the relay."
    )
    accounts: Accounts | None = Field(
        default=None, description="Which local account runs the jobs; absent: the plugin's own."
    )
    runtime: Runtime = Field(
        default="none",
        description="What starts containers: `none`, `apptainer` or `podman`. On ordinary nodes "
        "of Kubernetes leave it out: they have their own.",
    )
    environment: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default={}, description="Environment variables of every job at the site."
    )
    walltime: Walltime | None = Field(
        default=None, description="Longest run, for profiles and partitions without their own."
    )
    idle: Walltime | None = Field(
        default=None,
        description="How long a kernel may do nothing before it is ended, for profiles without "
        "their own; absent: as long as it runs.",
    )
    project: Word | None = Field(
        default=None,
        description="What the batch system charges jobs to, Slurm's account; absent: the local "
        "account's own.",
    )
    limits: Limits = Field(
        default_factory=Limits, description="How many workloads there may be at once."
    )
    datalake: SiteDatalake | None = Field(
        default=None, description="The storage of a lake that the site's machines read as files."
    )
    accounting: SiteAccounting = Field(
        default_factory=SiteAccounting, description="Its name in records, and its energy."
    )
    profiles: tuple[Profile, ...] = Field(
        min_length=1, description="What a user picks at the site."
    )
    _lakes: tuple[Lake, ...] = PrivateAttr(default=())

    @property
    def lakes(self) -> tuple[Lake, ...]:
        """The lakes of the catalogue, all of which a server at the site reaches."""
        return self._lakes

    @property
    def virtual_node(self) -> str | None:
        """The virtual node that takes the site's pods; None where there is none."""
        return self.carrier.kubernetes.node if self.carrier.kubernetes else None

    @property
    def is_ordinary(self) -> bool:
        """Whether its pods run on ordinary nodes of the hub's cluster, as KubeSpawner's do."""
        return self.carrier.kubernetes is not None and self.carrier.kubernetes.node is None

    @property
    def images(self) -> Runtime:
        """The runtime that says what an image is here."""
        if self.is_ordinary and "runtime" not in self.model_fields_set:
            return "podman"
        return self.runtime

    @property
    def tunnel(self) -> Direct | None:
        """The plugin that the hub dials for the site's streams; None where they dial out."""
        if self.relay.way != "tunnelled":
            return None
        return self.relay.plugin or self.carrier.direct

    def profile(self, name: str) -> Profile:
        """Return the profile of that name; KeyError if there is none."""
        return {profile.name: profile for profile in self.profiles}[name]

    def open_to(self, groups: Iterable[str], entitlements: Iterable[str] = ()) -> bool:
        """Return whether a member of these groups, with these entitlements, may choose the site.

        The login makes groups of the entitlements that `groups` names, under the same names.
        """
        mine, given = set(groups), tuple(entitlements)
        asked = self.groups
        return asked is None or any(one in mine or is_member(one, mine, given) for one in asked)

    @model_validator(mode="after")
    def _tunnel_has_one_end(self) -> Self:
        """Refuse a tunnel to nowhere, and one whose end is named twice."""
        at = ("relay", "plugin")
        if self.relay.way == "tunnelled" and self.tunnel is None:
            fix = 'add "plugin: {url: ..., token_file: ...}", what the hub dials through the tunnel'
            raise wrong("is missing: this carrier does not name the plugin", fix, at)
        if self.relay.plugin and self.carrier.direct:
            raise wrong("is named by the carrier already", "remove it here", at)
        return self

    @model_validator(mode="after")
    def _environment_is_harmless(self) -> Self:
        """Refuse names that no shell takes, and those that Farlab and the hub set themselves."""
        for name, value in self.environment.items():
            at = ("environment", name)
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
                raise wrong("is not a variable's name", "use letters, digits and _", at)
            if name.startswith(_RESERVED):
                raise wrong("is set by Farlab or the hub itself", "remove it", at)
            if re.search(r"[\0-\x1f\x7f]", value):
                raise wrong("holds a line break or a control character", "remove it", at)
        return self

    @model_validator(mode="after")
    def _profiles_fit(self) -> Self:
        """Refuse profiles of the same name, and images that the runtime can't start."""
        refuse_duplicates("profiles", self.profiles)
        for number, profile in enumerate(self.profiles):
            for index, image in enumerate(profile.images):
                if problem := image_problem(image.image, self.images):
                    raise wrong(*problem, ("profiles", number, "images", index, "image"))
        return self


class Catalogue(Model):
    """The content of `sites.yaml`: every site that users of this hub may choose."""

    sites: tuple[Site, ...] = Field(min_length=1, description="The sites, in the form's order.")
    lakes: tuple[Lake, ...] = Field(default=(), description="Where data is, for all sites.")
    login: Login | None = Field(
        default=None,
        description="How users log in to the hub; absent: as `jupyterhub_config.py` says.",
    )

    accounting: Accounting = Field(
        default_factory=Accounting, description="Who reads the usage of others."
    )
    budgets: tuple[Budget, ...] = Field(default=(), description="How much may be used.")
    publishing: tuple[Target, ...] = Field(
        default=(), description="Who gets usage records; absent: nobody."
    )

    def site(self, name: str) -> Site:
        """Return the site of that name; KeyError if there is none."""
        return {site.name: site for site in self.sites}[name]

    def open_to(self, groups: Iterable[str], entitlements: Iterable[str] = ()) -> list[Site]:
        """Return the sites that a member of these groups, with these entitlements, may choose."""
        mine, given = set(groups), tuple(entitlements)
        return [site for site in self.sites if site.open_to(mine, given)]

    @model_validator(mode="after")
    def _sites_differ(self) -> Self:
        """Refuse two sites of the same name."""
        refuse_duplicates("sites", self.sites)
        return self

    @model_validator(mode="after")
    def _lakes_fit(self) -> Self:
        """Refuse two lakes of the same name, and sites at lakes that are not there."""
        refuse_duplicates("lakes", self.lakes)
        for number, lake in enumerate(self.lakes):
            if problem := scope_problem(lake, self.lakes):
                raise wrong(*problem, ("lakes", number, "stac", "registered"))
        for number, site in enumerate(self.sites):
            if site.datalake and (problem := lake_problem(site.datalake, self.lakes)):
                raise wrong(*problem, ("sites", number, "datalake", "lake"))
            site._lakes = self.lakes
        return self

    @model_validator(mode="after")
    def _budgets_fit(self) -> Self:
        """Refuse two budgets of the same name, and sites that are not there."""
        if problem := budget_problem(self.budgets, [site.name for site in self.sites]):
            raise wrong(*problem)
        return self

    @model_validator(mode="after")
    def _targets_fit(self) -> Self:
        """Refuse two targets of the same name, and targets for sites that are not there."""
        if problem := target_problem(self.publishing, [site.name for site in self.sites]):
            raise wrong(*problem)
        return self
