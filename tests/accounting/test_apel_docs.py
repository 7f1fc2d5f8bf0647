"""docs/apel.md says what is so: its files are read, and its commands run, on a machine like its."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from farlab_hub.account_cli import main
from farlab_hub.probe.config import ProbeConfig
from farlab_real.apel_parts import ledger, messages_in, usage
from farlab_real.apel_reader import read
from farlab_real.prometheus import RunningPrometheus
from farlab_sites.catalogue import Catalogue
from farlab_sites.loader import load_catalogue, load_file
from farlab_sites.publishing import Target

PAGE = (Path(__file__).parents[2] / "docs/apel.md").read_text()
CATALOGUE, PROBE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line.strip() for line in re.findall(r"^    farlab account .*$", PAGE, re.MULTILINE)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the page's paths lie."""
    monkeypatch.chdir(tmp_path)
    Path("sites.yaml").write_text(CATALOGUE.replace("/var/", f"{tmp_path}/var/"))
    return tmp_path


def run(machine: Path, command: str) -> int:
    argv = shlex.split(command.replace("/var/", f"{machine}/var/"))
    assert argv[:2] == ["farlab", "account"]
    return main(argv[2:])


def test_the_page_has_a_command_of_each_kind() -> None:
    assert {command.split()[2] for command in COMMANDS} == {"publish", "check", "probe"}


def test_the_pages_catalogue_is_published_checked_and_sent_again(machine: Path) -> None:
    assert [target.name for target in load_catalogue("sites.yaml").publishing] == ["egi", "batch"]
    for folder in ("lib/farlab", "spool/apel"):
        (machine / "var" / folder).mkdir(parents=True)
    ledger(machine / "var/lib/farlab", [usage(vo="", groups=())])
    publish = [command for command in COMMANDS if " publish " in command]
    for command in publish:  # the messaging service of the page is not here
        assert run(machine, f"{command} --target egi --month 2026-10") == 0
    messages = messages_in(machine / "var/spool/apel/cloud")
    assert len(messages) == 2  # once, and again
    assert read(messages[0])[0]["FQAN"][0] == "vo.example.org"
    [check] = [command for command in COMMANDS if " check " in command]
    assert run(machine, check) == 0


def test_the_pages_probe_runs(machine: Path) -> None:
    settings = yaml.safe_load(PROBE)
    with RunningPrometheus(machine / "prometheus") as server:
        settings["prometheus"] = {"url": server.url}
        settings["outputs"][0]["folder"] = str(machine / "queue")
        Path("probe.yaml").write_text(yaml.safe_dump(settings))
        [probe] = [command for command in COMMANDS if " probe " in command]
        assert run(machine, probe) == 0
    Path("probe.yaml").write_text(PROBE)
    assert load_file("probe.yaml", ProbeConfig).outputs[0].name == "egi"


def test_the_page_names_every_key_of_a_target() -> None:
    for key in set(Target.model_fields) - {"name"}:
        assert f"`{key}`" in PAGE
    assert "publishing" in Catalogue.model_fields
