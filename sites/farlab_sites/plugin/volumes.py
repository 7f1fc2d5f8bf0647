"""Volumes of a pod as files in the job's folder, and where a container finds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from farlab_sites.plugin.carried import Carried
from farlab_sites.plugin.environ import pod_field, resource
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.podspec import Container, Pod, ResourceRef, label

Files = dict[str, tuple[bytes, int]]
"""Path below the volume -> content and mode."""

DEFAULT_MODE = 0o644


@dataclass(frozen=True)
class Volume:
    """One volume; `files` is None for one that starts empty."""

    name: str
    files: Files | None


@dataclass(frozen=True)
class Bind:
    """A volume, or a part of it, at its place in a container."""

    volume: str
    source: str  # an absolute path on the node
    target: str  # the mountPath
    read_only: bool


def volumes(pod: Pod, carried: Carried) -> tuple[list[Volume], list[str]]:
    """Return the volumes that are mounted, and a warning for each kind that does not travel.

    The others are left out: what they refer to is not sent.

    Raises:
        Refusal: 400, a malformed volume, or content that was not sent.

    """
    made: list[Volume] = []
    warnings: list[str] = []
    every = (*pod.spec.init, *pod.spec.containers)
    mounted = {mount.name for container in every for mount in container.mounts}
    for spec in pod.spec.volumes:
        name = _name(spec)
        if name not in mounted:
            continue
        kind = next((kind for kind in _KINDS if isinstance(spec.get(kind), dict)), None)
        if kind is None:
            warnings.append(f"volume {name} is of a kind that does not travel to this site")
        else:
            made.append(Volume(name, _KINDS[kind](pod, spec, carried)))
    return made, warnings


def _name(spec: dict[str, Any]) -> str:
    try:
        return label(str(spec.get("name")))
    except ValueError as error:
        raise Refusal(400, f"pod.spec.volumes: name {spec.get('name')!r}: {error}") from None


def _secret(_: Pod, spec: dict[str, Any], carried: Carried) -> Files:
    part = spec["secret"]
    content = carried.find("Secret", str(part.get("secretName")), part.get("optional"))
    return dict(_items(content, part, f"volume {spec['name']}"))


def _configmap(_: Pod, spec: dict[str, Any], carried: Carried) -> Files:
    part = spec["configMap"]
    content = carried.find("ConfigMap", str(part.get("name")), part.get("optional"))
    return dict(_items(content, part, f"volume {spec['name']}"))


def _empty(_: Pod, __: dict[str, Any], ___: Carried) -> None:
    return None


def _downward(pod: Pod, spec: dict[str, Any], _: Carried) -> Files:
    return dict(_downward_items(pod, spec["downwardAPI"], f"volume {spec['name']}"))


def _projected(pod: Pod, spec: dict[str, Any], carried: Carried) -> Files:
    """Return what interLink resolved under the volume's name, or resolve the sources here."""
    where, part = f"volume {spec['name']}", spec["projected"]
    ready = carried.projected.get(spec["name"])
    if ready is not None:
        return dict(_items(ready, part, where))
    files: Files = {}
    for source in part.get("sources") or []:
        files.update(_source(pod, source, carried, part, where))
    return files


def _source(
    pod: Pod, source: dict[str, Any], carried: Carried, part: dict[str, Any], where: str
) -> Iterator[tuple[str, tuple[bytes, int]]]:
    for field, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        if isinstance(inner := source.get(field), dict):
            content = carried.find(kind, str(inner.get("name")), inner.get("optional"))
            yield from _items(content, {"defaultMode": part.get("defaultMode"), **inner}, where)
            return
    if isinstance(inner := source.get("downwardAPI"), dict):
        yield from _downward_items(pod, inner, where)
        return
    raise Refusal(400, f"{where}: the content of a source ({', '.join(source)}) was not sent")


_KINDS: dict[str, Callable[[Pod, dict[str, Any], Carried], Files | None]] = {
    "secret": _secret,
    "configMap": _configmap,
    "emptyDir": _empty,
    "downwardAPI": _downward,
    "projected": _projected,
}


def _items(
    content: dict[str, bytes] | None, part: dict[str, Any], where: str
) -> Iterator[tuple[str, tuple[bytes, int]]]:
    """Yield the files of a Secret or ConfigMap: every key, or those that `items` names."""
    mode = _mode(part.get("defaultMode"), where)
    if content is None:
        return
    if not part.get("items"):
        for key, value in content.items():
            yield inside(key, where), (value, mode)
        return
    for item in part["items"]:
        key = str(item.get("key"))
        if key in content:
            path = inside(str(item.get("path")), where)
            yield path, (content[key], _mode(item.get("mode"), where, mode))
        elif not part.get("optional"):
            raise Refusal(400, f"{where}: there is no key {key!r} in what was sent")


def _downward_items(
    pod: Pod, part: dict[str, Any], where: str
) -> Iterator[tuple[str, tuple[bytes, int]]]:
    for item in part.get("items") or []:
        path = inside(str(item.get("path")), where)
        if isinstance(field := item.get("fieldRef"), dict):
            value = _field(pod, str(field.get("fieldPath")))
        elif isinstance(ref := item.get("resourceFieldRef"), dict):
            value = resource(pod, pod.spec.containers[0], ResourceRef.model_validate(ref))
        else:
            raise Refusal(400, f"{where}: {path}: neither fieldRef nor resourceFieldRef")
        yield path, (value.encode(), _mode(item.get("mode"), where))


def _field(pod: Pod, path: str) -> str:
    whole_maps = {
        "metadata.annotations": pod.metadata.annotations,
        "metadata.labels": pod.metadata.labels,
    }
    if path in whole_maps:
        return "".join(f'{key}="{value}"\n' for key, value in sorted(whole_maps[path].items()))
    return pod_field(pod, path)


def _mode(value: object, where: str, default: int = DEFAULT_MODE) -> int:
    if value is None:
        return default
    if not isinstance(value, int) or not 0 <= value <= 0o777:
        raise Refusal(400, f"{where}: mode {value!r} is not between 0 and 0777 (511)")
    return value


def inside(path: str, where: str) -> str:
    """Return a relative path that stays inside its volume.

    Raises:
        Refusal: 400, it is absolute, empty, or climbs out.

    """
    pure = PurePosixPath(path)
    if not path or "\0" in path or pure.is_absolute() or ".." in pure.parts or str(pure) == ".":
        raise Refusal(400, f"{where}: {path!r} is not a path inside the volume")
    return str(pure)


def binds(container: Container, known: Mapping[str, Volume], folder: str) -> list[Bind]:
    """Return where the container's mounts are on the node; those that did not travel are left out.

    As in Kubernetes, only a volume that started empty can be written to.

    Raises:
        Refusal: 400, a path that cannot be mounted.

    """
    found = []
    for mount in container.mounts:
        where = f"container {container.name}: mountPath"
        path = PurePosixPath(mount.path)
        if not path.is_absolute() or ".." in path.parts or str(path) == "/":
            raise Refusal(400, f"{where} {mount.path!r}: must be absolute, and not / itself")
        if re.search(r"[:,\n]", mount.path):
            raise Refusal(400, f"{where} {mount.path!r}: no colon, comma or line break is possible")
        if mount.name in known:
            source = PurePosixPath(folder, "volumes", label(mount.name))
            if mount.sub_path:
                source /= inside(mount.sub_path, f"container {container.name}: subPath")
            read_only = bool(mount.read_only) or known[mount.name].files is not None
            found.append(Bind(mount.name, str(source), str(path), read_only))
    return found


def rewriter(found: Iterable[Bind]) -> Callable[[str], str]:
    """Return a function that puts the node's path wherever a text names a mountPath.

    Without a container nothing can be mounted, so `/etc/app/key` in an argument or a variable
    becomes the file's real place. Only whole path parts are replaced: `/etc/app2` stays.
    """
    places = {bind.target: bind.source for bind in found}
    if not places:
        return lambda text: text
    longest_first = sorted(places, key=len, reverse=True)
    pattern = re.compile(
        r"(?<![\w./-])(" + "|".join(map(re.escape, longest_first)) + r")(?![\w.-])"
    )
    return lambda text: pattern.sub(lambda match: places[match[1]], text)
