"""docs/identity.md says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from farlab_hub.errors import CannotCheckError, NotLinkedError
from farlab_hub.identity import alise, audit, mapping
from farlab_hub.identity.audit import Audit
from farlab_hub.identity.person import Person
from farlab_sites.entitlements import fulfilled
from farlab_sites.identity import Accounts

PAGE = (Path(__file__).parents[2] / "docs/identity.md").read_text()
BLOCKS = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_are_valid(block):
    Accounts.model_validate(yaml.safe_load(block)["accounts"])


def test_there_is_an_example_of_each_way():
    shown = {way for block in BLOCKS for way in yaml.safe_load(block)["accounts"]}
    assert shown == set(Accounts.model_fields)


def test_the_table_of_entitlements_is_true():
    one, roles, below = re.findall(r"\| `(urn:[^`]+)` \|", PAGE)
    admin, sub = one.replace("member", "admin"), one.replace(":role", ":sub:role")
    assert [fulfilled(one, [each]) for each in (one, admin, sub)] == [True, False, False]
    assert [fulfilled(roles, [each]) for each in (one, admin, sub)] == [True, True, False]
    assert [fulfilled(below, [each]) for each in (one, admin, sub)] == [True, True, True]


def test_the_codes_are_the_services():
    for error in (NotLinkedError, CannotCheckError):
        assert f"| `{error.code}` | {error.status} |" in PAGE


def test_the_times_are_the_services():
    assert mapping.LINKED == 300
    assert "five minutes ago" in PAGE
    assert f"{mapping.NOT_LINKED:.0f} seconds ago" in PAGE
    assert f"slow ({alise.TIME_LIMIT:.0f} seconds)" in PAGE


def test_the_line_of_the_record_is_one(tmp_path):
    [line] = re.findall(r"(?s)```json\n(.*?)```", PAGE)
    shown = json.loads(line)
    written = Audit(tmp_path / "accounts.audit.jsonl")
    who = Person(shown["user"], (), shown["issuer"], shown["subject"])
    facts = {key: shown[key] for key in ("account", "rule", "outcome", "detail", "purpose")}
    written.decided(who, shown["site"], **facts)
    written.close()
    found = json.loads((tmp_path / "accounts.audit.jsonl").read_text())
    assert found | {"time": shown["time"]} == shown
    assert f"{audit.KEPT + 1} files" in PAGE.replace("ten files", "10 files")
