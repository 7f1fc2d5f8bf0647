"""What docs/deploy.md and docs/site-edge.md say is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from farlab_sites.cli import main
from farlab_sites.loader import load_catalogue
from farlab_sites.plugin.config import parse

ROOT = Path(__file__).parents[2]
DEPLOY = (ROOT / "docs/deploy.md").read_text()
EDGE = (ROOT / "docs/site-edge.md").read_text()


def blocks(page: str, kind: str) -> list[str]:
    found: list[str] = re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)
    assert found
    return found


def test_the_catalogue_of_deploy_is_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (block,) = blocks(DEPLOY, "console")
    command, _, output = block.removeprefix("$ ").partition("\n")
    assert main(command.split()[1:]) == 0
    assert capsys.readouterr().out == output


def test_every_file_that_is_named_is_there() -> None:
    for page in (DEPLOY, EDGE):
        for name in re.findall(r"\bdeploy/[\w./-]*\w", page):
            assert (ROOT / name).exists() or (ROOT / "docs" / name).exists(), name
        for link in re.findall(r"\]\(([\w-]+\.md)", page):
            assert (ROOT / "docs" / link).is_file(), link


def test_every_secret_that_is_asked_for_is_made() -> None:
    made = set(re.findall(r"create secret generic ([\w-]+)", DEPLOY))
    manifests = [*(ROOT / "deploy").glob("*/*.yaml"), ROOT / "deploy/z2jh-values.yaml"]
    asked = set()
    for file in manifests:
        asked |= set(re.findall(r"secretName: ([\w-]+)", file.read_text()))
    assert asked - made == {"hub-tls", "farlab-tunnel"}  # the ingress controller's; tunnel's own


def test_the_plugins_are_configured_rightly() -> None:
    gateway, tunnelled = (parse(text) for text in blocks(EDGE, "yaml")[:2])
    assert gateway.gateway is not None
    assert gateway.gateway.relay == "wss://hub.example.org/relay"
    assert tunnelled.gateway is not None
    assert tunnelled.gateway.relay is None


def test_the_tunnelled_site_is_a_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "sites.yaml"
    file.write_text(blocks(EDGE, "yaml")[2])
    (site,) = load_catalogue(file).sites
    assert site.tunnel is not None
    unit = blocks(EDGE, "ini")[1]
    listen = parse(blocks(EDGE, "yaml")[1]).listen
    forwarding = f"-L{'{}'}{site.tunnel.url.removeprefix('unix://')}:{listen}"
    assert f'permitopen="{listen}"' in EDGE
    assert forwarding.format(" ") in unit
    patch = yaml.safe_load((ROOT / "deploy/tunnel/tunnel.yaml").read_text())
    (ssh,) = [c for c in patch["spec"]["template"]["spec"]["containers"] if c["name"] == "tunnel"]
    assert forwarding.format("") in ssh["args"]
    for option in re.findall(r"-o (\w+=\w+)", unit):
        assert f"-o{option}" in ssh["args"]


def test_what_the_logs_say_is_what_the_page_explains() -> None:
    sources = "".join(
        path.read_text().replace("`", "")
        for path in (ROOT / "relay/farlab_relay").glob("tunnel_*.py")
    )
    table = EDGE.split("| the hub's log says |")[1].split("## In the cluster")[0]
    words = re.findall(r"^\| (?:the agent's log: )?`(.*?)` \|", table, re.MULTILINE)
    assert len(words) == 4
    for word in words:
        assert word in sources, word
