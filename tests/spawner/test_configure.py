"""One call in jupyterhub_config.py."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from farlab_sites.problems import CatalogueError
from farlab_spawner import FarlabSpawner, configure
from kubernetes_asyncio.config import kube_config
from traitlets.config import Config


def configured(sites_file: Path, state: Path, before: Config | None = None) -> Config:
    config = before or Config()
    configure(config, sites_file, state_dir=state, service_port=1234, relay_port=1235)
    return config


def test_hub_gets_spawner_service_and_rights(sites_file: Path, tmp_path: Path) -> None:
    config = configured(sites_file, tmp_path / "state")
    assert config.JupyterHub.spawner_class is FarlabSpawner
    assert config.JupyterHub.cleanup_servers is False
    service, caller = config.JupyterHub.services
    assert service["url"] == "http://127.0.0.1:1234"
    assert f"--catalogue={sites_file}" in service["command"]
    assert "--relay-port=1235" in service["command"]
    user, server, spawner = config.JupyterHub.load_roles
    access = "access:services!service=farlab"
    assert user == {"name": "user", "scopes": ["self", access]}
    assert server["name"] == "server"
    assert server["scopes"] == ["users:activity!user", "access:servers!server", access]
    assert spawner == (
        {
            "name": "farlab-spawner",
            "scopes": ["custom:farlab:spawn"],
            "services": [caller["name"]],
        }
    )
    assert config.FarlabSpawner.service_url == "http://127.0.0.1:1234"
    assert config.FarlabSpawner.relay_url == "ws://127.0.0.1:1235"


def test_tokens_are_private_and_kept(sites_file: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = configured(sites_file, state).JupyterHub.services
    second = configured(sites_file, state).JupyterHub.services
    assert first == second
    tokens = {service["api_token"] for service in first}
    assert len(tokens) == 2
    assert all(len(token) == 64 for token in tokens)
    assert not any(token in str(service["command"]) for token in tokens for service in first[:1])
    files = list(state.glob("*.token"))
    assert len(files) == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_what_the_hub_had_before_stays(sites_file: Path, tmp_path: Path) -> None:
    before = Config()
    before.JupyterHub.services = [{"name": "mine"}]
    before.JupyterHub.load_roles = [{"name": "mine"}, {"name": "user", "scopes": ["self", "more"]}]
    before.JupyterHub.custom_scopes = {"custom:mine": {"description": "x"}}
    before.JupyterHub.template_paths = ["/mine"]
    config = configured(sites_file, tmp_path, before)
    assert config.JupyterHub.services[0] == {"name": "mine"}
    mine, user, *_ = config.JupyterHub.load_roles
    assert mine == {"name": "mine"}
    assert user["scopes"] == ["self", "more", "access:services!service=farlab"]
    ours = {f"custom:farlab:{what}" for what in ("spawn", "admin", "metrics")}
    assert set(config.JupyterHub.custom_scopes) == {"custom:mine", *ours}
    assert config.JupyterHub.template_paths[0] == "/mine"


def test_hub_without_kubernetes_gets_a_configuration_that_leads_nowhere(
    sites_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", "/theirs")
    configured(sites_file, tmp_path)
    assert kube_config.KUBE_CONFIG_DEFAULT_LOCATION == "/theirs"  # a site needs the real one
    sites_file.write_text(sites_file.read_text().partition("  - name: k8s")[0])
    configured(sites_file, tmp_path)
    assert str(tmp_path) in kube_config.KUBE_CONFIG_DEFAULT_LOCATION


def test_mistakes_in_the_catalogue_stop_the_hub(sites_file: Path, tmp_path: Path) -> None:
    sites_file.write_text(sites_file.read_text().replace("kind: cloud", "kind: clowd"))
    with pytest.raises(CatalogueError, match=r"sites.yaml:6.*clowd"):
        configured(sites_file, tmp_path)


def test_a_service_that_runs_by_itself(sites_file: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    for name in ("farlab", "farlab-spawner"):
        (tokens / f"{name}.token").write_text(f"{name}-word\n")
        (tokens / f"{name}.token").chmod(0o440)
    outside = {"service_url": "http://farlab:8092", "relay_url": "wss://hub.example.org/relay"}
    config = Config()
    configure(config, sites_file, state_dir=tokens, **outside)
    service, caller = config.JupyterHub.services
    assert service == {
        "name": "farlab",
        "url": "http://farlab:8092",
        "api_token": "farlab-word",
        "display": False,
    }
    assert caller["api_token"] == "farlab-spawner-word"
    assert config.FarlabSpawner.service_url == "http://farlab:8092"
    assert config.FarlabSpawner.relay_url == "wss://hub.example.org/relay"
    assert {file.name for file in tokens.iterdir()} == {"farlab.token", "farlab-spawner.token"}
    with pytest.raises(ValueError, match="relay_url is missing"):
        configure(Config(), sites_file, state_dir=tokens, service_url="http://farlab:8092")
    (tokens / "farlab.token").unlink()
    with pytest.raises(ValueError, match=r"farlab\.token: No such file"):
        configure(Config(), sites_file, state_dir=tokens, **outside)
