"""AARC entitlements: read as the guidelines say, and fulfilled by themselves alone."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from farlab_real.alise import VENV
from farlab_sites.entitlements import (
    LONGEST,
    Entitlement,
    EntitlementError,
    fulfilled,
    is_member,
)
from hypothesis import given, settings
from hypothesis import strategies as st

EGI = "urn:mace:egi.eu:group:dev.intertwin.eu:role=member#aai.egi.eu"
WORD = st.text("abcXYZ019.-_", min_size=1, max_size=8).filter(
    lambda word: word not in ("group",) and word[0] not in "-."
)


@st.composite
def entitlements(draw: st.DrawFn) -> str:
    """Draw an entitlement with few words, so that pairs are often nearly equal."""
    few = st.sampled_from(["vo", "a", "b"]) | WORD
    space = draw(st.lists(few, min_size=1, max_size=2))
    path = draw(st.lists(few, min_size=1, max_size=3))
    role = draw(st.none() | st.sampled_from(["member", "admin"]) | WORD)
    authority = draw(st.none() | st.sampled_from(["aai.egi.eu", "evil.org"]) | WORD)
    text = f"urn:mace:{':'.join(space)}:group:{':'.join(path)}"
    text += f":role={role}" if role else ""
    return text + (f"#{authority}" if authority else "")


def test_an_entitlement_has_its_parts():
    read = Entitlement.parse(EGI)
    assert read.namespace == ("mace", "egi.eu")
    assert read.path == ("dev.intertwin.eu",)
    assert (read.role, read.authority) == ("member", "aai.egi.eu")
    read = Entitlement.parse("URN:Mace:egi.eu:group:vo:sub%3Aone:two#https://aai.egi.eu/x")
    assert (read.namespace[0], read.path) == ("mace", ("vo", "sub:one", "two"))
    assert (read.role, read.authority) == (None, "https://aai.egi.eu/x")
    # The first `group` begins the path: who names a subgroup `group` gets no other namespace.
    assert Entitlement.parse("urn:mace:x:group:mine:group:vo").path == ("mine", "group", "vo")


@pytest.mark.parametrize(
    "text",
    [
        "", "member", "urn:mace:egi.eu:res:gocdb", "urn:mace:egi.eu:group:", "urn:group:vo",
        "urn:mace:egi.eu:group:vo#", "urn:mace:egi.eu:group:vo#a#b", "urn:mace:egi.eu:group::vo",
        "urn:mace:egi.eu:group:vo:role=", "urn:mace:egi.eu:group:vo:role=a:sub",
        f"{EGI}\n", f" {EGI}", f"{EGI},{EGI}", "urn:mace:egi.eu:group:vo%zz",
        "urn:mace:egi.eu:group:vo%0A", "urn:mace:egi.eu:group:v%FF", "urn:mace:a:group:v\u0430",
        "urn:mace:egi.eu:group:role=member", f"urn:mace:egi.eu:group:{'v' * LONGEST}",
        "urn:mace:egi.eu:group:vo%3Arole=member:role=x:y",
    ],
)  # fmt: skip
def test_what_is_malformed_is_fulfilled_by_nothing_and_fulfils_nothing(text):
    with pytest.raises(EntitlementError):
        Entitlement.parse(text)
    assert not fulfilled(text, [text, EGI])
    assert not fulfilled(EGI, [text])


@pytest.mark.parametrize(
    "forged",
    [
        EGI.replace("#aai.egi.eu", "#evil.org"),
        EGI.replace("#aai.egi.eu", "#aai.egi.eu.evil.org"),
        EGI.replace("#aai.egi.eu", ""),
        EGI.replace("mace:egi.eu", "mace:evil.org"),
        EGI.replace("mace:egi.eu", "mace:egi.eu:evil"),
        EGI.replace("mace", "geant"),
        EGI.replace("dev.intertwin.eu", "dev.intertwin.eu:sub"),
        EGI.replace("dev.intertwin.eu", "sub:dev.intertwin.eu"),
        EGI.replace("dev.intertwin.eu", "evil:group:dev.intertwin.eu"),
        EGI.replace("dev.intertwin.eu", "Dev.intertwin.eu"),
        EGI.replace("member", "admin"),
        EGI.replace(":role=member", ""),
        EGI.replace(":role=member", "%3Arole=member"),
        EGI.replace("dev.intertwin.eu:", "dev.intertwin.eu%3A"),
        "dev.intertwin.eu",
    ],
)
def test_nothing_that_resembles_an_entitlement_fulfils_it(forged):
    assert fulfilled(EGI, [EGI])
    assert not fulfilled(EGI, [forged])
    assert not is_member(EGI, {EGI, "dev.intertwin.eu"}, [forged])


def test_a_group_of_the_hub_is_no_entitlement():
    assert is_member("dev.intertwin.eu", ["dev.intertwin.eu"], [])
    assert not is_member("dev.intertwin.eu", [], [EGI])


def test_the_catalogue_may_ask_for_any_role_and_for_everything_below():
    group = "urn:mace:egi.eu:group:vo"
    for role in ("", ":role=member", ":role=admin"):
        assert fulfilled(f"{group}:role=*#a", [f"{group}{role}#a"])
        assert not fulfilled(f"{group}:role=*#a", [f"{group}:sub{role}#a"])
    for below in ("", ":sub", ":sub:more"):
        assert fulfilled(f"{group}:*#a", [f"{group}{below}#a"])
        assert not fulfilled(f"{group}:*#a", [f"{group}{below}:role=member#a"])
        assert fulfilled(f"{group}:*:role=*#a", [f"{group}{below}:role=member#a"])
    assert not fulfilled(f"{group}:*#a", ["urn:mace:egi.eu:group:vo2#a"])
    # Stars in what a user has are plain characters.
    assert not fulfilled(f"{group}:role=admin#a", [f"{group}:role=*#a"])
    assert not fulfilled(f"{group}:sub#a", [f"{group}:*#a"])


@given(entitlements(), entitlements())
def test_only_itself_fulfils_an_entitlement(one, other):
    assert fulfilled(one, [one])
    assert fulfilled(one, [other]) == (Entitlement.parse(one) == Entitlement.parse(other))
    if one.lower() != other.lower():
        assert not fulfilled(one, [other])


@given(st.text(max_size=200) | entitlements().flatmap(lambda text: st.text().map(text.__add__)))
def test_any_text_is_read_or_refused(text):
    try:
        read = Entitlement.parse(text)
    except EntitlementError:
        return
    assert read.fulfils(read)
    assert all(part.isprintable() for part in (*read.namespace, *read.path))


def test_a_long_text_costs_little():
    started = time.process_time()
    for part in ("group:", "a:", ":role=", "group:a:role=b:", "%41"):
        fulfilled("urn:a:" + part * 400 + "^", [("urn:a:" + part * 400)[: LONGEST - 1] + "^"])
    assert time.process_time() - started < 30


READ = """
import json, sys
from aarc_entitlement import G069
for line in sys.stdin:
    e = G069(json.loads(line))
    space = [e.namespace_id, e.delegated_namespace, *e.subnamespaces]
    print(json.dumps([space, [e.group, *e.subgroups], e.role, e.group_authority]))
"""


def test_entitlements_are_read_as_the_usual_library_reads_them():
    texts: list[str] = [EGI]

    @settings(max_examples=200, database=None)
    @given(entitlements())
    def draw(text: str) -> None:
        texts.append(text)

    draw()
    lines = "\n".join(map(json.dumps, texts))
    python = str(VENV / "bin/python")
    done = subprocess.run(
        [python, "-c", READ], input=lines, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for text, line in zip(texts, done.stdout.splitlines(), strict=True):
        read = Entitlement.parse(text)
        mine = [[*read.namespace], [*read.path], read.role, read.authority]
        assert mine == json.loads(line), text
