"""Run every benchmark and print one line a figure: `bench AREA.NAME VALUE goal OP GOAL`.

Each `bench_*.py` beside this file measures Farlab and the named peer in one run, so that a
figure is a ratio and means the same on a fast and on a slow machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from stopping import exit_on_sigterm


def run(command: list[str]) -> int:
    """Run one to its end, or to ours: it has servers to stop."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        finally:
            process.terminate()


def main() -> int:
    """Run all benchmarks one after the other; return how many could not run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form of each")
    parser.add_argument("names", nargs="*", help="only these (relay, plugin, spawn, ...)")
    args = parser.parse_args()
    failed = 0
    exit_on_sigterm()
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        name = path.stem.removeprefix("bench_")
        if args.names and name not in args.names:
            continue
        command = [sys.executable, str(path), *(["--quick"] if args.quick else [])]
        print(f"# {name}", flush=True)
        if run(command):
            print(f"# {name} could not be measured", flush=True)
            failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
