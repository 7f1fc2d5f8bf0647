"""The probe's file: which Prometheus, which pods, whom they are counted for, and where to."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from farlab_sites.fields import FilePath, Group, LakeUrl, Line, Walltime
from farlab_sites.models import Model
from farlab_sites.publishing import Target
from farlab_sites.units import wrong
from pydantic import AfterValidator, Field


def _selector(text: str) -> str:
    """Refuse what is no regular expression, or could leave its quotes."""
    if re.search(r'["\n`]', text):
        raise wrong("has a quote or a line break", "write a regular expression without")
    return text


Pattern = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_selector)]
LabelName = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Prometheus(Model):
    """The server that has seen the pods."""

    url: LakeUrl = Field(description="Its address, such as `https://prometheus.example.org`.")
    token_file: FilePath | None = Field(default=None, description="File with a token for it.")
    ca: FilePath | None = Field(
        default=None, description="File of the authorities to trust, PEM; absent: the system's."
    )


class Output(Target):
    """Where the records go: as a target of the catalogue's `publishing`."""

    records: Literal["cloud"] = Field(default="cloud", description="Always cloud records.")
    gpu: Literal[False] = Field(default=False, description="The probe knows no GPUs.")
    sites: None = Field(default=None, description="Always the probe's own site.")


class ProbeConfig(Model):
    """What `farlab account probe` does; without outputs that is nothing."""

    prometheus: Prometheus = Field(description="The server that has seen the pods.")
    site: Line = Field(min_length=1, description="The site's name in the records.")
    namespaces: Pattern = Field(
        default=".+", description="Regular expression of the namespaces that are counted."
    )
    pods: Pattern = Field(
        default=".+", description="Regular expression of the pods that are counted."
    )
    vo: Group | None = Field(default=None, description="VO that pods are counted for.")
    vos: dict[str, Group] = Field(
        default={}, description="VO by namespace; others are counted for `vo`."
    )
    user: LabelName = Field(
        default="annotation_hub_jupyter_org_username",
        description="Label of `kube_pod_annotations` that says whose a pod is.",
    )
    without_requests: bool = Field(
        default=False, strict=True, description="Count containers that request no CPU, too."
    )
    chunk: Walltime = Field(
        default=6 * 3600, description="How much time one query reads; less needs less memory."
    )
    look_back: Walltime = Field(
        default=31 * 86400,
        description="How long before the interval a pod's CPU time is read, to its start at most.",
    )
    gone_after_s: int = Field(
        default=300,
        strict=True,
        ge=1,
        le=86400,
        description="Seconds after its last sample when a pod counts as gone.",
    )
    outputs: tuple[Output, ...] = Field(
        default=(), description="Where the records go; absent: nowhere, and nothing is read."
    )
