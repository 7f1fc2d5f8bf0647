"""`kubelet.yaml`: what an operator decides about one virtual node, validated before it starts."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from farlab_sites.fields import FilePath, Node, PluginUrl
from farlab_sites.units import wrong

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_LABEL_NAME = re.compile(
    r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise wrong("is not host:port", 'write it as "127.0.0.1:10250"')
    return value


def _ip(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise wrong("is not an IP address", "give the one that the API server can reach") from None
    return value


def _quantities(value: dict[str, str]) -> dict[str, str]:
    for name, amount in value.items():
        if not _QUANTITY.fullmatch(amount):
            fix = 'write it as Kubernetes does, in quotes: "64", "512Gi"'
            raise wrong(f'"{amount[:60]}" is not a quantity', fix, (name,))
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _LABEL_NAME.fullmatch(name) or not _LABEL_VALUE.fullmatch(text):
            fix = "use letters, digits, and _ . - inside, at most 63"
            raise wrong("is not a label of Kubernetes", fix, (name,))
    return value


Address = Annotated[str, AfterValidator(_address)]
Quantities = Annotated[dict[str, str], AfterValidator(_quantities)]
Labels = Annotated[dict[str, str], AfterValidator(_labels)]


class Tls(_Model):
    """Who is trusted at the other end of https, and who this kubelet says it is."""

    ca_file: FilePath | None = Field(
        default=None, description="The authority that signed the server's certificate."
    )
    cert_file: FilePath | None = Field(default=None, description="This kubelet's own certificate.")
    key_file: FilePath | None = Field(default=None, description="The certificate's key.")

    @model_validator(mode="after")
    def _pair(self) -> Tls:
        if (self.cert_file is None) != (self.key_file is None):
            raise wrong("has half of a certificate", "name both cert_file and key_file")
        return self


class Endpoint(_Model):
    """Where pods are sent to."""

    url: PluginUrl = Field(description="http://, https:// or unix:// with an absolute path.")
    token_file: FilePath | None = Field(
        default=None, description="A file with the bearer token, read again for each call."
    )
    tls: Tls = Field(default=Tls(), description="For https: authorities and certificates.")

    @model_validator(mode="after")
    def _fits(self) -> Endpoint:
        if self.tls != Tls() and not self.url.startswith("https://"):
            raise wrong("has tls for a URL without it", "write https:// or remove tls", ("tls",))
        return self


class Backend(_Model):
    """Exactly one of the two."""

    plugin: Endpoint | None = Field(default=None, description="A plugin, called directly.")
    interlink: Endpoint | None = Field(default=None, description="An interLink API server.")

    @model_validator(mode="after")
    def _one(self) -> Backend:
        if (self.plugin is None) == (self.interlink is None):
            raise wrong("must name exactly one", 'write "plugin:" or "interlink:" with its url')
        return self

    @property
    def kind(self) -> Literal["plugin", "interlink"]:
        """Return which of the two it is."""
        return "plugin" if self.plugin else "interlink"

    @property
    def endpoint(self) -> Endpoint:
        """Return the one that is named."""
        found = self.plugin or self.interlink
        assert found is not None  # noqa: S101 - the validator has seen to it
        return found


class Serving(_Model):
    """Where the API server asks for logs, and how it must show who it is."""

    listen: Address = Field(
        default="127.0.0.1:10250", description="host:port; port 0 takes a free one."
    )
    address: Annotated[str, AfterValidator(_ip)] = Field(
        default_factory=lambda: os.environ.get("POD_IP", "127.0.0.1"),
        validate_default=True,
        description="The node's address, at which the API server dials; by default that of the"
        " pod it runs in, which the environment's POD_IP holds, else 127.0.0.1.",
    )
    client_ca_file: FilePath | None = Field(
        default=None,
        description="The authority that signed the API server's client certificate;"
        " without it nobody may read logs.",
    )
    cert_file: FilePath | None = Field(
        default=None, description="The serving certificate; without it one is made at each start."
    )
    key_file: FilePath | None = Field(default=None, description="The serving certificate's key.")

    @model_validator(mode="after")
    def _pair(self) -> Serving:
        if (self.cert_file is None) != (self.key_file is None):
            raise wrong("has half of a certificate", "name both cert_file and key_file")
        return self


_CAPACITY = {"cpu": "100", "memory": "256Gi", "pods": "2000"}


class Settings(_Model):
    """The content of `kubelet.yaml`."""

    node: Node = Field(description="The virtual node's name.")
    backend: Backend = Field(description="Where its pods run.")
    kubeconfig: FilePath | None = Field(
        default=None,
        description="How to reach the API server; without it, as a pod of the cluster does.",
    )
    labels: Labels = Field(default={}, description="Further labels of the node.")
    capacity: Quantities = Field(
        default=_CAPACITY,
        description="What the node has until the site's answer to a ping says otherwise.",
    )
    serving: Serving = Field(default=Serving(), description="The endpoint for logs.")
    status_interval: float = Field(
        default=1.0,
        ge=0.1,
        le=60,
        description="Seconds between questions for the state of all pods.",
    )
    ping_interval: float = Field(
        default=10.0, ge=0.5, le=300, description="Seconds between two pings."
    )

    @model_validator(mode="before")
    @classmethod
    def _whole_capacity(cls, value: Any) -> Any:
        """Let a file name only the capacities that differ."""
        if isinstance(value, dict) and isinstance(value.get("capacity"), dict):
            return {**value, "capacity": {**_CAPACITY, **value["capacity"]}}
        return value
