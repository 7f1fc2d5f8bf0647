"""A podman of its own, with one small image that needs no registry."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Self

IMAGE = "localhost/farlab-test:1"
TOOLS = "cat echo env false id ls mkdir nproc od printf pwd sh sleep stat tee test tr true wc"


class Podman:
    """Images and containers in `folder`; `command` is how it is called.

    The image `IMAGE` is busybox; its entrypoint prints "from the image:" and the arguments.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        places = ["--root", f"{folder}/root", "--runroot", f"{folder}/run"]
        how = ["--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
        self.command = ["podman", *places, *how]

    def __enter__(self) -> Self:
        tar = self.folder / "image.tar"
        self._pack(tar)
        change = 'ENTRYPOINT ["/bin/echo", "from the image:"]'
        done = subprocess.run(
            [*self.command, "import", "--change", change, str(tar), IMAGE],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        listed = [*self.command, "ps", "--all", "--quiet"]
        left = subprocess.run(listed, capture_output=True, text=True, timeout=60, check=True)
        reset = [*self.command, "system", "reset", "--force"]
        subprocess.run(reset, capture_output=True, check=False)
        assert left.stdout.strip() == "", "a container was left"

    @staticmethod
    def _pack(tar: Path) -> None:
        with tarfile.open(tar, "w") as archive:
            archive.add("/bin/busybox", "bin/busybox")
            for name in TOOLS.split():
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
            for name in ("tmp", "etc"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o777
                archive.addfile(entry)
