"""plugin.yaml: what is wrong is named with the file, the field and what to do."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from farlab_sites.plugin.config import ConfigError, is_local, load, parse


def test_defaults() -> None:
    settings = parse("driver: {local: }")
    assert settings.listen == "127.0.0.1:4000"
    assert settings.folder == Path("/var/spool/farlab")
    assert settings.runtime == "none"
    assert settings.driver.local is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no fields"),
        ("a: [", "not YAML"),
        ("- 1", "holds no fields"),
        ("&a [*a]", "holds no fields"),
        ("listen: 127.0.0.1:4000", "driver: Field required"),
        ("driver: {}", "driver: name exactly one driver"),
        ("driver: {local: {}, slurm: {}}", "driver: name exactly one driver"),
        ("driver: {local: {cpu: 3}}", "driver.local.cpu: there is no such field"),
        ("driver: {local: {cpus: 0}}", "driver.local.cpus: "),
        ("driver: {slurm: {query: 1}}", "driver.slurm.query: there is no such field"),
        ("driver: {local: {}}\nlisten: 0.0.0.0:4000", "name a `token_file`"),
        ("driver: {local: {}}\nlisten: '[::]:4000'", "name a `token_file`"),
        ("driver: {local: {}}\nlisten: example.org:4000", "name a `token_file`"),
        ("driver: {local: {}}\nlisten: '4000'", "listen: write it as host:port"),
        ("driver: {local: {}}\nlisten: unix://x.sock", "unix:///absolute/path"),
        ("driver: {local: {}}\nfolder: spool", "folder: must be an absolute path"),
        ("driver: {local: {}}\nruntime: docker", "runtime: "),
        ("driver: {local: {}}\ntoken: x", "token: there is no such field"),
        ("driver: {local: {}}\naccounts: {allow: ['(']}", "accounts.allow: '(' is not a regular"),
        ("driver: {local: {}}\ngateway: {listen: 127.0.0.1:1, relay: 'http://x'}", "as ws://"),
        ("driver: {local: {}}\ngateway: {listen: 127.0.0.1:1, relay: 'ws://'}", "as ws://"),
        ("driver: {local: {}}\ngateway: {listen: 127.0.0.1:1, relay: 'ws://x:y'}", "gateway.relay"),
        ("driver: {local: {}}\ngateway: {listen: unix:///x, relay: 'ws://x'}", "write host:port"),
        ("driver: {local: {}}\ngateway: {listen: '127.0.0.1:1'}", "name a `token_file`"),
        ("driver: {local: {}}\ngateway: {listen: '127.0.0.1:1', relay: }", "or remove the key"),
        ("driver: &a {local: *a}", "plugin.yaml: "),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith("plugin.yaml: ")


def test_a_gateway_that_waits_for_the_hub() -> None:
    gateway = "driver: {local: {}}\ngateway: {listen: '10.0.0.1:4001'}\n"
    for guarded in ("token_file: /etc/farlab/token", "listen: unix:///run/farlab.sock"):
        settings = parse(gateway + guarded)
        assert settings.gateway is not None
        assert settings.gateway.relay is None


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("driver: {}\nfolder: x\nruntime: y")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:///x", True),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example.org:1", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_files_that_cannot_be_read(home: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(home / "none.yaml")
    (home / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(home / "binary")
    (home / "large").write_bytes(b" " * (2 << 20))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load(home / "large")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("listen: 10.0.0.1:4000", "name a `token_file`"),
        ("token_file: {home}/empty", "is empty or cannot be read"),
        ("token_file: {home}/none", "is empty or cannot be read"),
        ("python: /no/python3", "name a Python of this machine"),
        ("folder: /proc/farlab", "/proc/farlab cannot be used"),
        ("listen: unix://{home}/none/x.sock", "cannot be opened"),
        ("listen: 127.0.0.1:{port}", "is another plugin running?"),
    ],
)
def test_the_program_says_what_is_wrong_and_ends(home: Path, more: str, words: str) -> None:
    (home / "empty").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = more.format(home=home, port=taken.getsockname()[1])
        folder = "" if "folder" in text else f"folder: {home}/spool\n"
        (home / "plugin.yaml").write_text(f"driver: {{local: {{}}}}\n{folder}{text}\n")
        farlab = Path(sys.executable).with_name("farlab")
        done = subprocess.run(
            [str(farlab), "plugin", "--config", f"{home}/plugin.yaml"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
