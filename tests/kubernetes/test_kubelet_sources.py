"""What travels with a pod: fetched, put together, and named when it is missing."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from farlab_sites.kubelet.api import Api, ApiError
from farlab_sites.kubelet.sources import ROOT_CA, Luggage, Missing, Sources

Json = dict[str, Any]
UID = "11111111-1111-1111-1111-111111111111"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def secret(name: str, **values: str) -> Json:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"metadata": {"name": name, "managedFields": []}, "type": "Opaque", "data": data}


def config(name: str, **values: str) -> Json:
    return {"metadata": {"name": name}, "data": {k.replace("_", "."): v for k, v in values.items()}}


class FakeApi(Api):
    """Objects by their path, and tokens for whoever asks."""

    def __init__(self) -> None:
        super().__init__(None)
        self.objects: dict[str, Json] = {}
        self.asked: list[str] = []
        self.tokens: list[Json] = []

    def add(self, kind: str, item: Json) -> None:
        path = f"/api/v1/namespaces/ns/{kind}s/{item['metadata']['name']}"
        self.objects[path] = item

    async def call(self, method: str, path: str, **more: Any) -> Json:
        """Answer from what was added."""
        self.asked.append(path)
        if path.endswith("/token"):
            self.tokens.append(more["body"]["spec"])
            if "/nobody/" in path:
                raise ApiError(404, "NotFound", 'serviceaccounts "nobody" not found')
            return {"status": {"token": "jwt"}}
        if path not in self.objects:
            raise ApiError(404, "NotFound", "not found")
        return copy.deepcopy(self.objects[path])


@pytest.fixture
def api() -> FakeApi:
    fake = FakeApi()
    fake.add("configmap", config(ROOT_CA, ca_crt=PEM))
    return fake


def pod(container: Json | None = None, *volumes: Json, **spec: Any) -> Json:
    main = {"name": "main", "image": "i", **(container or {})}
    mounts = [{"name": v["name"], "mountPath": f"/v/{v['name']}"} for v in volumes]
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": UID, "labels": {"a": "b"}},
        "spec": {
            "containers": [main | {"volumeMounts": mounts}],
            "volumes": list(volumes),
            "nodeName": "vk",
            **spec,
        },
    }


async def pack(api: FakeApi, item: Json, *, resolve: bool = False) -> Luggage:
    return await Sources(api, "10.0.0.7").pack(item, "127.0.0.9", resolve=resolve)


def env(luggage: Luggage) -> list[Json]:
    found: list[Json] = luggage.pod["spec"]["containers"][0]["env"]
    return found


TOKEN_VOLUME = {
    "name": "kube-api-access-x",
    "projected": {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
    },
}


async def test_the_token_volume_is_a_configmap_with_a_real_token(api: FakeApi) -> None:
    luggage = await pack(api, pod(None, TOKEN_VOLUME, serviceAccountName="me"))
    [made] = luggage.projected
    assert made["metadata"]["name"] == "kube-api-access-x"
    assert made["data"] == {"token": "jwt", "ca.crt": PEM, "namespace": "ns"}
    [asked] = api.tokens
    assert asked["expirationSeconds"] == 3607
    assert asked["boundObjectRef"] == {
        "kind": "Pod", "apiVersion": "v1", "name": "p", "uid": UID,
    }  # fmt: skip
    assert "/api/v1/namespaces/ns/serviceaccounts/me/token" in api.asked


async def test_an_audience_is_passed_on(api: FakeApi) -> None:
    source = {"serviceAccountToken": {"path": "t", "audience": "vault"}}
    await pack(api, pod(None, {"name": "t", "projected": {"sources": [source]}}))
    assert api.tokens[0]["audiences"] == ["vault"]


async def test_no_service_account_no_token(api: FakeApi) -> None:
    with pytest.raises(Missing, match="no token of the service account nobody"):
        await pack(api, pod(None, TOKEN_VOLUME, serviceAccountName="nobody"))


async def test_the_authority_is_fetched_once_for_many(api: FakeApi) -> None:
    sources = Sources(api, "10.0.0.7")
    for _ in range(3):
        await sources.pack(pod(None, TOKEN_VOLUME), "127.0.0.1", resolve=False)
    assert sum(path.endswith(ROOT_CA) for path in api.asked) == 1


async def test_secrets_and_configmaps_travel_as_they_are(api: FakeApi) -> None:
    api.add("secret", secret("keys", pem=PEM))
    api.add("configmap", config("conf", a="b"))
    volumes = (
        {"name": "k", "secret": {"secretName": "keys"}},
        {"name": "c", "configMap": {"name": "conf"}},
    )
    luggage = await pack(api, pod(None, *volumes))
    [carried] = luggage.secrets
    assert carried["kind"] == "Secret"
    assert carried["metadata"] == {"name": "keys", "namespace": "ns"}
    assert base64.b64decode(carried["data"]["pem"]).decode() == PEM
    assert luggage.configmaps[0]["data"] == {"a": "b"}


ENV = {
    "env": [
        {"name": "PLAIN", "value": "x"},
        {"name": "EMPTY"},
        {"name": "BOTH", "value": "$(PLAIN)-$(K)"},
        {"name": "K", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
    ],
    "envFrom": [{"prefix": "P_", "configMapRef": {"name": "conf"}}],
    "resources": {"limits": {"cpu": "1500m"}},
}


async def test_an_interlink_api_gets_every_value(api: FakeApi) -> None:
    api.add("secret", secret("keys", k="pa$$word"))
    api.add("configmap", config("conf", a="b"))
    luggage = await pack(api, pod(ENV), resolve=True)
    values = {item["name"]: item.get("value") for item in env(luggage)}
    assert values == {
        "P_a": "b",
        "PLAIN": "x",
        "EMPTY": None,
        "BOTH": "x-$(K)",
        "K": "pa$$word",
        "IP": "127.0.0.9",
        "HOST": "10.0.0.7",
        "ME": "p",
        "CPU": "2",
        "A": "b",
    }
    assert "envFrom" not in luggage.pod["spec"]["containers"][0]


async def test_a_plugin_gets_references_but_the_addresses(api: FakeApi) -> None:
    api.add("secret", secret("keys", k="v"))
    api.add("configmap", config("conf", a="b"))
    found = {item["name"]: item for item in env(await pack(api, pod(ENV)))}
    assert "valueFrom" in found["K"]
    assert found["IP"] == {"name": "IP", "value": "127.0.0.9"}


async def test_the_manifest_itself_is_not_changed(api: FakeApi) -> None:
    item = pod(ENV | {"env": ENV["env"][4:6], "envFrom": []}, TOKEN_VOLUME)
    before = copy.deepcopy(item)
    await pack(api, item, resolve=True)
    assert item == before


REF = {"name": "absent", "key": "k"}


@pytest.mark.parametrize(
    ("container", "volumes"),
    [
        ({"env": [{"name": "K", "valueFrom": {"secretKeyRef": REF}}]}, ()),
        ({"envFrom": [{"secretRef": {"name": "absent"}}]}, ()),
        ({}, ({"name": "v", "secret": {"secretName": "absent"}},)),
        ({}, ({"name": "v", "projected": {"sources": [{"secret": {"name": "absent"}}]}},)),
    ],
)
async def test_what_is_missing_is_named(
    api: FakeApi, container: Json, volumes: tuple[Json, ...]
) -> None:
    with pytest.raises(Missing, match='secret "absent" not found in the namespace ns'):
        await pack(api, pod(container, *volumes))


async def test_what_is_optional_may_be_missing(api: FakeApi) -> None:
    container = {
        "env": [{"name": "K", "valueFrom": {"secretKeyRef": REF | {"optional": True}}}],
        "envFrom": [{"configMapRef": {"name": "absent", "optional": True}}],
    }
    volume = {"name": "v", "secret": {"secretName": "absent", "optional": True}}
    luggage = await pack(api, pod(container, volume), resolve=True)
    assert env(luggage) == []


@pytest.mark.parametrize(
    ("container", "volumes"),
    [
        ({"env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "z"}}}]}, ()),
        ({}, ({"name": "v", "secret": {"secretName": "keys", "items": [
            {"key": "z", "path": "z"}]}},)),
    ],
)  # fmt: skip
async def test_a_key_that_is_missing_is_named(
    api: FakeApi, container: Json, volumes: tuple[Json, ...]
) -> None:
    api.add("secret", secret("keys", k="v"))
    with pytest.raises(Missing, match="key 'z'"):
        await pack(api, pod(container, *volumes))
