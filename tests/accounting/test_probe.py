"""The probe, on a real Prometheus: with a history that promtool wrote, and scraping live."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from farlab_hub.account_cli import main
from farlab_real.apel_parts import HOUR, NOVEMBER, OCTOBER, messages_in
from farlab_real.apel_reader import Record, read, row_key
from farlab_real.pod_history import Container, PodLife, add
from farlab_real.processes import wait_until
from farlab_real.prometheus import History, RunningPrometheus

DAY = 24 * HOUR
NOON = OCTOBER + 5 * DAY + 12 * HOUR


def one(cores: float, **more: Any) -> dict[str, Container]:
    return {"notebook": Container(cores, **more)}


PODS = {
    # What KubeSpawner does: one name for all of a user's servers, deleted when they are stopped.
    "first": PodLife("jupyter-alice", NOON, NOON + HOUR, one(2, busy=0.5)),
    "second": PodLife("jupyter-alice", NOON + 2 * HOUR, NOON + 3 * HOUR, one(4, busy=1.5)),
    "third": PodLife("jupyter-alice", NOON + 4 * HOUR, NOON + 4.5 * HOUR, one(1)),
    "long": PodLife("big", NOON, NOON + 10 * HOUR, one(8, busy=6.25)),
    "two": PodLife(
        "two", NOON, NOON + HOUR,
        {"a": Container(2, busy=1.0), "b": Container(1, busy=0.25)}, completed=True,
    ),
    "aside": PodLife(
        "aside", NOON, NOON + HOUR,
        {"main": Container(1), "sidecar": Container(0, busy=0.5)}, completed=True,
    ),
    "half": PodLife("half", NOON, NOON + HOUR, one(0.5, busy=0.1), completed=True),
    "free": PodLife("free", NOON, NOON + HOUR, one(0)),
    "before": PodLife("before", OCTOBER - 10 * HOUR, OCTOBER + HOUR, one(1), completed=True),
    "after": PodLife("after", NOVEMBER - HOUR, NOVEMBER + 2 * HOUR, one(2, busy=0.5)),
    "reset": PodLife(
        "reset", NOON, NOON + 2 * HOUR, one(1, restarts=(NOON + HOUR, NOON + 1.5 * HOUR))
    ),
    "gap": PodLife(
        "gap", NOON, NOON + 3 * HOUR, one(1), gaps=((NOON + HOUR, NOON + 2 * HOUR),)
    ),
    "elsewhere": PodLife("x", NOON, NOON + HOUR, one(1), namespace="kube-system"),
}  # fmt: skip


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPrometheus]:
    history = History()
    for pod in PODS.values():
        add(history, pod)
    with RunningPrometheus(tmp_path_factory.mktemp("prometheus"), history=history) as running:
        yield running


class Probe:
    """A probe with a file, an output and a state folder."""

    def __init__(self, folder: Path, server: RunningPrometheus) -> None:
        self.folder, self.queue = folder, folder / "queue"
        self.config: dict[str, Any] = {
            "prometheus": {"url": server.url},
            "site": "KUBE",
            "namespaces": "hub",
            "vo": "vo.example.org",
            "outputs": [{"name": "out", "folder": str(self.queue), "names": "global"}],
        }

    def run(self, *argv: str, state: str = "state") -> int:
        file = self.folder / "probe.yaml"
        file.write_text(yaml.safe_dump(self.config))
        where = ["--config", str(file), "--state-dir", str(self.folder / state)]
        return main(["probe", *where, *argv])

    def texts(self) -> list[str]:
        return messages_in(self.queue)

    def records(self) -> dict[str, Record]:
        """Return what a database would have of each pod in the end."""
        found = [record for text in self.texts() for record in read(text)]
        return {record["VMUUID"]: record for record in sorted(found, key=lambda r: row_key(r)[1:])}


@pytest.fixture
def probe(tmp_path: Path, prometheus: RunningPrometheus) -> Probe:
    return Probe(tmp_path, prometheus)


MONTHS = ("--month", "2026-10", "--month", "2026-11")
COUNTED = [name for name in PODS if name not in ("free", "elsewhere")]


def test_all_classes_that_probes_lose_are_counted_right(probe: Probe) -> None:
    assert probe.run(*MONTHS) == 0
    records = probe.records()
    assert set(records) == {PODS[name].uid for name in COUNTED}
    for name in COUNTED:
        pod, record = PODS[name], records[PODS[name].uid]
        assert record["Status"] == "completed"
        assert (record["StartTime"], record["EndTime"]) == (pod.start, pod.end)
        assert record["CpuCount"] * record["WallDuration"] == Decimal(pod.core_seconds)
        assert record["MachineName"] == pod.name
        assert record["GlobalUserName"] == "alice"
        counted = [one for one, container in pod.containers.items() if container.cores]
        used = sum(pod.cpu_seconds(one, pod.end) for one in counted)
        slack = sum(61 for one in counted for _ in pod.containers[one].restarts)
        assert used - slack <= record["CpuDuration"] <= used
    truth = sum(Decimal(PODS[name].core_seconds) for name in COUNTED)
    share = sum(one["CpuCount"] * one["WallDuration"] for one in records.values()) / truth
    assert share == 1


def test_a_pod_across_a_months_end_has_a_cumulative_record_in_both(probe: Probe) -> None:
    assert probe.run(*MONTHS) == 0
    uid = PODS["after"].uid
    found = [one for text in probe.texts() for one in read(text) if one["VMUUID"] == uid]
    assert [row_key(one)[1] for one in found] == [10, 11]
    assert [one["Status"] for one in found] == ["started", "completed"]
    assert [one["WallDuration"] for one in found] == [HOUR, 3 * HOUR]
    assert found[0]["CpuDuration"] == pytest.approx(HOUR / 2, abs=31)
    assert found[1]["CpuDuration"] == 1.5 * HOUR


def test_the_same_interval_twice_gives_the_same_bytes(probe: Probe) -> None:
    interval = ("--since", "2026-10-06T13:17:11Z", "--until", "2026-10-06T20:01:07Z")
    assert probe.run(*interval, state="one") == 0
    assert probe.run(*interval, state="two") == 0
    probe.config["chunk"] = "0:20:00"
    assert probe.run(*interval, state="three") == 0
    first, *others = probe.texts()
    assert others == [first, first]
    probe.config["chunk"] = "6:00:00"
    assert probe.run(*interval, state="one") == 0
    assert len(probe.texts()) == 3


def test_intervals_after_one_another_end_with_the_whole(probe: Probe) -> None:
    edges = [f"2026-10-06T{hour:02}:30:00Z" for hour in (11, 13, 15, 18)] + ["2026-10-07T00:00:00Z"]
    for since, until in pairwise(edges):
        assert probe.run("--since", since, "--until", until) == 0
    records = probe.records()
    for name in ("first", "second", "third", "long", "two", "half", "reset", "gap"):
        record = records[PODS[name].uid]
        assert record["CpuCount"] * record["WallDuration"] == Decimal(PODS[name].core_seconds)
        assert record["Status"] == "completed"
    whole = records[PODS["long"].uid]
    assert whole["CpuDuration"] == 6.25 * 10 * HOUR


def test_containers_without_requests_count_when_asked_for(probe: Probe) -> None:
    probe.config["without_requests"] = True
    assert probe.run(*MONTHS) == 0
    records = probe.records()
    assert records[PODS["free"].uid]["CpuCount"] == 0
    assert records[PODS["aside"].uid]["CpuDuration"] == 1.5 * HOUR


def test_without_outputs_nothing_is_read_or_sent(
    probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    probe.config["outputs"] = []
    probe.config["prometheus"]["url"] = "http://127.0.0.1:1"
    assert probe.run(*MONTHS) == 0
    assert "no output is enabled" in capsys.readouterr().out
    assert not (probe.folder / "state").exists()


def test_vos_by_namespace_and_withheld_names(probe: Probe) -> None:
    probe.config |= {"vos": {"hub": "urn:geant:egi.eu:group:other.vo:role=user#aai"}}
    probe.config["outputs"][0]["names"] = "withheld"
    assert probe.run("--month", "2026-10") == 0
    record = probe.records()[PODS["half"].uid]
    assert record["FQAN"] == ("other.vo", "/other.vo", "user")
    assert record["GlobalUserName"] == "withheld"
    assert "alice" not in record["LocalUserId"]


def test_mistakes_are_told(probe: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*argv: str) -> str:
        assert probe.run(*argv) == 1
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        return err

    assert "write it as 2026-10-01T00:00:00Z" in said("--since", "yesterday")
    assert "goes without" in said("--month", "2026-10", "--since", "2026-10-01T00:00:00Z")
    probe.config["namespaces"] = "("
    assert "answered 400" in said(*MONTHS)
    probe.config["namespaces"] = 'a"}'
    assert "write a regular expression without" in said(*MONTHS)
    probe.config["namespaces"] = "hub"
    probe.config["prometheus"] = {"url": "http://127.0.0.1:1"}
    assert "does not answer" in said(*MONTHS)
    probe.config["prometheus"]["token_file"] = str(probe.folder / "none")
    assert "token or ca can't be read" in said(*MONTHS)


class _Exporter(http.server.BaseHTTPRequestHandler):
    """Says what the test has put into `lines`."""

    def do_GET(self) -> None:
        body = "\n".join(self.server.lines).encode() + b"\n"  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _lines(uid: str, start: float, cpu: float) -> list[str]:
    pod = f'namespace="hub",pod="jupyter-bob",uid="{uid}"'
    box = f'{pod},container="notebook"'
    return [
        f'kube_pod_status_phase{{{pod},phase="Running"}} 1',
        f"kube_pod_start_time{{{pod}}} {start}",
        f'kube_pod_container_resource_requests{{{box},resource="cpu",unit="core"}} 0.5',
        f"container_cpu_usage_seconds_total{{{box}}} {cpu}",
    ]


def test_live_pods_their_deletion_and_a_restarted_prometheus(tmp_path: Path) -> None:
    exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    start = int(time.time()) - 100
    first, second = (f"{number}" * 8 + "-0000-0000-0000-000000000000" for number in (1, 2))
    exporter.lines = _lines(first, start, 10)  # type: ignore[attr-defined]
    target = f"127.0.0.1:{exporter.server_address[1]}"
    with RunningPrometheus(tmp_path / "server", targets=[target]) as server:
        probe = Probe(tmp_path, server)
        probe.config["gone_after_s"] = 1

        def seen(query: str) -> None:
            wait_until(lambda: bool(server.ask(query, time.time())), query)

        def now() -> str:
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start - 3600))
        seen(f'container_cpu_usage_seconds_total{{uid="{first}"}}')
        server.process.stop()
        server.start()
        exporter.lines = _lines(first, start, 4)  # type: ignore[attr-defined]
        seen(f'container_cpu_usage_seconds_total{{uid="{first}"}} == 4')
        exporter.lines = _lines(second, start, 7)  # type: ignore[attr-defined]
        seen(f'kube_pod_start_time{{uid="{second}"}}')
        seen(f'absent(kube_pod_start_time{{uid="{first}"}})')
        # The second one was seen for longer than it takes to call the first one gone.
        seen(f'count_over_time(kube_pod_start_time{{uid="{second}"}}[1h]) > 4')
        assert probe.run("--since", since, "--until", now()) == 0
    exporter.shutdown()
    exporter.server_close()
    records = probe.records()
    assert records[first]["Status"] == "completed"
    assert records[first]["CpuDuration"] == 14
    assert records[second]["Status"] == "started"
    assert records[second]["CpuDuration"] == 7
    assert {one["CpuCount"] for one in records.values()} == {Decimal("0.5")}
    assert {one["StartTime"] for one in records.values()} == {start}
