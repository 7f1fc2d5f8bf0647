"""kubelet.yaml: right ones, and the words for wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from farlab_sites.cli import main
from farlab_sites.kubelet.config import Settings
from farlab_sites.loader import load_file

EXAMPLE = Path(__file__).parents[2] / "docs/examples/kubelet.yaml"
SMALL = 'node: vega-vk\nbackend: {plugin: {url: "http://127.0.0.1:4000"}}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kubelet.yaml"


def test_the_smallest(file: Path) -> None:
    file.write_text(SMALL)
    settings = load_file(file, Settings)
    assert settings.node == "vega-vk"
    assert settings.backend.kind == "plugin"
    assert settings.kubeconfig is None
    assert settings.capacity == {"cpu": "100", "memory": "256Gi", "pods": "2000"}


def test_the_example_shows_every_key() -> None:
    text = EXAMPLE.read_text()
    load_file(EXAMPLE, Settings)
    shown = {line.split(":")[0].strip("# ") for line in text.splitlines() if ":" in line}
    assert set(Settings.model_fields) <= shown


def test_capacities_that_are_not_named_stay(file: Path) -> None:
    file.write_text(SMALL + 'capacity: {cpu: "8", "quantum.example/qpu": "1"}\n')
    assert load_file(file, Settings).capacity == {
        "cpu": "8",
        "memory": "256Gi",
        "pods": "2000",
        "quantum.example/qpu": "1",
    }


def test_relative_paths_start_at_the_files_folder(file: Path) -> None:
    file.write_text(SMALL + "kubeconfig: here/config\n")
    assert load_file(file, Settings).kubeconfig == file.parent / "here/config"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("vega-vk", "Vega VK", "node: has characters that are not allowed"),
        ("plugin:", "pluginn:", 'backend.pluginn: is not a known key; did you mean "plugin"?'),
        ("http:", "ftp:", "backend.plugin.url: is not a URL of the kind"),
        ("http://127", "http://me:secret@127", "holds a user, a query or a fragment"),
        (
            '{plugin: {url: "http://127.0.0.1:4000"}}',
            "{}",
            'backend: must name exactly one; write "plugin:" or "interlink:"',
        ),
        ("4000", '4000", tls: {ca_file: ca.pem}, token_file: "x', "has tls for a URL without it"),
        ("node:", "serving: {listen: 10250}\nnode:", "serving.listen: must be text"),
        ("node:", 'serving: {listen: "10250"}\nnode:', "serving.listen: is not host:port"),
        ("node:", "serving: {address: here}\nnode:", "serving.address: is not an IP address"),
        ("node:", "serving: {cert_file: a}\nnode:", "serving: has half of a certificate"),
        ("node:", "status_interval: 0\nnode:", "status_interval: must be at least 0.1"),
        ("node:", 'capacity: {cpu: "many"}\nnode:', 'capacity.cpu: "many" is not a quantity'),
        ("node:", "labels: {a b: c}\nnode:", "labels.a b: is not a label of Kubernetes"),
    ],
)
def test_mistakes_are_named(
    file: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: str
) -> None:
    file.write_text(SMALL.replace(old, new, 1))
    assert main(["kubelet", "--config", str(file), "--check"]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert str(file) in error


def test_check_says_ok(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SMALL)
    assert main(["kubelet", "--config", str(file), "--check"]) == 0
    assert capsys.readouterr().out == f"{file}: node vega-vk: ok\n"


@pytest.mark.parametrize("content", ["", "[]", "node: [", "&a [*a]"])
def test_what_is_no_such_file_is_said(
    file: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file.write_text(content)
    assert main(["kubelet", "--config", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_a_kubeconfig_that_is_none(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SMALL + "kubeconfig: nowhere\n")
    assert main(["kubelet", "--config", str(file)]) == 1
    assert "nowhere can't be used" in capsys.readouterr().err
