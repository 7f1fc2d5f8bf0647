"""The catalogue's ways to a site: how a pod gets there, and how its streams come back."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from farlab_sites.fields import FilePath, Node, PluginUrl, RelayUrl
from farlab_sites.models import Model, OneOf
from farlab_sites.units import wrong

Way = Literal["direct", "gateway", "tunnelled"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Direct(Model):
    """The site's plugin, called by the hub service itself."""

    url: PluginUrl = Field(
        description="Where the plugin listens: `http://`, `https://` or `unix:///path.sock`."
    )
    token_file: FilePath | None = Field(
        default=None,
        description="File with the plugin's bearer token; needed unless it is on loopback.",
    )

    @model_validator(mode="after")
    def _remote_needs_token(self) -> Self:
        """Refuse a plugin that anyone on the network could use."""
        parts = urlsplit(self.url)
        if parts.scheme != "unix" and parts.hostname not in LOOPBACK and not self.token_file:
            raise wrong("is not on loopback and has no token", 'add "token_file:"', ("url",))
        return self


class Kubernetes(Model):
    """The hub's own Kubernetes cluster: a virtual node of it, or its ordinary nodes (`{}`)."""

    node: Node | None = Field(
        default=None, description="Name of the virtual node; absent: the ordinary nodes."
    )


class Carrier(OneOf):
    """How a pod reaches the site: `direct` or `kubernetes`."""

    direct: Direct | None = Field(default=None, description="The site's plugin directly.")
    kubernetes: Kubernetes | None = Field(
        default=None, description="Pods of the hub's Kubernetes cluster."
    )


class Relay(Model):
    """The way between the agent in a job and the relay beside the hub."""

    way: Way = Field(
        default="direct",
        description="`direct`: the agent dials the hub; `gateway`: it dials the plugin, which "
        "passes on; `tunnelled`: the hub connects to the plugin.",
    )
    url: RelayUrl | None = Field(
        default=None,
        description="What the agent dials; with `direct` the hub's own relay if absent.",
    )
    plugin: Direct | None = Field(
        default=None,
        description="With `tunnelled` and the carrier `kubernetes`: where the hub dials the "
        "plugin. The carrier `direct` names it already.",
    )

    @model_validator(mode="after")
    def _ends_are_there(self) -> Self:
        """Refuse a gateway that the agent could not find, and an address that nobody dials."""
        if self.way != "direct" and not self.url:
            fix = 'add "url: ws://HOST:PORT" with the plugin\'s address as compute nodes see it'
            raise wrong(f"is missing for the way {self.way}", fix, ("url",))
        if self.plugin and self.way != "tunnelled":
            raise wrong(f"is not dialled in the way {self.way}", "remove it", ("plugin",))
        return self
