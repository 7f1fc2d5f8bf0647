"""The `farlab` command and `farlab sites`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
from farlab_sites import cli
from farlab_sites.cli import main
from farlab_sites.schema import schema

EXAMPLE = str(Path(__file__).parents[2] / "docs" / "examples" / "intertwin.yaml")
Captured = pytest.CaptureFixture[str]
Write = Callable[[str | bytes], Path]


def test_check_counts_what_is_there(capsys: Captured, write: Write, small: str) -> None:
    file = write(small)
    assert main(["sites", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 1 site, 1 profile: ok\n"


def test_check_names_file_line_field_and_fix(capsys: Captured, write: Write, small: str) -> None:
    file = write(small.replace("title: Right", "titel: Right"))
    assert main(["sites", "check", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1].startswith(f"{file}:3: sites[0].titel: is not a known key; did you")


def test_many_problems_are_cut(capsys: Captured, write: Write) -> None:
    assert main(["sites", "check", str(write("sites:\n" + "- {}\n" * 100))]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 51
    assert lines[-1] == "... and 450 more problems"


def test_show_prints_the_form_for_groups(capsys: Captured) -> None:
    assert main(["sites", "show", EXAMPLE]) == 0
    everything = capsys.readouterr().out
    for title in ("UKRI Cloud", "Offload to Vega HPC", "Offload to PSNC HPC", "CESGA QMIO"):
        assert f"\n{title}  [" in "\n" + everything
    assert "- gpu, 2 x A100 (ends after 8:00:00)" in everything
    assert main(["sites", "show", EXAMPLE, "--groups", "dev.intertwin.eu"]) == 0
    some = capsys.readouterr().out
    assert "Offload to Vega HPC" in some
    assert "CESGA QMIO" not in some


def test_show_says_when_nothing_is_open(capsys: Captured, write: Write, small: str) -> None:
    file = write(small + "    groups: [others]\n")
    assert main(["sites", "show", str(file), "--groups"]) == 0
    assert capsys.readouterr().out == "No site is open to these groups.\n"


def test_schema_is_json(capsys: Captured) -> None:
    assert main(["sites", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()


def test_an_unknown_command_is_answered_with_the_known_ones(capsys: Captured) -> None:
    assert main(["sits\n"]) == 2
    err = capsys.readouterr().err
    assert err.startswith('farlab: "sits?" is not a command; did you mean "sites"? (known: ')
    assert "hub, kernels, kubelet, plugin, sites" in err


def test_version_and_help(capsys: Captured) -> None:
    for arguments in (["--version"], ["--help"], []):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"farlab {version('farlab')}\nusage: farlab")


@pytest.mark.parametrize(
    "arguments", [["sites"], ["sites", "chek"], ["--no"], ["sites", "check"], ["--", "sites"]]
)
def test_wrong_usage_is_explained(capsys: Captured, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: farlab" in capsys.readouterr().err


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make `farlab test` the only command: what it does is at this entry point."""

    def commands(value: str) -> None:
        entry = EntryPoint("test", value, "farlab.commands")
        monkeypatch.setattr(cli, "entry_points", lambda group: [entry])

    return commands


def test_a_part_that_is_not_installed_says_how_to_get_it(
    capsys: Captured, commands: Callable[[str], None]
) -> None:
    commands("farlab_hub_absent.app:main")
    assert main(["test"]) == 1
    message = "farlab test: farlab_hub_absent is not installed; run: pip install 'farlab[hub]'\n"
    assert capsys.readouterr().err == message


def test_an_interrupt_is_no_traceback(
    commands: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("farlab_sites.sites_cli.main", interrupted)
    commands("farlab_sites.sites_cli:main")
    assert main(["test"]) == 130


def test_a_reader_that_leaves_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from farlab_sites.cli import main; sys.exit(main(['sites', 'schema']))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_only_the_chosen_command_is_imported() -> None:
    code = (
        "import sys; from farlab_sites.cli import main; main(['sites', 'schema']);"
        " sys.exit('farlab_hub' in sys.modules or 'aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
