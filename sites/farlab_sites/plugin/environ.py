"""A container's environment, command and arguments, resolved as Kubernetes does it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from farlab_sites.plugin.carried import Carried
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.podspec import Container, EnvFrom, EnvVar, KeyRef, Pod, ResourceRef
from farlab_sites.plugin.quantities import parse_quantity, whole

_REFERENCE = re.compile(r"\$\$|\$\(([^()$]+)\)")
_ENTRY = re.compile(r"metadata\.(annotations|labels)\['([^']+)'\]")
LOOPBACK = "127.0.0.1"


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable's value; `$$(NAME)` stays as `$(NAME)`.

    A name that is not set is left as it stands, as in Kubernetes.
    """

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else env.get(found[1], found[0])

    return _REFERENCE.sub(value, text)


def environment(pod: Pod, container: Container, carried: Carried) -> dict[str, str]:
    """Return the variables that the pod's manifest gives this container, in their order.

    Raises:
        Refusal: 400, a value cannot be found.

    """
    env: dict[str, str] = {}
    for source in container.env_from:
        env.update(_all_of(source, carried))
    for variable in container.env:
        value = _value(pod, container, variable, carried, env)
        if value is not None:
            env[variable.name] = value
    return env


def _all_of(source: EnvFrom, carried: Carried) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, ref in (("Secret", source.secret), ("ConfigMap", source.config)):
        if ref is not None:
            for key, value in (carried.find(kind, ref.name, ref.optional) or {}).items():
                found[(source.prefix or "") + key] = _text(value, f"{kind} {ref.name!r}", key)
    bad = [name for name in found if not name or "=" in name or "\0" in name]
    if bad:
        raise Refusal(400, f"envFrom: {bad[0]!r} cannot be the name of a variable")
    return found


def _text(value: bytes, where: str, key: str) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Refusal(400, f"{where}: the value of {key!r} is not text: mount it instead") from None
    if "\0" in text:
        raise Refusal(400, f"{where}: the value of {key!r} holds a NUL character: mount it instead")
    return text


def _value(
    pod: Pod, container: Container, variable: EnvVar, carried: Carried, env: Mapping[str, str]
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value or "", env)
    for kind, ref in (("Secret", source.secret), ("ConfigMap", source.config)):
        if ref is not None:
            return _key(kind, ref, carried)
    if source.field is not None:
        return pod_field(pod, source.field.field_path)
    if source.resource is not None:
        return resource(pod, container, source.resource)
    raise Refusal(
        400,
        f"container {container.name}: variable {variable.name}: valueFrom knows secretKeyRef,"
        " configMapKeyRef, fieldRef and resourceFieldRef",
    )


def _key(kind: str, ref: KeyRef, carried: Carried) -> str | None:
    value = carried.value(kind, ref.name, ref.key, ref.optional)
    return None if value is None else _text(value, f"{kind} {ref.name!r}", ref.key)


def pod_field(pod: Pod, path: str) -> str:
    """Return a field of the pod as the downward API names it.

    Raises:
        Refusal: 400, a field that means nothing here.

    """
    meta = pod.metadata
    plain = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": pod.spec.node or "",
        "spec.serviceAccountName": pod.spec.service_account or "",
        "status.podIP": LOOPBACK,
        "status.podIPs": LOOPBACK,
        "status.hostIP": LOOPBACK,
    }
    if path in plain:
        return plain[path]
    entry = _ENTRY.fullmatch(path)
    if entry is None:
        raise Refusal(
            400, f"fieldRef {path!r} is not known here: use one of {', '.join(plain)},"
            " metadata.annotations['x'] or metadata.labels['x']",
        )  # fmt: skip
    return (meta.annotations if entry[1] == "annotations" else meta.labels).get(entry[2], "")


def resource(pod: Pod, container: Container, ref: ResourceRef) -> str:
    """Return a limit or request in units of the divisor, rounded up.

    Raises:
        Refusal: 400, no such container, resource or divisor.

    """
    named = ref.container_name or container.name
    every = {c.name: c for c in (*pod.spec.containers, *pod.spec.init)}
    kind, _, name = ref.resource.partition(".")
    if named not in every or kind not in ("limits", "requests") or not name:
        raise Refusal(400, f"resourceFieldRef {ref.resource!r} of {named!r}: there is none")
    try:
        divisor = parse_quantity(ref.divisor or 1) or 1
    except ValueError as error:
        raise Refusal(400, f"resourceFieldRef {ref.resource!r}: divisor: {error}") from None
    return str(whole(every[named].resources.amount(name) / divisor))
