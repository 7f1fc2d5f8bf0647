"""Logins that lie in a file of the user's."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from farlab_server_ext.datalake.identities import Typed, read_login
from farlab_server_ext.datalake.registry import Lakes
from farlab_server_ext.datalake.tokens import FileTokens
from farlab_sites.lakes import Lake, environment_of

LOGIN = {"username": "ada", "password": "her password"}


def written(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


def test_only_a_file_of_ones_own_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = written(tmp_path / "a.json", json.dumps(LOGIN))
    assert read_login(file) == Typed("ada", "her password")
    for mode in (0o640, 0o604, 0o660):
        file.chmod(mode)
        assert read_login(file) is None
    assert "chmod 600" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", '"x"', '{"username": "ada"}', "\0", "null"])
def test_nonsense_is_no_login(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    assert read_login(written(tmp_path / "a.json", text)) is None
    assert "holds no login" in caplog.text


def test_a_server_is_logged_in_where_there_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path / "one.json", json.dumps(LOGIN))
    described = []
    for name in ("one", "two"):
        typed = {"userpass": {"file": f"~/{name}.json"}}
        rucio = {"url": "http://127.0.0.1:1", "identity": typed}
        described.append(Lake(name=name, title=name, rucio=rucio))  # type: ignore[arg-type]
    told = json.loads(environment_of(None, described)["FARLAB_DATALAKE"])
    lakes = Lakes(told["lakes"], None, FileTokens(None))
    assert [(one["logged_in"], one["user"]) for one in lakes.listed()] == [
        (True, "ada"),
        (False, None),
    ]
    assert "her password" not in caplog.text


async def test_who_logs_out_is_logged_out(tmp_path: Path) -> None:
    file = written(tmp_path / "a.json", json.dumps(LOGIN))
    settings = {"url": "http://127.0.0.1:1", "identity": {"userpass": {"file": str(file)}}}
    lakes = Lakes([{"name": "one", "title": "One", "rucio": settings}], None, FileTokens(None))
    await lakes.log_out("one")
    assert not lakes.listed()[0]["logged_in"]
    assert file.exists()
