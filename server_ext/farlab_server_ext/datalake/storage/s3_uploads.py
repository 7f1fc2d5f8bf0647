"""Uploads to object stores: visible when complete, resumed after a cut or a killed server.

What has arrived is known by the store alone: parts of an unfinished upload whose length and MD5 are
those of the same part here are not sent again. Nothing is kept on this side.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..lake import LakeError

if TYPE_CHECKING:
    from .s3 import S3Lake

PART = 16 * 1024 * 1024
PARTS_MAX = 9_000
AT_ONCE = 4
"""Parts that are sent at once."""
SMALL = 2**20
"""Bytes that are sent without a question first, where the store refuses to replace."""
TRIED = 2**16
"""Bytes that are sent twice, once, to find out whether it does."""


class S3Upload:
    """One object on its way."""

    def __init__(self, lake: S3Lake, bucket: str, key: str) -> None:
        self._lake = lake
        self._place = {"Bucket": bucket, "Key": key}
        self._sent = 0

    async def run(self, parts: AsyncIterator[bytes], size: int | None) -> tuple[int, str]:
        """Put all parts there; return their size and the store's mark of them.

        Raise LakeError, and let nothing be seen, if that can't be.
        """
        if not (self._lake.keeps_existing and size is not None and size <= SMALL):
            await self._refuse_existing()
        length = max(PART, -(-size // PARTS_MAX) if size else PART)
        pieces = _pieces(parts, length)
        first = await anext(pieces, b"")
        self._sent = len(first)
        if len(first) < length:
            self._compare(size)
            put = await self._put(first)
            if self._lake.keeps_existing is None and len(first) <= TRIED:
                await self._try_to_replace(first)
            return self._sent, str(put["ETag"])
        mark = await self._in_parts(first, pieces, size)
        return self._sent, mark

    async def _put(self, content: bytes) -> Any:
        """Put an object there, and replace none, where the store knows that condition."""
        return await self._lake.call("put_object", **self._place, Body=content, IfNoneMatch="*")

    async def _try_to_replace(self, content: bytes) -> None:
        """Find out whether the store knows the condition: with the bytes that are there now."""
        self._lake.keeps_existing = False
        try:
            await self._put(content)
        except LakeError as error:
            self._lake.keeps_existing = True if error.code == "conflict" else None

    async def _in_parts(self, first: bytes, rest: AsyncIterator[bytes], size: int | None) -> str:
        upload, there = await self._begin()
        try:
            done = await self._all_parts(upload, there, first, rest)
            self._compare(size)
            await self._refuse_existing()
            parts = {"Parts": done}
            put = await self._call("complete_multipart_upload", upload, MultipartUpload=parts)
            return str(put["ETag"])
        except LakeError as error:
            if error.code not in ("unreachable", "expired"):  # after those it goes on here
                with suppress(LakeError):
                    await self._call("abort_multipart_upload", upload)
            raise

    async def _all_parts(
        self,
        upload: str,
        there: dict[int, dict[str, Any]],
        first: bytes,
        rest: AsyncIterator[bytes],
    ) -> list[dict[str, Any]]:
        """Send parts, some at once; no more of them are in memory."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, piece: bytes) -> dict[str, Any]:
            try:
                return await self._part(upload, there, number, piece)
            finally:
                turns.release()

        await turns.acquire()
        tasks = [asyncio.create_task(one(1, first))]
        try:
            async for piece in rest:
                self._sent += len(piece)
                await turns.acquire()
                if any(task.done() and task.exception() for task in tasks):
                    break
                tasks.append(asyncio.create_task(one(len(tasks) + 1, piece)))
            # All of them, even after one has failed: a thread of boto3's can't be called back.
            results = await asyncio.gather(*tasks, return_exceptions=True)
            failed = next((one for one in results if isinstance(one, BaseException)), None)
            if failed is not None:
                raise failed
            return [task.result() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self) -> tuple[str, dict[int, dict[str, Any]]]:
        """Return an upload, and the parts of it that are there already."""
        known = self._place | {"Prefix": self._place["Key"]}
        known.pop("Key")
        listed = await self._lake.call("list_multipart_uploads", **known)
        same = [one for one in listed.get("Uploads", []) if one["Key"] == self._place["Key"]]
        if not same:
            begun = await self._lake.call("create_multipart_upload", **self._place)
            return str(begun["UploadId"]), {}
        upload = str(max(same, key=lambda one: one["Initiated"])["UploadId"])
        return upload, await self._parts(upload)

    async def _parts(self, upload: str) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        marker = 0
        while True:
            listed = await self._call("list_parts", upload, PartNumberMarker=marker)
            found |= {one["PartNumber"]: one for one in listed.get("Parts", [])}
            if not listed.get("IsTruncated"):
                return found
            marker = listed["NextPartNumberMarker"]

    async def _part(
        self, upload: str, there: dict[int, dict[str, Any]], number: int, piece: bytes
    ) -> dict[str, Any]:
        """Send a part, unless it is there; return what the end of the upload must name."""
        digest = hashlib.md5(piece, usedforsecurity=False).hexdigest()
        old = there.get(number)
        if old and old["Size"] == len(piece) and old["ETag"].strip('"') == digest:
            return {"PartNumber": number, "ETag": old["ETag"]}
        got = await self._call("upload_part", upload, PartNumber=number, Body=piece)
        return {"PartNumber": number, "ETag": got["ETag"]}

    async def _call(self, method: str, upload: str, **arguments: Any) -> Any:
        return await self._lake.call(method, **self._place, UploadId=upload, **arguments)

    async def _refuse_existing(self) -> None:
        try:
            await self._lake.call("head_object", **self._place)
        except LakeError as error:
            if error.code == "not-found":
                return
            raise
        words = f"{self._place['Key']} is there already."
        raise LakeError("conflict", words, "Choose another name, or remove it first.")

    def _compare(self, size: int | None) -> None:
        if size is not None and self._sent != size:
            words = f"{self._place['Key']} has {self._sent} bytes, not {size} as was said."
            raise LakeError("wrong-input", words, "It has changed meanwhile: upload it anew.")


async def _pieces(parts: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    """Yield the same bytes in pieces of one length; the last one may be shorter."""
    waiting = bytearray()
    async for part in parts:
        waiting += part
        while len(waiting) >= length:
            yield bytes(waiting[:length])
            del waiting[:length]
    if waiting:
        yield bytes(waiting)
