"""The uploads of this server: started, watched, cancelled, and resumed after it was killed.

Each plan lies in a file of its own until it is done. An upload that was cut is not resumed by
itself: its lake may need a password, which no file holds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .lake import LakeError
from .plans import Plan, Running
from .registry import Lakes
from .rucio.copying import Stopped
from .rucio.lake import RucioLake
from .rucio.upload import Upload
from .storage.sending import Begun, Sending

State = Literal["running", "done", "failed", "cut"]
ENDED_KEPT = 50
"""Ended uploads that are still listed."""
STAGED = "lake-uploads"
"""The folder into which the panel puts what comes from users' own computers."""
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

log = logging.getLogger(__name__)


@dataclass
class Job:
    """An upload, and how it goes."""

    lake: str
    plan: Plan
    state: State
    error: dict[str, str] | None = None
    upload: Running | None = field(default=None, repr=False)
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        progress = asdict(self.upload.progress) if self.upload else {}
        return {
            "lake": self.lake,
            **asdict(replace(self.plan, metadata=dict(self.plan.metadata))),
            "state": self.state,
            "error": self.error,
            "progress": progress,
        }


class Uploads:
    """All uploads, newest last."""

    def __init__(self, lakes: Lakes, folder: Path) -> None:
        self._lakes = lakes
        self._folder = folder
        self._jobs: dict[str, Job] | None = None

    def listed(self) -> list[dict[str, Any]]:
        """Return the uploads as JSON, those of an earlier server too."""
        return [job.told() for job in self._known().values()]

    def start(self, lake: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Begin an upload; raise LakeError if it can't be."""
        plan = Plan(id=secrets.token_hex(6), **wanted)
        job = Job(lake, plan, "running")
        self._begin(job)
        self._known()[plan.id] = job
        self._drop_oldest()
        return job.told()

    def resume(self, number: str) -> dict[str, Any]:
        """Go on with an upload that was cut or has failed."""
        job = self._job(number)
        if job.state in ("running", "done"):
            words = "This upload is " + ("still running." if job.state == "running" else "done.")
            raise LakeError("conflict", words, "Only what was cut or has failed can be resumed.")
        self._begin(job)
        return job.told()

    async def cancel(self, number: str) -> None:
        """Stop an upload and forget it; what is registered already stays."""
        job = self._job(number)
        await self._stop(job)
        if job.state != "done":
            upload = job.upload or self._upload(job)
            await upload.discard()
        await asyncio.to_thread(drop_staged, job.plan.source)
        self._forget(number)
        self._known().pop(number, None)

    async def close(self) -> None:
        """Stop all: they can be resumed by the next server."""
        for job in list((self._jobs or {}).values()):
            await self._stop(job)

    def _begin(self, job: Job) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        job.upload = self._upload(job)
        self._write(job)
        job.state, job.error = "running", None
        job.task = asyncio.get_running_loop().create_task(self._run(job, job.upload))

    async def _run(self, job: Job, upload: Running) -> None:
        try:
            await upload.run()
        except LakeError as error:
            job.state = "failed"
            job.error = {"code": error.code, "message": error.message, "fix": error.fix}
        except (asyncio.CancelledError, Stopped):
            job.state = "cut"
            raise
        except Exception:
            log.exception("an upload has failed")
            words = {"code": "bad-answer", "message": "The upload has failed."}
            job.state, job.error = "failed", {**words, "fix": "The server's log says why."}
        else:
            await asyncio.to_thread(drop_staged, job.plan.source)
            job.state = "done"
            self._forget(job.plan.id)

    async def _stop(self, job: Job) -> None:
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait([job.task])

    def _known(self) -> dict[str, Job]:
        if self._jobs is None:
            self._jobs = {}
            for file in sorted(self._folder.glob("*.json")):
                with suppress(OSError, ValueError, TypeError, KeyError):
                    told = json.loads(file.read_text())
                    plan = Plan(**told["plan"])
                    self._jobs[plan.id] = Job(str(told["lake"]), plan, "cut")
        return self._jobs

    def _job(self, number: str) -> Job:
        job = self._known().get(number)
        if job is None:
            raise LakeError("not-found", "There is no such upload.", "Reload the list.")
        return job

    def _upload(self, job: Job) -> Running:
        """Return an upload that is ready to run; raise LakeError if this lake takes none."""
        lake = self._lakes.get(job.lake)
        begun = Begun(self._begun(job.plan.id))
        if isinstance(lake, RucioLake):
            return Upload(lake, job.plan, begun)
        if lake.kind in ("webdav", "s3"):
            return Sending(lake, job.plan, begun)  # type: ignore[arg-type]
        raise lake.unsupported("write")

    def _write(self, job: Job) -> None:
        plan = {**asdict(job.plan), "metadata": dict(job.plan.metadata)}
        new = self._file(job.plan.id).with_suffix(".new")
        with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"lake": job.lake, "plan": plan}, file)
        new.replace(self._file(job.plan.id))

    def _file(self, number: str) -> Path:
        return self._folder / f"{number}.json"

    def _begun(self, number: str) -> Path:
        return self._folder / f"{number}.begun"

    def _forget(self, number: str) -> None:
        self._file(number).unlink(missing_ok=True)
        self._begun(number).unlink(missing_ok=True)

    def _drop_oldest(self) -> None:
        jobs = self._known()
        ended = [number for number, job in jobs.items() if job.state == "done"]
        for number in ended[:-ENDED_KEPT]:
            del jobs[number]


def drop_staged(source: str) -> None:
    """Remove what the panel brought to this machine only to be uploaded: `lake-uploads/ID`."""
    path = Path(source)
    for folder in (path, *path.parents):
        if folder.parent.name == STAGED and _IDENTIFIER.fullmatch(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()  # unless another upload lies in it
            return
