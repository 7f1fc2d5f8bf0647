"""Runs in the kernel's own process: ipykernel, told to drop nothing and to end with its keeper.

ipykernel's iopub socket drops what does not fit its queue of 1,000 messages. The keeper reads
always, but on a busy machine not always soon enough; so the queue gets no limit.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp

from farlab_kernels.keeper.widgets import LiveKernel
from farlab_kernels.variables import site

_PR_SET_PDEATHSIG = 1


class KeptKernel(IPKernelApp):
    """ipykernel with an iopub socket that drops nothing, and widgets that don't wait."""

    kernel_class = LiveKernel

    def init_iopub(self, context: zmq.Context[Any]) -> None:
        """Open the iopub socket, without a limit for what waits in it."""
        context.setsockopt(zmq.SNDHWM, 0)
        super().init_iopub(context)  # type: ignore[no-untyped-call]

    def init_kernel(self) -> None:
        """Make the kernel, and take over what the keeper does better.

        ipykernel sleeps for half a millisecond before each reply, since clients have missed output
        that came behind it; the keeper reads to the idle that follows, always. Behind a failed
        cell, ipykernel aborts what comes in soon after: also what a quick client sends because it
        has seen the failure. The keeper aborts what had been waiting then.
        """
        super().init_kernel()  # type: ignore[no-untyped-call]
        self.kernel._execute_sleep = 0.0
        self.kernel._abort_queues = lambda subshell_id=None: None

    def init_shell(self) -> None:
        """Make the shell, and serve its variables beside it."""
        super().init_shell()  # type: ignore[no-untyped-call]
        site.start(self.shell, Path(os.environ["FARLAB_KERNEL_FOLDER"]))


def end_with(parent: int) -> None:
    """Let the system kill this process when its parent ends, however stuck either may be."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    end_with(int(os.environ["JPY_PARENT_PID"]))
    KeptKernel.launch_instance()
