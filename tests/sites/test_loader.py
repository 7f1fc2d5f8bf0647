"""Each thing that can be wrong with sites.yaml: the line, the field, the message, the fix."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from farlab_sites.catalogue import Catalogue
from farlab_sites.loader import load_catalogue
from farlab_sites.problems import CatalogueError, Problem

Load = Callable[[str | bytes], Catalogue]
Problems = Callable[[str | bytes], list[Problem]]

MISTAKES = [
    # what is replaced, by what, line, field, part of the message, part of the fix
    ("name: here", "nam: here", 2, "sites[0].name", "is missing", 'add "name:"'),
    ("    title: Right", "    titel: Right", 3, "sites[0].titel", "known key", '"title"?'),
    ("cloud", "clowd", 4, "sites[0].kind", '"clowd" is not known', 'did you mean "cloud"?'),
    ("cloud", "[cloud]", 4, "sites[0].kind", "is not known", "cloud, hpc, htc, quantum"),
    ("Right here", "42", 3, "sites[0].title", "must be text, not a number", '"42"'),
    ("Right here", "true", 3, "sites[0].title", "must be text, not true or false", '"true"'),
    ("Right here", "", 3, "sites[0].title", "has no value", "remove the key"),
    ("Right here", '""', 3, "sites[0].title", "must not be empty", "correct it"),
    ("Right here", "x" * 101, 3, "sites[0].title", "longer than 100", "correct it"),
    ("Right here", '"a\\nb"', 3, "sites[0].title", "line break", "one line"),
    ("here\n", "He_re\n", 2, "sites[0].name", "not allowed", "lower-case"),
    ("here\n", "he--re\n", 2, "sites[0].name", "not allowed", "single hyphens"),
    ("here\n", "-here\n", 2, "sites[0].name", "not allowed", "hyphens"),
    ("cpu: 1", "cpu: 0", 10, "sites[0].profiles[0].sizes[0].cpu", "more than 0", "CPU cores"),
    ("cpu: 1", 'cpu: "1"', 10, "sites[0].profiles[0].sizes[0].cpu", "must be a number", "CPU"),
    ("cpu: 1", "cpu: .inf", 10, "sites[0].profiles[0].sizes[0].cpu", "number", "CPU"),
    ("1Gi", "1 gigabyte", 10, "sites[0].profiles[0].sizes[0].memory", "not an amount", "64Gi"),
    ("1Gi", "64", 10, "sites[0].profiles[0].sizes[0].memory", "unit missing", '"64Gi"'),
    ("1Gi", "true", 10, "sites[0].profiles[0].sizes[0].memory", "not an amount", "64Gi"),
    ("1Gi", "[1]", 10, "sites[0].profiles[0].sizes[0].memory", "not an amount", "64Gi"),
    ("/opt/env", "jupyter/lab:1", 12, "sites[0].profiles[0].images[0].image", "none", "absolute"),
    ("/opt/env", "/opt/../etc", 12, "sites[0].profiles[0].images[0].image", "none", "absolute"),
    ("/opt/env", "/opt/$(id)", 12, "sites[0].profiles[0].images[0].image", "none", "absolute"),
    ("profiles:", "profiles: []\n    x:", 6, "sites[0].profiles", "not be empty", "user picks"),
    ("sites:", "sites: here\nx:", 1, "sites", "must be a list, not text", "give a list"),
    ("sites:", "sits:", 1, "sits", "known key", 'did you mean "sites"?'),
    ('url: "http', 'url: "ftp', 5, "sites[0].carrier.direct.url", "not a URL", "http://"),
    ("127.0.0.1", "[", 5, "sites[0].carrier.direct.url", "not a URL", "http://"),
    ("127.0.0.1:4000", "a:b@h", 5, "sites[0].carrier.direct.url", "user", "files"),
    (":4000", ":99999", 5, "sites[0].carrier.direct.url", "not a URL", "http://"),
    ("127.0.0.1", "edge.example", 5, "sites[0].carrier.direct.url", "no token", "token_file"),
    ("{direct: ", "{direkt: ", 5, "sites[0].carrier.direkt", "known key", '"direct"?'),
    ('{direct: {url: "http://127.0.0.1:4000"}}', "{}", 5, "sites[0].carrier", "one of", "direct"),
    ("kind:", "kind: hpc\n    kind:", 5, "sites[0].kind", "is there twice", "line 4"),
    ("kind:", "1: 2\n    kind:", 4, "sites[0]", "key that is not text", "quotes"),
    ("kind:", "? [a]\n    : 1\n    kind:", 4, "sites[0]", "key that is not text", "quotes"),
    ("kind: cloud", "kind: !!python/name:os.system x", 4, "sites[0].kind", "tag", "remove"),
    ("kind: cloud", "kind: !!int x", 4, "sites[0].kind", "!!int", "correct"),
    ("kind: cloud", "kind: !!bool x", 4, "sites[0].kind", "!!bool", "correct"),
    ("kind: cloud", "kind: !!set {cloud}", 4, "sites[0].kind", "tag", "remove"),
    ("    kind:", "\tkind:", 4, "", "tab", "indent with spaces"),
    ("kind: cloud", "kind: cloud: x", 4, "", "not YAML", "indentation"),
    ("kind: cloud", "kind: 'cloud", 13, "", "not YAML", "quotes"),
    ("kind: cloud", "kind: *nothing", 4, "", "undefined alias", "line"),
    ("kind: cloud", "kind: \x07", 4, "", "control character", "remove"),
    ("kind: cloud", "kind: cloud\n---\nx: 1", 5, "", "not YAML", ""),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m[0]} to {m[1]}"[:50])
def test_a_mistake_is_named(
    problems: Problems, small: str, mistake: tuple[str, str, int, str, str, str]
) -> None:
    old, new, line, field, message, fix = mistake
    assert small.count(old) >= 1
    found = problems(small.replace(old, new, 1))
    matching = [p for p in found if p.line == line and p.field == field]
    assert matching, found
    assert message in matching[0].message
    assert fix in matching[0].fix


ADDED = [
    # lines added to the site, field below it, part of the message, part of the fix
    ("groups: []", "groups", "must not be empty", "absent: everyone"),
    ("groups:", "groups", "has no value", "remove the key"),
    ("environment: {A: }", "environment.A", "must be text, not empty", "give text"),
    ("groups: [1]", "groups[0]", "must be text", '"1"'),
    ("walltime: 8:00", "walltime", "is not a walltime", "480"),
    ("walltime: 9999-00:00:00", "walltime", "is not a walltime", "480"),
    ("walltime: 367-00:00:00", "walltime", "366 days", "480"),
    ("walltime: 0", "walltime", "one minute", "480"),
    ("walltime: true", "walltime", "is not a walltime", "480"),
    ("runtime: docker", "runtime", "is not known", "none, apptainer, podman"),
    ("environment: {A: 8}", "environment.A", "must be text", '"8"'),
    ("environment: {A-B: x}", "environment.A-B", "not a variable's name", "letters"),
    ("environment: {FARLAB_SITE: x}", "environment.FARLAB_SITE", "itself", "remove"),
    ("environment: {JUPYTERHUB_API_URL: x}", "environment.JUPYTERHUB_API_URL", "hub", "remove"),
    ('environment: {A: "x\\0y"}', "environment.A", "control character", "remove"),
    ("environment: [A]", "environment", "mapping of keys", "variables"),
    ("accounts: {}", "accounts", "exactly one of file and alise and claim and vo", "file"),
    (
        "accounts: {alise: {url: 'http://a', site: v}}",
        "accounts.alise.key_file",
        "is missing",
        "API key",
    ),
    ("accounts: {claim: {claim: upn}}", "accounts.claim.claim", "is not a known key", "name"),
    ("accounts: {claim: {issuer: x}}", "accounts.claim.issuer", "is not a URL", "https://"),
    ("accounts: {vo: {'urn:x': y}}", "accounts.vo.urn:x", "is no AARC", "urn:mace:egi.eu"),
    ("groups: ['urn:a:b:res:c']", "groups[0]", "is no AARC entitlement", "or name a group"),
    ("accounts: {file: a.csv, vo: {x: y}}", "accounts", "exactly one of", "file"),
    ("accounts: {vo: {g: root}}", "accounts.vo.g", "not allowed", "root is not"),
    ("accounts: {vo: {g: 'a;b'}}", "accounts.vo.g", "not allowed", "id -un"),
    ("accounts: {vo: {}}", "accounts.vo", "must not be empty", "group"),
    ("accounts: {file: 3}", "accounts.file", "must be a path", "CSV"),
    ("relay: {way: gateway}", "relay.url", "is missing for the way gateway", "ws://"),
    ("relay: {way: vpn}", "relay.way", "is not known", "direct, gateway, tunnelled"),
    ("relay: {url: http://x}", "relay.url", "not a URL", "ws://"),
    ("relay: {way: tunnelled}", "relay.url", "is missing for the way tunnelled", "ws://"),
    (
        "relay: {way: gateway, url: 'ws://x', plugin: {url: 'unix:///p'}}",
        "relay.plugin",
        "is not dialled in the way gateway",
        "remove it",
    ),
    (
        "relay: {way: tunnelled, url: 'ws://x', plugin: {url: 'unix:///p'}}",
        "relay.plugin",
        "named by the carrier already",
        "remove it here",
    ),
    (
        "relay: {way: tunnelled, url: 'ws://x', plugin: {url: 'http://edge:1'}}",
        "relay.plugin.url",
        "no token",
        "token_file",
    ),
    ("carriers: {}", "carriers", "known key", '"carrier"?'),
]


@pytest.mark.parametrize("mistake", ADDED, ids=lambda m: m[0])
def test_a_mistake_in_what_is_optional_is_named(
    problems: Problems, small: str, mistake: tuple[str, str, str, str]
) -> None:
    added, field, message, fix = mistake
    (found,) = problems(small + f"    {added}\n")
    assert (found.line, found.field) == (13, f"sites[0].{field}")
    assert message in found.message
    assert fix in found.fix


PROFILE = [
    ("partitions: [{title: a, gpu_type: a100}]", "partitions[0].gpu_type", "no GPUs", "gpus: 1"),
    ("partitions: [{title: a, gpus: true}]", "partitions[0].gpus", "whole number", "GPUs"),
    ("partitions: [{title: a, gpus: 1.5}]", "partitions[0].gpus", "whole number", "GPUs"),
    ("partitions: [{title: a, gpus: -1}]", "partitions[0].gpus", "at least 0", "GPUs"),
    ("partitions: [{title: a, partition: 'a --x'}]", "partitions[0].partition", "not allowed", ""),
    ("partitions: [{title: a, partition: -x}]", "partitions[0].partition", "not allowed", ""),
    ("partitions: [{title: a}, {title: A}]", "partitions[1].title", "too like", "another"),
    ("partitions: [{title: unlisted choice}]", "partitions[0].title", "too like", "another"),
    ("other_image: {allow: '('}", "other_image.allow", "not a regular expression", "simple"),
    ("other_image: {allow: '(a+)+$'}", "other_image.allow", "for ever", "simple"),
    ("other_image: {allow: ''}", "other_image.allow", "not be empty", "whole image"),
    ("other_image: maybe", "other_image", "mapping of keys", "true, false"),
]


@pytest.mark.parametrize("mistake", PROFILE, ids=lambda m: m[0])
def test_a_mistake_in_a_profile_is_named(
    problems: Problems, small: str, mistake: tuple[str, str, str, str]
) -> None:
    added, field, message, fix = mistake
    (found,) = problems(small + f"        {added}\n")
    assert (found.line, found.field) == (13, f"sites[0].profiles[0].{field}")
    assert message in found.message
    assert fix in found.fix


def test_every_mistake_is_named_at_once_in_the_order_of_lines(
    problems: Problems, small: str
) -> None:
    wrong = small.replace("cpu: 1", "cpu: x").replace("Right here", "7").replace("cloud", "sky")
    assert [problem.line for problem in problems(wrong)] == [3, 4, 10]


def test_duplicate_names_are_refused(problems: Problems, small: str) -> None:
    site = small.removeprefix("sites:\n")
    (found,) = problems(small + site)
    assert (found.line, found.field) == (13, "sites[1].name")
    assert '"here" is there twice' in found.message
    profile = site[site.index("      - name: lab") :]
    (found,) = problems(small + profile)
    assert (found.line, found.field) == (13, "sites[0].profiles[1].name")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"- name: here\n", "is not a mapping"),
        (b"just text\n", "is not a mapping"),
        (b"sites: [\xff\xfe]\n", "is not UTF-8"),
        ("sites: []".encode("utf-16"), "is not UTF-8"),
        (b"a: &a [*a]\n", "refers to itself"),
        (b"a: &a {b: &b [*a, *b]}\n", "refers to itself"),
        (b"a: " + b"[" * 5000, "nested too deeply"),
        (b"a: " + b"{b: " * 5000, "nested too deeply"),
        (b"#" * 10 * 2**20, "larger than 1 MiB"),
        (b"a: " + b"9" * 9000, "is not of the kind !!int"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_what_is_no_catalogue_at_all_is_refused(
    problems: Problems, content: bytes, message: str
) -> None:
    (found,) = problems(content)
    assert message in found.message
    assert found.fix


def test_billion_laughs_end_early(problems: Problems) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (found,) = problems("\n".join(lines))
    assert "more than 50000 values" in found.message


def test_many_sites_in_one_file_load(load: Load, small: str) -> None:
    site = small.removeprefix("sites:\n")
    many = "sites:\n" + "".join(site.replace("here", f"s{n}", 1) for n in range(300))
    assert len(load(many).sites) == 300


@pytest.mark.parametrize("path", ["absent.yaml", ".", "\0", "/dev/zero", "x" * 5000])
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(path)
    assert caught.value.problems[0].line == 0
    assert "check its name" in str(caught.value) or "name the YAML file" in str(caught.value)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CatalogueError, match="not a regular file"):
        load_catalogue(tmp_path / "pipe")


def test_plain_words_are_texts_as_in_yaml_1_2(load: Load, small: str) -> None:
    text = small.replace("Right here", "no") + "    walltime: 8:00:00\n"
    site = load(text).sites[0]
    assert site.title == "no"
    assert site.walltime == 8 * 3600


def test_relative_files_start_at_the_catalogue(load: Load, small: str, tmp_path: Path) -> None:
    text = small.replace("4000", "4000, token_file: t") + "    accounts: {file: a/b.csv}\n"
    text = text.replace('"http://127.0.0.1:4000, token_file: t"', "http://127.0.0.1, token_file: t")
    site = load(text).sites[0]
    assert site.accounts is not None
    assert site.accounts.file == tmp_path / "a/b.csv"
    assert site.carrier.direct is not None
    assert site.carrier.direct.token_file == tmp_path / "t"


def test_every_carrier_and_relay_is_understood(load: Load, small: str) -> None:
    direct = '{direct: {url: "http://127.0.0.1:4000"}}'
    text = small.replace(direct, "{kubernetes: {node: vega-vk.example}}")
    plugin = "plugin: {url: unix:///run/farlab/vega.sock}"
    relay = f"    relay: {{way: tunnelled, url: wss://edge.example/farlab, {plugin}}}\n"
    site = load(text + relay).sites[0]
    assert site.tunnel is not None
    assert site.tunnel.url == "unix:///run/farlab/vega.sock"
    assert site.carrier.kubernetes is not None
    assert site.carrier.kubernetes.node == "vega-vk.example"
    assert site.relay.way == "tunnelled"
    socket = small.replace("http://127.0.0.1:4000", "unix:///run/farlab/plugin.sock")
    assert load(socket).sites[0].relay.way == "direct"
    assert load(socket).sites[0].tunnel is None


def test_a_tunnel_leads_to_the_plugin(load: Load, problems: Problems, small: str) -> None:
    relay = "    relay: {way: tunnelled, url: ws://edge:4001}\n"
    site = load(small + relay).sites[0]
    assert site.tunnel is not None
    assert site.tunnel == site.carrier.direct
    direct = '{direct: {url: "http://127.0.0.1:4000"}}'
    (problem,) = problems(small.replace(direct, "{kubernetes: {node: vega-vk}}") + relay)
    assert problem.field.endswith("relay.plugin")
    assert "does not name the plugin" in problem.message


def test_a_problem_is_one_line_however_hostile_the_text(problems: Problems, small: str) -> None:
    key = '"' + "\\n\\e[31m" * 500 + '"'
    (found,) = problems(small + f"    {key}: 1\n")
    assert len(str(found)) < 500
    assert str(found).isprintable()
