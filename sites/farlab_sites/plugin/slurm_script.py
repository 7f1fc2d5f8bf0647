"""The job script and the arguments of sbatch. Neither holds a secret: anyone may read them."""

from __future__ import annotations

import math
import shlex

from farlab_sites.plugin import slurm_flags
from farlab_sites.plugin.accounts import PATH, Account
from farlab_sites.plugin.driver import Job

MIB = 1 << 20

# A submission can reach Slurm twice: the answer to the first was lost, or came after the plugin
# had given it up. The link, which only one of the two jobs can make, decides which one runs.
SCRIPT = """\
#!/bin/sh
umask 077
unset SLURM_EXPORT_ENV SLURM_TIME_FORMAT TZ
export PATH={path} LANG=C.UTF-8 USER={user} LOGNAME={user} HOME={home}
cd {folder} || exit 70
ln -s "$SLURM_JOB_ID" job.claim 2>/dev/null
if [ "$(readlink job.claim)" != "$SLURM_JOB_ID" ]; then
    echo "this pod runs as job $(readlink job.claim) already" >&2
    exit 75
fi
exec {argv}
"""


def job_script(job: Job, account: Account) -> str:
    """Return the script that Slurm runs as the account on the job's node."""
    return SCRIPT.format(
        path=PATH,
        user=shlex.quote(account.name),
        home=shlex.quote(account.home),
        folder=shlex.quote(str(job.folder)),
        argv=shlex.join(job.argv),
    )


def arguments(job: Job) -> list[str]:
    """Return the arguments for sbatch, which takes the script from its stdin.

    The pod's limits come after the flags of its annotation and win.

    Raises:
        SubmitError: a flag is not allowed.

    """
    flags = slurm_flags.checked(job.flags)
    return [
        "--parsable",
        f"--job-name={job.uid}",
        # All of sbatch's own few variables. Anything else here (NIL before Slurm 23) makes slurmd
        # run the account's login shell first, which costs time and can hang.
        "--export=ALL",
        "--propagate=NONE",
        "--no-requeue",
        f"--chdir={job.folder}",
        f"--output={_verbatim(str(job.log))}",
        "--open-mode=append",
        *flags,
        *_limits(job, flags),
    ]


def _verbatim(path: str) -> str:
    """Escape what Slurm would replace in a file name; a backslash switches that off as a whole."""
    return path.replace("\\", r"\\") if "\\" in path else path.replace("%", "%%")


def _limits(job: Job, flags: list[str]) -> list[str]:
    limits = [f"--cpus-per-task={job.cpus}"]
    if not slurm_flags.ask_for_nodes(flags):
        limits += ["--nodes=1", "--ntasks=1"]
    if job.memory and not slurm_flags.ask_for_memory(flags):
        limits.append(f"--mem={math.ceil(job.memory / MIB)}M")
    if job.walltime:
        limits.append(f"--time={math.ceil(job.walltime / 60)}")
    if job.gpus and not slurm_flags.ask_for_gpus(flags):
        limits.append(f"--gpus-per-node={job.gpus}")
    return limits
