"""The daemons that make a Rucio's rules real, all in one process and each about once a second.

    with RunningDaemons(rucio): ...

Rucio's operators run each for itself, and less often; here a user waits for the result. They begin
some ten seconds after their start. This file is also the program, run by the server's Python.
"""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from farlab_real.rucio_server import RunningRucio

DAEMONS: dict[str, dict[str, Any]] = {
    "judge.evaluator": {"sleep_time": 1},
    "judge.cleaner": {"sleep_time": 2},
    "judge.repairer": {"sleep_time": 5},
    "conveyor.submitter": {"sleep_time": 1},
    "conveyor.poller": {"sleep_time": 1, "older_than": 0},
    "conveyor.finisher": {"sleep_time": 1},
}
"""With the seconds between two looks for work."""


class RunningDaemons:
    """They run until the end of the block."""

    def __init__(self, rucio: RunningRucio) -> None:
        self._process = rucio.program("daemons", "bin/python", __file__)

    def read_log(self) -> str:
        """Return what they have printed."""
        return self._process.read_log()

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.stop()


def main() -> None:
    """Run them until one of them ends, which none does by itself."""
    threads = []
    for name, options in DAEMONS.items():
        run = importlib.import_module(f"rucio.daemons.{name}").run
        threads.append(threading.Thread(target=run, kwargs=options, daemon=True, name=name))
        threads[-1].start()
    while all(thread.is_alive() for thread in threads):
        threads[0].join(1)
    ended = [thread.name for thread in threads if not thread.is_alive()]
    sys.exit(f"ended: {', '.join(ended)}")


if __name__ == "__main__":
    # Beside this file lie names that Rucio's own packages may use too.
    sys.path = [entry for entry in sys.path if Path(entry) != Path(__file__).parent]
    main()
