"""What a /create request carries for its pod: the Secrets and ConfigMaps that it refers to."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from farlab_sites.plugin.errors import Refusal

# The names in interLink's Go types; older plugins know the projected ones in another spelling.
_SECRETS = ("secrets",)
_CONFIGMAPS = ("configMaps", "configmaps")
_PROJECTED = ("projectedvolumemaps", "projectedVolumeMaps")


class Carried:
    """Secrets, ConfigMaps and projected volumes by name, their values as bytes."""

    def __init__(self, containers: object) -> None:
        entries = containers if isinstance(containers, list) else []
        self.secrets = dict(_named(entries, _SECRETS, "Secret"))
        self.configmaps = dict(_named(entries, _CONFIGMAPS, "ConfigMap"))
        self.projected = dict(_named(entries, _PROJECTED, "projected volume"))

    def find(self, kind: str, name: str, optional: bool | None) -> dict[str, bytes] | None:
        """Return the content of a Secret or ConfigMap; None when it is optional and absent.

        Raises:
            Refusal: 400, the request did not carry it.

        """
        found = (self.secrets if kind == "Secret" else self.configmaps).get(name)
        if found is None and not optional:
            raise Refusal(
                400,
                f"the pod refers to the {kind} {name!r}, which was not sent with it: create it in"
                " the pod's namespace, or send it in the request",
            )
        return found

    def value(self, kind: str, name: str, key: str, optional: bool | None) -> bytes | None:
        """Return one key's value; None when it is optional and absent.

        Raises:
            Refusal: 400, the request did not carry it.

        """
        found = self.find(kind, name, optional)
        if found is not None and key in found:
            return found[key]
        if optional:
            return None
        raise Refusal(400, f"the {kind} {name!r} has no key {key!r}, which the pod refers to")


def _named(
    entries: list[Any], fields: tuple[str, ...], kind: str
) -> Iterator[tuple[str, dict[str, bytes]]]:
    for entry in entries:
        if not isinstance(entry, dict):
            raise Refusal(400, "container: each entry must be an object")
        for field in fields:
            for item in entry.get(field) or []:
                yield _content(item, kind)


def _content(item: object, kind: str) -> tuple[str, dict[str, bytes]]:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(item, dict) or not isinstance(name, str):
        raise Refusal(400, f"a {kind} was sent without metadata.name")
    plain, coded = _maps(item, kind)
    content = {key: value.encode() for key, value in plain.items()}
    for key, value in coded.items():
        try:
            content[key] = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise Refusal(400, f"{kind} {name!r}: the value of {key!r} is not base64") from None
    return name, content


def _maps(item: Mapping[str, Any], kind: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values that are plain text and those in base64: a Secret has it the other way."""
    fields = ("stringData", "data") if kind == "Secret" else ("data", "binaryData")
    maps: list[dict[str, str]] = []
    for field in fields:
        values = item.get(field) or {}
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise Refusal(400, f"a {kind}'s {field} must map names to strings")
        maps.append(values)
    return maps[0], maps[1]
