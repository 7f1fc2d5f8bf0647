"""Run, start or kill a pod: `python3 runner.pyz run|start|kill FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from farlab_sites.plugin.job.claims import claim, claimed, kill
from farlab_sites.plugin.job.runner import Runner


def run(folder: Path, claimed_it: Callable[[], None] = lambda: None) -> int:
    """Run the pod, unless it was run before."""
    if not claim(folder, os.getpid()):
        sys.stderr.write("farlab: this pod was started or ended before; it is not run again\n")
        return 0
    claimed_it()
    return Runner(folder).run()


def start(folder: Path) -> int:
    """Run the pod in the background, and return when it has begun."""
    environment = json.load(sys.stdin)
    begun, write_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        _leave_terminal(folder, keep=write_end)
        os.environ.clear()
        os.environ.update(environment)
        os._exit(run(folder, lambda: os.close(write_end)))
    os.close(write_end)
    os.read(begun, 1)  # answers when the child has claimed the pod, or has ended
    mark = claimed(folder)
    sys.stdout.write(json.dumps(mark))
    return 0 if mark else 1


def _leave_terminal(folder: Path, keep: int) -> None:
    log = os.open(str(folder / "job.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(source, number)
    os.closerange(3, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))


def main(arguments: list[str]) -> int:
    """Do what the first argument says in the folder that the second one names."""
    mode, folder = arguments[0], Path(arguments[1])
    if mode == "start":
        return start(folder)
    if mode == "kill":
        kill(folder, **json.load(sys.stdin))
        return 0
    return run(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
