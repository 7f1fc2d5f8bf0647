"""Uploads of files and folders into a lake, over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from .datalake.lake import LakeError
from .datalake.registry import Lakes
from .datalake.uploads import STAGED, Uploads, drop_staged
from .datalake_handlers import LakeHandler, text, whole

UPLOADS = r"/farlab/datalake/uploads"


class UploadHandler(LakeHandler):
    """What both share."""

    def initialize(  # type: ignore[override]
        self, lakes: Lakes, uploads: Uploads
    ) -> None:
        """Take the lakes and the uploads of this server."""
        super().initialize(lakes)
        self.uploads = uploads

    def file(self, given: str) -> str:
        """Return a path as it is on this machine: a relative one starts where JupyterLab does."""
        root = Path(str(self.settings.get("server_root_dir", "."))).expanduser()
        return str((root / given).absolute())


class UploadsHandler(UploadHandler):
    """`uploads`."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List them."""
        self.reply(self.uploads.listed())

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Upload `source`, a file or a folder, into `dataset` or `folder` of `lake`."""
        body = self.body()
        metadata: Any = body.get("metadata", {})
        if not isinstance(metadata, dict):
            raise LakeError("wrong-input", '"metadata" is no object.', "Write keys and values.")
        wanted = {
            "source": self.file(text(body, "source")),
            "dataset": text(body, "dataset", ""),
            "folder": text(body, "folder", ""),
            "prefix": text(body, "prefix", ""),
            "days": None if body.get("days") is None else whole(body, "days", None),
            "metadata": metadata,
            "link": body.get("link") is True,
            "rse": text(body, "rse", ""),
        }
        self.reply(self.uploads.start(text(body, "lake"), wanted), 201)


class OneUploadHandler(UploadHandler):
    """`uploads/ID`."""

    @web.authenticated
    @authorized
    async def post(self, number: str) -> None:
        """Go on with what was cut."""
        self.reply(self.uploads.resume(number))

    @web.authenticated
    @authorized
    async def delete(self, number: str) -> None:
        """Stop and forget it; what is registered stays."""
        await self.uploads.cancel(number)
        self.set_status(204)
        self.finish()


class StagedHandler(UploadHandler):
    """`staged/ID`."""

    @web.authenticated
    @authorized
    async def delete(self, number: str) -> None:
        """Remove what came from the user's own computer to be uploaded, and is not."""
        await asyncio.to_thread(drop_staged, self.file(f"{STAGED}/{number}"))
        self.set_status(204)
        self.finish()


def upload_routes(
    lakes: Lakes, uploads: Uploads
) -> list[tuple[str, type[UploadHandler], dict[str, Any]]]:
    """Return the handlers with their paths."""
    given = {"lakes": lakes, "uploads": uploads}
    return [
        (UPLOADS, UploadsHandler, given),
        (rf"{UPLOADS}/([0-9a-f]+)", OneUploadHandler, given),
        (r"/farlab/datalake/staged/([0-9a-f-]+)", StagedHandler, given),
    ]
