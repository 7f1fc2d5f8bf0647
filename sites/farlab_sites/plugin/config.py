"""`plugin.yaml`: what a site operator decides, validated before anything starts."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from farlab_sites.plugin.slurm_settings import SlurmSettings

Runtime = Literal["none", "apptainer", "podman"]
MAX_BYTES = 1 << 20


class ConfigError(Exception):
    """The configuration cannot be used; the message names file, field and what to do."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _address(value: str) -> str:
    """Accept `host:port` and `unix:///path`."""
    if value.startswith("unix://"):
        if not value.removeprefix("unix://").startswith("/"):
            raise ValueError("write a socket as unix:///absolute/path")
        return value
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("write it as host:port (127.0.0.1:4000) or unix:///absolute/path")
    return value


Address = Annotated[str, AfterValidator(_address)]


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`; the brackets of an IPv6 address are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_local(address: str) -> bool:
    """Tell whether only this machine can connect to the address."""
    if address.startswith("unix://"):
        return True
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class LocalSettings(_Model):
    """Jobs are processes on the plugin's machine."""

    cpus: int | None = Field(None, ge=1)  # absent: what the machine has
    gpus: int = Field(0, ge=0)
    gpu_type: str | None = None


class DriverChoice(_Model):
    """Exactly one driver."""

    local: LocalSettings | None = None
    slurm: SlurmSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_empty(cls, value: Any) -> Any:
        # `driver: {local: }` is YAML for null, and means "with every default".
        if isinstance(value, dict):
            return {key: {} if part is None else part for key, part in value.items()}
        return value

    @model_validator(mode="after")
    def _one(self) -> DriverChoice:
        if (self.local is None) == (self.slurm is None):
            raise ValueError("name exactly one driver: `local: {}` or `slurm: {}`")
        return self


class GatewayConfig(_Model):
    """Where agents on nodes without a way out dial, and where their streams go.

    Without `relay` nothing here dials out: the hub connects to the plugin's own address, and the
    streams ride on its connections.
    """

    listen: Address
    relay: str | None = None

    @field_validator("listen")
    @classmethod
    def _port(cls, value: str) -> str:
        if value.startswith("unix://"):
            raise ValueError("agents on other machines cannot use a socket: write host:port")
        return value

    @field_validator("relay")
    @classmethod
    def _websocket(cls, value: str | None) -> str:
        if value is None:
            raise ValueError("has no value: give the relay's address, or remove the key")
        parts = urlsplit(value)
        if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.port == 0:
            raise ValueError("write the relay's address as ws://host:port/path or wss://...")
        return value


class AccountsConfig(_Model):
    """Which local accounts pods may name at all."""

    allow: tuple[str, ...] = ()

    @field_validator("allow")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return value


class RuntimeCommands(_Model):
    """How each container runtime is called on the nodes, with the site's own options."""

    podman: Annotated[tuple[str, ...], Field(min_length=1)] = ("podman",)
    apptainer: Annotated[tuple[str, ...], Field(min_length=1)] = ("apptainer",)


class Settings(_Model):
    """The content of `plugin.yaml`."""

    listen: Address = "127.0.0.1:4000"
    token_file: Path | None = None
    folder: Path = Path("/var/spool/farlab")
    driver: DriverChoice
    runtime: Runtime = "none"
    runtimes: tuple[Runtime, ...] = ()  # what a pod's annotation may choose instead
    commands: RuntimeCommands = RuntimeCommands()
    python: Path = Path("/usr/bin/python3")
    gateway: GatewayConfig | None = None
    accounts: AccountsConfig = AccountsConfig()

    @field_validator("folder", "python", "token_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError("must be an absolute path")
        return value

    @model_validator(mode="after")
    def _guarded(self) -> Settings:
        if self.token_file is None and not is_local(self.listen):
            raise ValueError(
                f"`listen: {self.listen}` can be reached from other machines: name a `token_file`"
                " that holds a secret, or listen on 127.0.0.1 or a unix:// socket"
            )
        waits = self.gateway is not None and self.gateway.relay is None
        if waits and self.token_file is None and not self.listen.startswith("unix://"):
            # A login node has many users, and all of them can connect to its loopback address.
            raise ValueError(
                "`gateway` without `relay` waits for the hub to connect: name a `token_file` that"
                " holds a secret, which the hub has too, or listen on a unix:// socket"
            )
        return self


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "(the whole file)"


def parse(text: str, file: str = "plugin.yaml") -> Settings:
    """Read the text of a `plugin.yaml`.

    Raises:
        ConfigError: with one line for each thing to mend.

    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{file}: this is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: write `driver: {{local: {{}}}}` or more; it holds no fields")
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        lines = [
            f"{file}: {_field(e['loc'])}: {_words(e['type'], e['msg'])}" for e in error.errors()
        ]
        raise ConfigError("\n".join(lines)) from None
    except RecursionError:
        raise ConfigError(f"{file}: an alias refers to itself: write the value out") from None


def _words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        known = ", ".join(Settings.model_fields)
        return f"there is no such field; check the spelling (the top-level ones: {known})"
    return message.removeprefix("Value error, ")


def load(path: Path) -> Settings:
    """Read and validate the file.

    Raises:
        ConfigError: it cannot be read or used.

    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: give --config a readable file") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than 1 MiB, so not a plugin.yaml")
    try:
        return parse(content.decode(), str(path))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
