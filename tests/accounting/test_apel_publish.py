"""Publication to a queue as SSM reads it, from the command line: each record goes once."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dirq.QueueSimple import QueueSimple
from farlab_hub.account_cli import REJECTED, main
from farlab_hub.apel import publisher
from farlab_hub.apel.queue import STAGE, Queue
from farlab_hub.apel.state import FILE, State, publication
from farlab_hub.ledger.records import UsageRecord
from farlab_real.apel_parts import HOUR, NOVEMBER, OCTOBER, ledger, messages_in, usage
from farlab_real.apel_reader import Record, read

SITE = {
    "name": "vega",
    "title": "Vega",
    "kind": "hpc",
    "carrier": {"direct": {"url": "http://127.0.0.1:4000"}},
    "accounting": {"name": "VEGA", "benchmark": {"value": 12.5}},
    "profiles": [
        {
            "name": "gpu",
            "title": "JupyterLab",
            "sizes": [{"title": "8", "cpu": 8, "memory": "64Gi"}],
            "images": [{"title": "base", "image": "/opt/base"}],
        }
    ],
}


class Hub:
    """A state folder with a ledger, a catalogue with a target, and the command beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue = folder / "queue"
        self.targets: list[dict[str, object]] = [
            {"name": "egi", "records": "cloud", "folder": str(self.queue)}
        ]

    def fill(self, *records: UsageRecord) -> None:
        ledger(self.folder, list(records))

    def argv(self, *more: str) -> list[str]:
        catalogue = self.folder / "sites.yaml"
        catalogue.write_text(yaml.safe_dump({"sites": [SITE], "publishing": self.targets}))
        return [
            *("publish", "--catalogue", str(catalogue), "--state-dir", str(self.folder)),
            *more,
        ]

    def publish(self, *more: str) -> int:
        return main(self.argv(*more))

    def records(self) -> list[Record]:
        return [record for text in messages_in(self.queue) for record in read(text)]


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path)


MONTH = ("--month", "2026-10")


def test_ssms_own_library_reads_the_queue(hub: Hub) -> None:
    hub.fill(*(usage() for _ in range(2500)))
    assert hub.publish(*MONTH) == 0
    queue = QueueSimple(str(hub.queue))
    texts = []
    for name in queue:
        assert re.fullmatch("[0-9a-f]{8}/[0-9a-f]{14}", name)
        assert queue.lock(name)
        texts.append(queue.get(name).decode("ascii"))
        queue.remove(name)
    assert [len(read(text)) for text in texts] == [1000, 1000, 500]
    assert queue.count() == 0
    queue.purge()
    assert hub.publish(*MONTH) == 0
    assert queue.count() == 0


def test_only_what_changed_is_sent_again_and_a_month_when_asked(hub: Hub) -> None:
    running = usage(ended=None, heartbeat=OCTOBER + 2 * HOUR)
    hub.fill(usage(), running)
    assert hub.publish(*MONTH) == 0
    assert hub.publish(*MONTH) == 0
    assert len(hub.records()) == 2
    hub.fill(usage(uid=running.uid))
    assert hub.publish(*MONTH) == 0
    assert [record["VMUUID"] for record in hub.records()[2:]] == [running.uid]
    assert hub.publish(*MONTH, "--again") == 0
    assert len(hub.records()) == 5
    [state] = publication(hub.folder, ["2026-10"])
    assert (state.records, state.messages, state.waiting) == (2, 3, 0)
    assert state.last_sent is not None
    assert time.time() - state.last_sent < 600


def test_jobs_summaries_and_gpus(hub: Hub) -> None:
    hub.fill(usage(gpus=1.0, gpu_type="a100"))
    queues = {kind: str(hub.folder / kind) for kind in ("cloud", "jobs", "summaries")}
    hub.targets = [
        {"name": kind, "records": kind, "folder": folder, "gpu": kind == "cloud"}
        for kind, folder in queues.items()
    ]
    assert hub.publish(*MONTH) == 0
    found = {
        kind: [one.get("", "gpu") for text in messages_in(Path(folder)) for one in read(text)]
        for kind, folder in queues.items()
    }
    assert found == {
        "cloud": ["APEL-cloud-message: v0.4", "gpu"],
        "jobs": ["APEL-individual-job-message: v0.4"],
        "summaries": ["APEL-summary-job-message: v0.4", "APEL-sync-message: v0.1"],
    }


def test_without_months_the_last_two_are_sent_and_later_all_since(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fill(usage(started=NOVEMBER - 60.0, ended=NOVEMBER + 60.0))
    monkeypatch.setattr("farlab_hub.account_cli.time.time", lambda: NOVEMBER + 86400.0)
    assert hub.publish() == 0
    assert [record["Status"] for record in hub.records()] == ["started", "completed"]
    hub.fill(usage(started=NOVEMBER + 2 * 86400.0, ended=NOVEMBER + 3 * 86400.0))
    monkeypatch.setattr("farlab_hub.account_cli.time.time", lambda: NOVEMBER + 130 * 86400.0)
    assert hub.publish() == 0
    assert len(hub.records()) == 3


def test_what_was_refused_is_listed(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    bad = usage(vo="", groups=())
    hub.fill(bad, usage())
    assert hub.publish(*MONTH) == REJECTED
    assert len(hub.records()) == 1
    said = capsys.readouterr().err
    assert f"egi: 2026-10: not sent: record {bad.uid}: FQAN is missing; give a VO" in said
    [state] = publication(hub.folder, ["2026-10"])
    assert [(one.key, one.field) for one in state.rejected] == [(bad.uid, "FQAN")]
    hub.targets[0]["vo"] = "vo.all"
    assert hub.publish(*MONTH) == 0
    assert publication(hub.folder, ["2026-10"])[0].rejected == ()


def dying(step: int, *, after: bool, argv: list[str]) -> int:
    """Publish in a process that kills itself at a step; return how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        _kill_at(step, after=after)
        os._exit(main(argv))
    finally:
        os._exit(99)


def _kill_at(step: int, *, after: bool) -> None:
    left = step

    def counted(run: Callable[..., Any]) -> Callable[..., Any]:
        def run_or_die(*args: Any) -> Any:
            nonlocal left
            left -= 1
            if not left and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = run(*args)
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run_or_die

    publisher.PER_MESSAGE, Queue.at_once = 500, 2
    for owner, name in [(State, "note"), (State, "sent"), (Queue, "stage"), (Queue, "_move")]:
        setattr(owner, name, counted(getattr(owner, name)))


def test_a_publisher_that_is_killed_again_and_again_sends_each_record_once(hub: Hub) -> None:
    hub.fill(*(usage() for _ in range(5000)))
    rng = random.Random(5)
    queue = QueueSimple(str(hub.queue))
    taken: list[str] = []
    kills = 0
    status = None
    while status != 0:
        # At one of its steps, before or after it; a life without that many steps ends well.
        step, after = rng.randrange(1, 9), rng.random() < 0.5
        status = dying(step, after=after, argv=hub.argv(*MONTH))
        assert status in (0, -signal.SIGKILL)
        kills += status != 0
        assert kills < 40
        for name in queue:  # a reader takes messages away between two lives of the publisher
            assert queue.lock(name)
            taken.append(queue.get(name).decode("ascii"))
            queue.remove(name)
    assert kills >= 3
    counted = Counter(record["VMUUID"] for text in taken for record in read(text))
    assert len(counted) == 5000
    assert set(counted.values()) == {1}
    assert list((hub.queue / STAGE).iterdir()) == []


@pytest.mark.parametrize("moment", ["staged", "noted", "moved"])
def test_each_moment_of_death_is_survived(
    hub: Hub, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fill(usage(), usage())

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "staged":
            patch.setattr(State, "note", die)
        elif moment == "noted":
            patch.setattr("farlab_hub.apel.queue.Queue._move", die)
        else:
            patch.setattr(State, "sent", die)
        with pytest.raises(KeyboardInterrupt):
            hub.publish(*MONTH)
    waiting = sum(one.waiting for one in publication(hub.folder, ["2026-10"]))
    assert waiting == (moment != "staged")
    left = [path for path in hub.queue.glob("*/*") if path.parent.name != STAGE]
    assert len(left) == (moment == "moved")
    for path in left:
        path.unlink()  # a reader was faster
    assert hub.publish(*MONTH) == 0
    assert len(hub.records()) == (0 if moment == "moved" else 2)
    assert publication(hub.folder, ["2026-10"])[0].waiting == 0


def test_mistakes_are_told_in_one_line(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*argv: str) -> str:
        assert main(list(argv)) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        return err

    assert "--state-dir" in said(*hub.argv())
    assert "unable to open" in said(*hub.argv("--db-url", "sqlite:////nowhere/x"))
    hub.fill()
    assert "write it as 2026-10" in said(*hub.argv("--month", "october"))
    assert "--again needs --month" in said(*hub.argv("--again"))
    assert 'did you mean "egi"?' in said(*hub.argv("--target", "egl"))
    with State(hub.folder):
        assert "let it end first" in said(*hub.argv())
    argv = hub.argv()
    hub.targets = []
    hub.argv()
    assert "add `publishing:`" in said(*argv)
    hub.targets = [{"name": "egi", "records": "cloud"}]
    hub.argv()
    assert "exactly one of folder and ams" in said(*argv)
    hub.targets = [{"name": "egi", "records": "cloud", "folder": str(hub.folder / FILE)}]
    hub.argv()
    hub.fill(usage())
    assert main([*argv, *MONTH]) == 1
    assert "can't be written" in capsys.readouterr().err


def test_check_names_file_record_and_field(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.fill(usage())
    hub.publish(*MONTH)
    assert main(["check", str(hub.queue)]) == 0
    assert capsys.readouterr().out.endswith(": ok\n")
    bad = tmp_path / "bad"
    bad.write_text(messages_in(hub.queue)[0].replace("completed", "banana"))
    assert main(["check", str(hub.queue), str(bad)]) == 1
    out = capsys.readouterr().out
    assert f'{bad}: record 1 (line 2): Status "banana" is not started, suspended or complete' in out
    bad.write_bytes(b"\xff\xfe")
    assert main(["check", str(bad)]) == 1
    assert "is no text" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "none")]) == 1
    assert "none: No such file" in capsys.readouterr().err
