"""The flags that a pod may pass to sbatch (annotation `slurm-job.vk.io/flags`).

Only flags that say what a job needs. Those that would change who it runs as, what it runs, its
name, its files or its environment are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farlab_sites.plugin.driver import SubmitError

SHORT = {
    "A": "account",
    "C": "constraint",
    "G": "gpus",
    "L": "licenses",
    "N": "nodes",
    "c": "cpus-per-task",
    "n": "ntasks",
    "p": "partition",
    "q": "qos",
    "t": "time",
    "w": "nodelist",
    "x": "exclude",
}

WITH_VALUE = frozenset(
    {
        *("account", "constraint", "cores-per-socket", "cpus-per-gpu"),
        *("cpus-per-task", "deadline", "exclude", "gpu-bind", "gpu-freq", "gpus", "gpus-per-node"),
        *("gpus-per-socket", "gpus-per-task", "gres", "gres-flags", "hint", "licenses", "mem"),
        *("mem-bind", "mem-per-cpu", "mem-per-gpu", "mincpus", "nice", "nodelist", "nodes"),
        *("ntasks", "ntasks-per-gpu", "ntasks-per-node", "partition", "prefer", "qos"),
        *("reservation", "sockets-per-node", "switches", "threads-per-core", "time", "time-min"),
        *("tmp", "wckey"),
    }
)
WITHOUT_VALUE = frozenset({"contiguous", "exclusive", "overcommit", "oversubscribe", "spread-job"})


def checked(flags: Sequence[str]) -> list[str]:
    """Return the flags, each as `--name=value` or `--name`.

    Raises:
        SubmitError: one of them is not allowed or makes no sense; the message names it.

    """
    return [f"--{name}" if value is None else f"--{name}={value}" for name, value in _pairs(flags)]


def ask_for_gpus(flags: Sequence[str]) -> bool:
    """Say whether flags that were checked before ask for GPUs."""
    return any(flag.startswith("--gpus") or _is_gpu_gres(flag) for flag in flags)


def _is_gpu_gres(flag: str) -> bool:
    name, _, value = flag.partition("=")
    return name == "--gres" and any(part.startswith("gpu") for part in value.split(","))


def ask_for_nodes(flags: Sequence[str]) -> bool:
    """Say whether flags that were checked before ask for a number of nodes or tasks."""
    return any(flag.startswith(("--nodes=", "--ntasks")) for flag in flags)


def ask_for_memory(flags: Sequence[str]) -> bool:
    """Say whether flags that were checked before ask for memory per CPU or per GPU."""
    return any(flag.startswith("--mem-per-") for flag in flags)


def _pairs(flags: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    rest = iter(flags)
    for flag in rest:
        name, value = _split(flag)
        if name in WITH_VALUE:
            value = next(rest, None) if value is None else value
            yield name, _value(flag, value)
        elif name in WITHOUT_VALUE and value is None:
            yield name, None
        else:
            raise SubmitError(
                f"the flag {flag!r} is not allowed in slurm-job.vk.io/flags; correct the site's "
                f"catalogue (allowed: --{', --'.join(sorted(WITH_VALUE | WITHOUT_VALUE))})"
            )


def _split(flag: str) -> tuple[str, str | None]:
    """Split `--name=value`, `--name`, `-nvalue` and `-n` into a long name and a value."""
    if flag.startswith("--"):
        name, equals, value = flag[2:].partition("=")
        return name, value if equals else None
    if flag.startswith("-") and len(flag) > 1:
        return SHORT.get(flag[1], flag), flag[2:] or None
    return flag, None


def _value(flag: str, value: str | None) -> str:
    if not value or not value.isprintable():
        raise SubmitError(f"the flag {flag!r} in slurm-job.vk.io/flags has no usable value")
    return value
