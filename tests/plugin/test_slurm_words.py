"""Slurm's words, flags and tables, without a Slurm: what each means and what is refused."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from farlab_real.slurm_jobs import make_job
from farlab_sites.plugin import (
    slurm_facts,
    slurm_flags,
    slurm_past,
    slurm_queue,
    slurm_states,
    slurm_words,
)
from farlab_sites.plugin.accounts import Account
from farlab_sites.plugin.driver import SubmitError
from farlab_sites.plugin.slurm_queue import FIELDS, Row, Snapshot
from farlab_sites.plugin.slurm_script import arguments, job_script

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def row(job_id: int = 7, state: str = "PENDING", **more: object) -> Row:
    values: dict[str, object] = {
        "job_id": job_id,
        "uid": 1000,
        "state": state,
        "status": 0,
        "priority": 100,
        "start": None,
        "end": None,
        "node": "n1" if state != "PENDING" else "",
        "partitions": ("gpu",),
        "reason": "None",
        "name": "u",
    }
    return Row(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "status", "reason", "expected", "part"),
    [
        ("COMPLETED", 0, "None", "Completed", "ended by itself (COMPLETED)"),
        ("FAILED", 3 << 8, "NonZeroExitCode", "Error", "exit code 3 (FAILED)"),
        ("FAILED", 9, "JobLaunchFailure", "Error", "too much memory"),
        ("FAILED", 137 << 8, "NonZeroExitCode", "Error", "too much memory"),
        ("FAILED", 15, "JobLaunchFailure", "Error", "signal 15"),
        ("FAILED", 53, "JobLaunchFailure", "StartError", "could not start"),
        ("FAILED", 0, "JobLaunchFailure", "StartError", "could not start"),
        ("CANCELLED", 15, "None", "Cancelled", "scancel"),
        ("TIMEOUT", 15, "TimeLimit", "DeadlineExceeded", "time limit"),
        ("DEADLINE", 0, "DeadLine", "DeadlineExceeded", "deadline"),
        ("NODE_FAIL", 0, "NodeDown", "NodeFailure", "(NODE_FAIL, NodeDown)"),
        ("BOOT_FAIL", 0, "None", "NodeFailure", "did not start up"),
        ("OUT_OF_MEMORY", 125 << 8, "OutOfMemory", "OOMKilled", "more memory"),
        ("PREEMPTED", 15, "None", "Preempted", "higher priority"),
        ("REVOKED", 0, "None", "Error", "another cluster"),
        ("BRAND_NEW", 0, "None", "Error", "BRAND_NEW"),
    ],
)
def test_ends_in_words(state: str, status: int, reason: str, expected: str, part: str) -> None:
    kind, message = slurm_words.ended(state, reason, status)
    assert kind == expected
    assert part in message


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        ("Resources", "Waiting for resources (Resources)"),
        ("Priority", "higher priority (Priority)"),
        ("ReqNodeNotAvail, UnavailableNodes:g1", "(ReqNodeNotAvail, UnavailableNodes:g1)"),
        ("QOSMaxJobsPerUserLimit", "as many jobs"),
        ("AssocGrpBillingMinutes", "A limit of your account is reached (AssocGrpBillingMinutes)"),
        ("Dependency", "another job"),
        ("PartitionTimeLimit", "choose less"),
        ("SomethingNew", "(SomethingNew)"),
    ],
)
def test_waiting_in_words(reason: str, part: str) -> None:
    assert part in slurm_words.waiting(reason)


@pytest.mark.parametrize(
    ("words", "down"),
    [
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller", True),
        ("squeue: error: slurm_receive_msg: Zero Bytes were transmitted or received", True),
        ("sbatch: error: Munge encode failed: Failed to access /x/munge.sock", True),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv", True),
        ("sbatch: error: Batch job submission failed: Invalid partition name specified", False),
        ("sbatch: error: Batch job submission failed: Job violates accounting/QOS policy", False),
    ],
)
def test_an_absent_slurm_is_not_a_refusal(words: str, down: bool) -> None:
    assert slurm_words.is_down(words) is down


def test_a_refusal_keeps_slurms_words_and_adds_what_to_do() -> None:
    words = (
        "sbatch: error: invalid account\nsbatch: error: Batch job submission failed: "
        "Invalid account or account/partition combination specified\n"
    )
    assert slurm_words.refusal(words) == (
        "invalid account; Invalid account or account/partition combination specified. "
        "The local account may not use this partition or project: ask the site's operator."
    )
    assert "without a word" in slurm_words.refusal("")


def test_flags_are_brought_into_one_form() -> None:
    given = ["-p", "gpu", "-Aproj", "--gres", "gpu:2", "--exclusive", "--time=1:00:00", "-N1"]
    assert slurm_flags.checked(given) == [
        *("--partition=gpu", "--account=proj", "--gres=gpu:2", "--exclusive"),
        *("--time=1:00:00", "--nodes=1"),
    ]


@pytest.mark.parametrize(
    "flags",
    [
        ["--uid=0"],
        ["--gid=0"],
        ["--wrap=id"],
        ["--export=ALL"],
        ["--output=/etc/passwd"],
        ["-o", "/etc/passwd"],
        ["--job-name=x"],
        ["-J", "x"],
        ["--chdir=/"],
        ["-D/"],
        ["--array=1-9"],
        ["--get-user-env"],
        ["--part=gpu"],
        ["--exclusive=user"],
        ["--partition"],
        ["--partition="],
        ["--partition=a\nb"],
        ["-p"],
        ["-"],
        ["--"],
        ["script.sh"],
        [""],
    ],
)
def test_other_flags_are_refused_by_name(flags: list[str]) -> None:
    with pytest.raises(SubmitError, match=r"slurm-job\.vk\.io/flags") as refused:
        slurm_flags.checked(flags)
    assert repr(flags[0]) in str(refused.value)


def test_limits_of_the_pod_win_over_its_flags(tmp_path: Path) -> None:
    flags = ("--cpus-per-task=1", "--mem=1G", "--time=5", "--gres=qpu:1")
    job = make_job(tmp_path, cpus=4, memory=3 << 30, walltime=3601, gpus=2, flags=flags)
    wanted = arguments(job)
    for ours, flag in (
        ("--cpus-per-task=4", "--cpus-per-task=1"),
        ("--mem=3072M", "--mem=1G"),
        ("--time=61", "--time=5"),
    ):
        assert wanted.index(ours) > wanted.index(flag)
    assert "--gpus-per-node=2" in wanted
    assert "--export=ALL" in wanted
    assert "--no-requeue" in wanted


def test_flags_that_ask_for_the_same_in_another_way_stand(tmp_path: Path) -> None:
    flags = ("-N2", "--ntasks-per-node=1", "--mem-per-cpu=1G", "--gpus-per-node=a100:4")
    wanted = arguments(make_job(tmp_path, memory=1 << 30, gpus=4, flags=flags))
    assert not {"--nodes=1", "--ntasks=1", "--gpus-per-node=4"} & set(wanted)
    assert not [one for one in wanted if one.startswith("--mem=")]


def test_a_file_name_is_taken_as_it_is(tmp_path: Path) -> None:
    (percent,) = [a for a in arguments(make_job(tmp_path / "%j")) if a.startswith("--output")]
    assert "/%%j/" in percent
    (back,) = [a for a in arguments(make_job(tmp_path / "%j\\")) if a.startswith("--output")]
    assert "/%j\\\\/" in back


def test_the_script_runs_the_pod_once(tmp_path: Path) -> None:
    account = Account("a'b", 1000, 1000, (), "/home/a b")
    job = make_job(tmp_path, argv=("/bin/sh", "-c", "echo ran >> ran", "x; y"))
    job.folder.mkdir()
    script = job_script(job, account)

    def run(job_id: str) -> int:
        env = {"SLURM_JOB_ID": job_id}
        done = subprocess.run(["/bin/sh"], input=script, text=True, env=env, check=False)
        return done.returncode

    assert [run("5"), run("6"), run("5")] == [0, 75, 0]  # 5 again: its site put it back
    assert (job.folder / "ran").read_text() == "ran\nran\n"


def line(**more: str) -> str:
    values = {
        "JobID": "7",
        "UserID": "1000",
        "State": "PENDING",
        "exit_code": "0",
        "PriorityLong": "5",
        "StartTime": "N/A",
        "EndTime": "2026-03-04T12:00:00",
        "SubmitTime": "2026-03-04T11:00:00",
        "BatchHost": "n/a",
        "Partition": "gpu,cpu",
        "Reason": "Resources",
        "Name": "u",
    }
    values |= more
    return "|".join(values[name].ljust(width) for name, width in (*FIELDS, ("Name", 36)))


def test_a_line_of_the_queue() -> None:
    [found] = slurm_queue.parse(line() + "\n")
    assert (found.job_id, found.partitions, found.node) == (7, ("gpu", "cpu"), "")
    assert (found.start, found.end) == (None, NOW)


@pytest.mark.parametrize("name", ["a|b", "\n", "x\n" + line(Name="v")[:34], "|" * 36, "é" * 36])
def test_other_peoples_job_names_forge_nothing(name: str) -> None:
    cut = name[:36]  # as Slurm does
    rows = slurm_queue.parse("\n".join([line(Name=cut), line(JobID="8", Name="u")]))
    assert [found.job_id for found in rows if found.name in {"u", "v"}] == [8]


@pytest.mark.parametrize("text", ["", "\n", "slurm_load_jobs error", line()[:-60], "x" + line()])
def test_lines_that_make_no_sense_are_left_out(text: str) -> None:
    assert slurm_queue.parse(text) == []


def test_places_follow_priority_and_leave_out_what_is_held() -> None:
    rows = [row(1, priority=5), row(2, priority=9), row(3, priority=0), row(4, priority=5)]
    rows += [row(5, "RUNNING"), row(6, partitions=("cpu",)), row(7, partitions=("cpu", "gpu"))]
    snapshot = Snapshot(rows, 0.0)
    assert snapshot.waiting == {"gpu": [7, 2, 1, 4], "cpu": [6, 7]}
    state = slurm_states.state_of(rows[3], snapshot, NOW)
    assert (state.phase, state.place, state.waiting) == ("Waiting", 4, 4)
    held = slurm_states.state_of(row(3, priority=0, reason="JobHeldAdmin"), snapshot, NOW)
    assert held.place is None
    assert held.message.endswith("ask the site's operator (JobHeldAdmin).")


def test_the_expected_start_is_told_while_it_lies_ahead() -> None:
    def message(start: datetime) -> str:
        one = row(1, start=start, reason="Resources")
        return slurm_states.state_of(one, Snapshot([one], 0.0), NOW).message

    place = "Waiting for resources (Resources): place 1 of 1 in partition gpu"
    soon, later = NOW + timedelta(hours=2), NOW + timedelta(days=1)
    assert message(soon) == f"{place}; Slurm expects a start at 14:00 UTC."
    assert message(later) == f"{place}; Slurm expects a start on 05 March at 12:00 UTC."
    assert message(NOW - timedelta(minutes=1)) == f"{place}."


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("PENDING", "Waiting"),
        ("CONFIGURING", "Running"),
        ("RUNNING", "Running"),
        ("COMPLETING", "Running"),
        ("SUSPENDED", "Running"),
        ("STOPPED", "Running"),
        *((state, "Terminated") for state in slurm_words.ENDED),
        ("BRAND_NEW", "Terminated"),
    ],
)
def test_every_state_has_a_phase(state: str, phase: str) -> None:
    one = row(1, state)
    assert slurm_states.state_of(one, Snapshot([one], 0.0), NOW).phase == phase


def test_of_several_jobs_the_furthest_one_counts() -> None:
    rows = [row(1, "FAILED"), row(2), row(3, "RUNNING"), row(4)]
    assert slurm_states.choose(rows).job_id == 3
    assert slurm_states.spare(rows) == [2, 4]
    assert slurm_states.spare(rows[:2]) == []
    assert slurm_states.choose([row(9, "FAILED"), row(8, "CANCELLED")]).job_id == 8


def test_accounting_says_how_forgotten_jobs_ended() -> None:
    text = "\n".join(
        [
            "1|CANCELLED by 1000|0:15|2026-03-04T11:00:00|2026-03-04T12:00:00|n1|None|Unknown|a",
            "2|FAILED|3:0|2026-03-04T11:00:00|2026-03-04T12:00:00|n1|NonZeroExitCode|Unknown|b",
            "3|TIMEOUT|0:0|2026-03-04T11:00:00|2026-03-04T12:00:00|n1|TimeLimit|Unknown|another's",
            "4|RUNNING|0:0|2026-03-04T11:00:00|Unknown|n1|None|Unknown|d",
            "rubbish",
        ]
    )
    states = slurm_past.parse(text, {"a", "b", "c", "d"})
    assert set(states) == {"a", "b"}
    assert states["a"].reason == "Cancelled"
    assert states["a"].message.endswith("(scancel) (CANCELLED), by 1000.")
    assert (states["b"].reason, states["b"].exit_code, states["b"].node) == ("Error", 3, "n1")
    assert states["b"].finished_at == NOW


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("(null)", {}),
        ("gpu:a100:8", {"gpu": 8}),
        ("gpu:4", {"gpu": 4}),
        ("gpu:a100:4(S:0-1),gpu:v100:2,qpu:qmio:1", {"gpu": 6, "qpu": 1}),
        ("gpu:a100:2(IDX:0,3),qpu:0", {"gpu": 2, "qpu": 0}),
    ],
)
def test_devices_are_counted(text: str, counts: dict[str, int]) -> None:
    assert slurm_facts.gres_counts(text) == counts


def node_line(partition: str, name: str, state: str, cpus: str, used: str) -> str:
    return f"{partition}|up|{name}|{state}|{cpus}|1000|gpu:a100:4|{used}|"


def test_facts_of_partitions_and_of_the_site() -> None:
    lines = [
        node_line("gpu", "n1", "mixed", "6/2/0/8", "gpu:a100:3(IDX:0-2)"),
        node_line("gpu", "n2", "idle", "0/8/0/8", "gpu:a100:0(IDX:N/A)"),
        node_line("gpu", "n3", "down*", "0/0/8/8", "gpu:a100:0(IDX:N/A)"),
        node_line("all", "n2", "idle", "0/8/0/8", "gpu:a100:0(IDX:N/A)"),
        node_line("old", "n4", "drained", "0/0/8/8", "gpu:a100:0(IDX:N/A)"),
        "rubbish",
    ]
    nodes = slurm_facts.parse("\n".join(lines))
    gpu, every, old = slurm_facts.partition_facts(nodes, Snapshot([row(1)], 0.0))
    assert (gpu["state"], gpu["nodes"], gpu["nodes_down"], gpu["nodes_free"]) == ("up", 2, 1, 1)
    assert (gpu["gpus"], gpu["gpus_free"], gpu["cpus_free"], gpu["waiting"]) == (8, 5, 10, 1)
    assert (every["nodes"], every["waiting"]) == (1, 0)
    assert (old["state"], old["nodes"]) == ("down", 0)
    assert slurm_facts.resources(nodes) == {
        "cpu": "16",
        "memory": "2000Mi",
        "pods": "16",
        "accelerators": [{"resourceType": "nvidia.com/gpu", "available": 8}],
    }
