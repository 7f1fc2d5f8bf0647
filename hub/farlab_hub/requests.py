"""What the service is asked to start: the bodies of POST /api/workloads."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from farlab_sites.fields import Walltime
from farlab_sites.wishes import Wish
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from .models import NewWorkload

BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
# A job's Secret holds both: Kubernetes takes 1 MiB.
MOST_CODE = 200_000
MOST_INPUTS = 940_000
NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"  # a Kubernetes object's name


def _printable(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        msg = "must not hold control characters"
        raise ValueError(msg)
    return text


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        msg = "must be a UUID such as 123e4567-e89b-42d3-a456-426614174000"
        raise ValueError(msg) from None


def _text(least: int, most: int) -> WithJsonSchema:
    """Return what the description says of a text without control characters."""
    schema = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]*$", "maxLength": most}
    return WithJsonSchema(schema | ({"minLength": least} if least else {}))


UserName = Annotated[
    str, Field(min_length=1, max_length=255), AfterValidator(_printable), _text(1, 255)
]
Word = Annotated[str, Field(max_length=255), AfterValidator(_printable), _text(0, 255)]
Name = Annotated[str, Field(max_length=100), AfterValidator(_printable), _text(0, 100)]
ImageText = Annotated[str, Field(max_length=1000), AfterValidator(_printable), _text(0, 1000)]
Uid = Annotated[
    str,
    Field(max_length=64),
    AfterValidator(_uuid),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
Port = Annotated[int, Field(ge=1, le=65535)]


class PodMetadata(BaseModel):
    """The part of v1.ObjectMeta that a plugin knows a pod by."""

    model_config = ConfigDict(extra="allow")
    name: str = Field(pattern=NAME)
    namespace: str = Field(pattern=NAME)
    uid: str = ""
    annotations: dict[str, str] | None = None


class Container(BaseModel):
    """The part of v1.Container that this service reads; the rest passes as it is."""

    model_config = ConfigDict(extra="allow")
    name: str


class PodSpec(BaseModel):
    """The part of v1.PodSpec that this service reads; the rest passes as it is."""

    model_config = ConfigDict(extra="allow")
    containers: list[Container] = Field(min_length=1)


class Pod(BaseModel):
    """The part of v1.Pod that this service reads; the rest passes as it is."""

    model_config = ConfigDict(extra="allow")
    metadata: PodMetadata
    spec: PodSpec


class Named(BaseModel):
    """A v1.Secret or v1.ConfigMap: its name is read, the rest passes as it is."""

    model_config = ConfigDict(extra="allow")

    class Metadata(BaseModel):
        """The part of v1.ObjectMeta that a pod refers to."""

        model_config = ConfigDict(extra="allow")
        name: str = Field(pattern=NAME)

    metadata: Metadata


class ServerRequest(BaseModel):
    """A user's notebook server, announced by the spawner, which has made the pod."""

    model_config = ConfigDict(extra="forbid")
    uid: Uid
    owner: UserName
    groups: list[Word] = Field(default=[], max_length=1000)
    server_name: Word = ""
    kind: Literal["server"]
    site: Word
    profile: Word
    pod: Pod
    secrets: list[Named] = Field(default=[], max_length=16)
    configmaps: list[Named] = Field(default=[], max_length=16)
    ports: list[Port] = Field(default=[8888], min_length=1, max_length=8)
    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _one_uid(self) -> ServerRequest:
        if self.pod.metadata.uid not in ("", self.uid):
            msg = "pod.metadata.uid must be the workload's uid"
            raise ValueError(msg)
        return self

    def workload(self) -> NewWorkload:
        """Return it as what the service starts."""
        pod = self.pod.model_dump(mode="json", exclude_unset=True)
        whole = self.model_dump(exclude={"pod", "secrets", "configmaps"})
        secrets = [secret.model_dump(mode="json") for secret in self.secrets]
        configmaps = [configmap.model_dump(mode="json") for configmap in self.configmaps]
        return NewWorkload(**whole, pod=pod, secrets=secrets, configmaps=configmaps)


class FirstCell(BaseModel):
    """A cell that the kernel runs as soon as it is there, whatever becomes of who asked for it."""

    model_config = ConfigDict(extra="forbid")
    code: str = Field(max_length=MOST_CODE, description="The cell.")
    inputs: str = Field(
        default="",
        max_length=MOST_INPUTS,
        pattern=BASE64,
        description="What it needs, as farlab_kernels packs it, in base64.",
    )


class KernelRequest(BaseModel):
    """A kernel at a site, for the caller. What is left out is the catalogue's first that fits."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["kernel"]
    site: Word = Field(min_length=1, description="The site's name.")
    profile: Word = Field(default="", description="The profile's name.")
    size: Word = Field(default="", description="The size's key or title.")
    partition: Word = Field(
        default="", description="The partition's key or title, or the batch system's name for it."
    )
    gpus: Annotated[int, Field(strict=True, ge=0, le=10_000)] | None = Field(
        default=None, description="How many GPUs the partition must have."
    )
    image: ImageText = Field(
        default="", description="The image's key or title, or another image where that may be."
    )
    walltime: Walltime | None = Field(
        default=None, description="End it after this time at the latest: H:MM:SS, or minutes."
    )
    name: Name = Field(
        default="", description="What its owner calls it; no two live ones of one owner are alike."
    )
    uid: Uid | None = Field(
        default=None, description="Chosen by the caller, so that it may send the request again."
    )

    first: FirstCell | None = Field(default=None, description="A cell to begin with.")

    @property
    def wish(self) -> Wish:
        """What is asked of the catalogue."""
        return Wish(
            site=self.site,
            profile=self.profile,
            size=self.size,
            partition=self.partition,
            gpus=self.gpus,
            image=self.image,
            walltime=self.walltime,
        )


KINDS = ("server", "kernel")
CreateRequest = Annotated[ServerRequest | KernelRequest, Field(discriminator="kind")]
