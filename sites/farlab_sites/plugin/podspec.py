"""The parts of a v1.Pod that the plugin acts on; everything else in a manifest is ignored."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Iterable
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.quantities import parse_quantity, whole

GRACE = 30  # seconds, Kubernetes' default
LONGEST_GRACE = 60  # a stop must come to an end while someone still waits for it
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def canonical_uid(value: object) -> str:
    """Return a pod's uid if it is a UUID in its usual form: only then may it be part of a path."""
    text = str(value)
    try:
        if str(uuid.UUID(text)) == text.lower():
            return text.lower()
    except ValueError:
        pass
    raise ValueError("not a UUID such as 123e4567-e89b-12d3-a456-426614174000")


def label(value: str) -> str:
    """Accept a DNS label, the only form of a name that may be part of a path."""
    if not _LABEL.fullmatch(value):
        raise ValueError("not a DNS label (lower-case letters, digits and '-', at most 63)")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return value


def _quantities(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: parse_quantity(amount) for key, amount in value.items()}
    return value


def _never_none(value: Any) -> Any:
    return [] if value is None else value


def _no_mapping(value: Any) -> Any:
    return {} if value is None else value


Label = Annotated[str, AfterValidator(label)]
Text = Annotated[str, AfterValidator(_no_nul)]
Quantities = Annotated[dict[str, Any], BeforeValidator(_quantities), BeforeValidator(_no_mapping)]
Strings = Annotated[dict[str, str], BeforeValidator(_no_mapping)]
Nullable = BeforeValidator(_never_none)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class KeyRef(_Part):
    """`secretKeyRef`, `configMapKeyRef`."""

    name: str
    key: str
    optional: bool | None = None


class FieldRef(_Part):
    """A field of the pod itself."""

    field_path: str = Field(alias="fieldPath")


class ResourceRef(_Part):
    """A limit or request of a container."""

    resource: str
    container_name: str | None = Field(None, alias="containerName")
    divisor: str | int | None = None


class ValueFrom(_Part):
    """Where the value of one environment variable comes from."""

    secret: KeyRef | None = Field(None, alias="secretKeyRef")
    config: KeyRef | None = Field(None, alias="configMapKeyRef")
    field: FieldRef | None = Field(None, alias="fieldRef")
    resource: ResourceRef | None = Field(None, alias="resourceFieldRef")


class EnvVar(_Part):
    """One environment variable; an empty value comes without the key."""

    name: Annotated[str, Field(pattern="^[^=\\x00]+$")]
    value: Text | None = None
    value_from: ValueFrom | None = Field(None, alias="valueFrom")


class NamedRef(_Part):
    """A Secret or ConfigMap as a whole."""

    name: str
    optional: bool | None = None


class EnvFrom(_Part):
    """All keys of a Secret or ConfigMap as variables."""

    prefix: str | None = None
    secret: NamedRef | None = Field(None, alias="secretRef")
    config: NamedRef | None = Field(None, alias="configMapRef")


class Mount(_Part):
    """Where a container sees a volume."""

    name: str
    path: Annotated[Text, Field(alias="mountPath", min_length=1)]
    sub_path: Text | None = Field(None, alias="subPath")
    sub_path_expr: str | None = Field(None, alias="subPathExpr")
    read_only: bool | None = Field(None, alias="readOnly")


class Resources(_Part):
    """Limits and requests as exact numbers."""

    limits: Quantities = {}
    requests: Quantities = {}

    def amount(self, name: str) -> Fraction:
        """Return the limit, or the request where there is no limit."""
        found: Fraction = {**self.requests, **self.limits}.get(name, Fraction(0))
        return found


class ContainerPort(_Part):
    """A port that probes may name."""

    number: int = Field(alias="containerPort")
    name: str | None = None


class ExecAction(_Part):
    """A command that runs in the container."""

    command: Annotated[tuple[Text, ...], Nullable] = ()


class Header(_Part):
    """A header of a request."""

    name: str
    value: str = ""


class HttpGet(_Part):
    """A request to the container."""

    port: int | str
    host: str | None = None
    path: str | None = None
    scheme: Literal["HTTP", "HTTPS"] | None = None
    headers: Annotated[tuple[Header, ...], Nullable] = Field((), alias="httpHeaders")


class TcpSocket(_Part):
    """A connection to the container."""

    port: int | str
    host: str | None = None


class Sleep(_Part):
    """A wait."""

    seconds: int = Field(ge=0)


class Action(_Part):
    """What a probe or a hook does: one of these."""

    run: ExecAction | None = Field(None, alias="exec")
    http: HttpGet | None = Field(None, alias="httpGet")
    tcp: TcpSocket | None = Field(None, alias="tcpSocket")
    sleep: Sleep | None = None


class Probe(Action):
    """A look at a container, again and again; None stands for Kubernetes' default."""

    delay: int | None = Field(None, alias="initialDelaySeconds", ge=0)
    period: int | None = Field(None, alias="periodSeconds", ge=0)
    timeout: int | None = Field(None, alias="timeoutSeconds", ge=0)
    successes: int | None = Field(None, alias="successThreshold", ge=0)
    failures: int | None = Field(None, alias="failureThreshold", ge=0)
    grace: int | None = Field(None, alias="terminationGracePeriodSeconds", ge=0)


class Lifecycle(_Part):
    """What happens right after a container's start and before its end."""

    start: Action | None = Field(None, alias="postStart")
    stop: Action | None = Field(None, alias="preStop")


class SecurityContext(_Part):
    """The few fields that mean something outside Kubernetes."""

    user: int | None = Field(None, alias="runAsUser", ge=0)
    group: int | None = Field(None, alias="runAsGroup", ge=0)
    privileged: bool | None = None
    escalation: bool | None = Field(None, alias="allowPrivilegeEscalation")


class Container(_Part):
    """One container."""

    name: Label
    image: Text = ""
    command: Annotated[tuple[Text, ...], Nullable] = ()
    args: Annotated[tuple[Text, ...], Nullable] = ()
    working_dir: Text | None = Field(None, alias="workingDir")
    env: Annotated[tuple[EnvVar, ...], Nullable] = ()
    env_from: Annotated[tuple[EnvFrom, ...], Nullable] = Field((), alias="envFrom")
    mounts: Annotated[tuple[Mount, ...], Nullable] = Field((), alias="volumeMounts")
    resources: Annotated[Resources, BeforeValidator(_no_mapping)] = Resources()
    security: SecurityContext | None = Field(None, alias="securityContext")
    ports: Annotated[tuple[ContainerPort, ...], Nullable] = ()
    readiness: Probe | None = Field(None, alias="readinessProbe")
    liveness: Probe | None = Field(None, alias="livenessProbe")
    startup: Probe | None = Field(None, alias="startupProbe")
    lifecycle: Lifecycle | None = None
    restart: str | None = Field(None, alias="restartPolicy")

    def probes(self) -> dict[str, Probe]:
        """Return the probes by kind."""
        kinds = {"readiness": self.readiness, "liveness": self.liveness, "startup": self.startup}
        return {kind: probe for kind, probe in kinds.items() if probe is not None}


class Metadata(_Part):
    """Who the pod is."""

    name: Annotated[Text, Field(min_length=1, max_length=253)]
    namespace: Annotated[Text, Field(max_length=63)] = "default"
    uid: Annotated[str, BeforeValidator(canonical_uid)]
    annotations: Strings = {}
    labels: Strings = {}


class Spec(_Part):
    """What the pod runs."""

    containers: Annotated[tuple[Container, ...], Field(min_length=1, max_length=64)]
    init: Annotated[tuple[Container, ...], Nullable, Field(max_length=64)] = Field(
        (), alias="initContainers"
    )
    volumes: Annotated[tuple[dict[str, Any], ...], Nullable] = ()
    deadline: int | None = Field(None, alias="activeDeadlineSeconds", ge=1)
    grace: int | None = Field(None, alias="terminationGracePeriodSeconds", ge=0)
    restart: Literal["Always", "OnFailure", "Never"] | None = Field(None, alias="restartPolicy")
    node: str | None = Field(None, alias="nodeName")
    service_account: str | None = Field(None, alias="serviceAccountName")
    security: SecurityContext | None = Field(None, alias="securityContext")


class Pod(_Part):
    """One pod."""

    metadata: Metadata
    spec: Spec

    @property
    def uid(self) -> str:
        """Return the pod's uid, a UUID in lower case."""
        return self.metadata.uid

    def annotation(self, name: str) -> str | None:
        """Return an annotation, None where there is none or an empty one."""
        return self.metadata.annotations.get(name) or None

    def cpus(self) -> int:
        """Return whole processor cores, at least one."""
        return max(1, whole(self._need(["cpu"])))

    def memory(self) -> int:
        """Return bytes, 0 without a limit."""
        return whole(self._need(["memory"]))

    def gpus(self) -> int:
        """Return how many GPUs of any make."""
        return whole(self._need(self._gpu_names()))

    def grace(self) -> int:
        """Return how many seconds the pod may take to end."""
        return GRACE if self.spec.grace is None else min(self.spec.grace, LONGEST_GRACE)

    def flags(self) -> tuple[str, ...]:
        """Return the words of the annotation for the batch system.

        Raises:
            Refusal: the annotation has an open quotation mark.

        """
        try:
            return tuple(shlex.split(self.annotation("slurm-job.vk.io/flags") or ""))
        except ValueError as error:
            raise Refusal(400, f"annotation slurm-job.vk.io/flags: {error}") from None

    def _gpu_names(self) -> list[str]:
        every = (*self.spec.containers, *self.spec.init)
        named = {name for c in every for name in (*c.resources.limits, *c.resources.requests)}
        return [name for name in named if name.endswith("/gpu")]

    def _need(self, names: Iterable[str]) -> Fraction:
        """Return the most that is used at any time: init containers run one by one, and before."""

        def of(container: Container) -> Fraction:
            return sum((container.resources.amount(name) for name in names), Fraction(0))

        together = sum((of(container) for container in self.spec.containers), Fraction(0))
        return max([together, *(of(container) for container in self.spec.init)])


def parse_pod(manifest: object) -> Pod:
    """Validate a pod manifest.

    Raises:
        Refusal: 400, naming the first field that is wrong.

    """
    try:
        pod = Pod.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        words = first["msg"].removeprefix("Value error, ")
        raise Refusal(400, f"pod.{where}: {words}" if where else f"pod: {words}") from None
    names = [container.name for container in (*pod.spec.containers, *pod.spec.init)]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise Refusal(400, f"pod.spec: two containers are named {doubled[0]!r}: rename one")
    return pod


def identity(manifest: object) -> str:
    """Return the uid of a manifest that may hold little else (status, delete).

    Raises:
        Refusal: 400, there is no usable uid.

    """
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    try:
        return canonical_uid(uid)
    except ValueError as error:
        raise Refusal(400, f"pod.metadata.uid: {error}") from None
