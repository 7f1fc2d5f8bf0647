"""An S3 object store as a lake, through boto3 in threads: it pages, signs, and sends parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from ..lake import PAGE, Details, Entry, EntryKind, Lake, LakeError, Link, Page, page_size
from .s3_errors import s3_failures_of
from .s3_uploads import S3Upload

T = TypeVar("T")

THREADS = 8
PART = 1 << 20
CUTS = 3
LONGEST_LINK = 7 * 24 * 3600
"""Seconds; no object store signs for longer."""
MD5_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """Access key and secret; temporary ones have a session token and an end (epoch seconds)."""

    key: str
    secret: str
    session: str | None = None
    ends: float | None = None

    def __repr__(self) -> str:
        """Name no secret, whoever prints it."""
        return f"Keys(ends={self.ends})"


class KeySource(Protocol):
    """Gives the user's keys for an object store, fresh enough to be used at once."""

    async def keys(self) -> Keys | None:
        """Return them, None for a store that is open; raise LakeError if there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Store:
    """Where an object store is. Without a bucket, the user's buckets are the first level."""

    endpoint: str
    bucket: str | None = None
    region: str | None = None
    ca: str | None = None


class S3Lake(Lake):
    """Buckets and objects; a slash in a key makes a folder."""

    kind = "s3"
    capabilities = frozenset({"read", "write", "remove", "link"})

    def __init__(self, name: str, title: str, store: Store, keys: KeySource) -> None:
        super().__init__(name, title)
        self.store = store
        self._keys = keys
        self._client: tuple[Keys | None, Any] | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"s3-{name}")
        self._uploading: set[str] = set()
        self.keeps_existing: bool | None = None
        """Whether it refuses to replace an object when told so; None: not known yet."""

    async def children(self, path: str, cursor: str = "", limit: int = PAGE) -> Page:
        """Return a folder's entries; the cursor is the store's own."""
        if not path and self.store.bucket is None:
            return await self._buckets()
        bucket, key = self.split(path)
        prefix = f"{key}/" if key else ""
        wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
        wanted["MaxKeys"] = page_size(limit)
        if cursor:
            wanted["ContinuationToken"] = cursor
        answer = await self.call("list_objects_v2", **wanted)
        above = f"{path}/" if path else ""
        folders = [one["Prefix"][len(prefix) : -1] for one in answer.get("CommonPrefixes", [])]
        entries = [Entry(name, above + name, "folder") for name in folders]
        for one in answer.get("Contents", []):
            name = one["Key"][len(prefix) :]
            if name:  # else the folder's own mark
                entries.append(_file(name, above + name, one))
        return Page(tuple(entries), answer.get("NextContinuationToken"))

    async def details(self, path: str) -> Details:
        """Return an object, a folder or a bucket."""
        if not path:
            return Details(Entry(self.title, "", "folder"))
        bucket, key = self.split(path)
        if not key:
            await self.call("head_bucket", Bucket=bucket)
            return Details(Entry(bucket, path, "bucket"))
        name = key.rpartition("/")[2]
        try:
            head = await self.call("head_object", Bucket=bucket, Key=key)
        except LakeError as error:
            if error.code != "not-found" or not await self._is_folder(bucket, key):
                raise
            return Details(Entry(name, path, "folder"))
        own = {"content_type": head.get("ContentType"), "etag": head.get("ETag")}
        return Details(_file(name, path, head), own | head.get("Metadata", {}))

    async def stream(
        self, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield an object's bytes; after a cut it goes on where it was, if nothing has changed."""
        bucket, key = self.split(path)
        end = None if length is None else offset + length
        version: tuple[Any, Any] | None = None
        cuts = 0
        while end is None or offset < end:
            wanted = f"bytes={offset}-{'' if end is None else end - 1}"
            try:
                got = await self.call("get_object", Bucket=bucket, Key=key, Range=wanted)
                found = got.get("ETag"), got["LastModified"]
                if found != (version or found):
                    words = f"{path} has changed meanwhile."
                    raise LakeError("conflict", words, "Download it anew.")
                version = found
                left = got.get("ContentLength", -1)  # which never comes to 0
                while left and (part := await self.run(partial(got["Body"].read, PART))):
                    offset, left = offset + len(part), left - len(part)
                    yield part
                return
            except LakeError as error:
                if error.code == "wrong-input":  # it has no bytes there
                    return
                cuts += 1
                if error.code != "unreachable" or version is None or cuts > CUTS:
                    raise

    async def write(
        self, path: str, parts: AsyncIterator[bytes], size: int | None = None, *, mark: str = ""
    ) -> Entry:
        """Put an object there; after a cut, the same call sends only what is not there yet.

        `mark` is for doors: the store itself knows an unfinished upload by its key.
        """
        bucket, key = self.split(path)
        if not key or key.endswith("/"):
            raise LakeError("wrong-input", "An object needs a name.", "Give it one.")
        if path in self._uploading:
            words = f"{path} is being uploaded already."
            raise LakeError("conflict", words, "Wait for it, or choose another name.")
        self._uploading.add(path)
        try:
            length, mark_of_it = await S3Upload(self, bucket, key).run(parts, size)
        finally:
            self._uploading.discard(path)
        found = {"Size": length, "ETag": mark_of_it, "LastModified": datetime.now(UTC)}
        return _file(key.rpartition("/")[2], path, found)

    async def abandon(self, path: str, mark: str) -> None:
        """Drop the parts of unfinished uploads to a path."""
        bucket, key = self.split(path)
        listed = await self.call("list_multipart_uploads", Bucket=bucket, Prefix=key)
        for one in listed.get("Uploads", []):
            if one["Key"] == key:
                place = {"Bucket": bucket, "Key": key, "UploadId": one["UploadId"]}
                await self.call("abort_multipart_upload", **place)

    def address(self, path: str) -> str:
        """Return the address of an object, which opens it where the store is open."""
        bucket, key = self.split(path)
        return f"{self.store.endpoint.rstrip('/')}/{bucket}/{quote(key)}"

    async def replace(self, path: str, content: bytes) -> None:
        """Put a small object there, in place of another one."""
        bucket, key = self.split(path)
        await self.call("put_object", Bucket=bucket, Key=key, Body=content)

    async def discard(self, path: str) -> None:
        """Remove an object without looking."""
        bucket, key = self.split(path)
        await self.call("delete_object", Bucket=bucket, Key=key)

    async def create(self, path: str, kind: EntryKind) -> Entry:
        """Make a bucket, or the mark that makes an empty folder visible."""
        bucket, key = self.split(path)
        if kind == "bucket" and not key:
            await self.call("create_bucket", Bucket=bucket)
        elif kind == "folder" and key:
            await self.call("put_object", Bucket=bucket, Key=f"{key}/", Body=b"")
        else:
            raise self.unsupported("write")
        return Entry(path.rpartition("/")[2], path, kind)

    async def remove(self, path: str) -> None:
        """Remove an object, or an empty folder's mark."""
        bucket, key = self.split(path)
        found = (await self.details(path)).entry
        if found.kind == "bucket":
            raise self.unsupported("remove")
        if found.kind == "folder":
            if (await self.children(path, limit=2)).entries:
                words = f"{found.name} is not empty."
                raise LakeError("conflict", words, "Remove what is in it first.")
            key += "/"
        await self.call("delete_object", Bucket=bucket, Key=key)

    async def link(self, path: str, seconds: int) -> Link:
        """Return a signed link; it ends with the keys, where they end sooner."""
        if not 0 < seconds <= LONGEST_LINK:
            words = "A link works for one second to seven days."
            raise LakeError("wrong-input", words, "Choose a shorter time.")
        found = (await self.details(path)).entry
        if found.kind != "file":
            raise LakeError("wrong-input", f"{path} is no object.", "Link to one object.")
        bucket, key = self.split(path)
        client, keys = await self._connect()
        if keys is None:
            raise self.unsupported("link")
        ends = time.time() + seconds
        place = {"Bucket": bucket, "Key": key}
        sign = partial(client.generate_presigned_url, "get_object", place, ExpiresIn=seconds)
        url = await self.run(sign)
        return Link(url, ends if keys.ends is None else min(ends, keys.ends))

    async def close(self) -> None:
        """End its threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def split(self, path: str) -> tuple[str, str]:
        """Return bucket and key."""
        if "\0" in path or len(path.encode(errors="surrogatepass")) > 1024 + 64:
            raise LakeError("wrong-input", "That name is too long.", "Choose another one.")
        if self.store.bucket is not None:
            return self.store.bucket, path
        bucket, _, key = path.partition("/")
        return bucket, key

    async def call(self, method: str, **arguments: Any) -> Any:
        """Call the store in a thread."""
        client, _ = await self._connect()
        return await self.run(partial(getattr(client, method), **arguments))

    async def run(self, function: Callable[[], T]) -> T:
        """Run something of boto3's in a thread."""
        with s3_failures_of(self.title, self.store.endpoint):
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def _buckets(self) -> Page:
        answer = await self.call("list_buckets")
        found = answer.get("Buckets", [])
        return Page(tuple(Entry(one["Name"], one["Name"], "bucket") for one in found))

    async def _is_folder(self, bucket: str, key: str) -> bool:
        wanted = {"Bucket": bucket, "Prefix": f"{key}/", "MaxKeys": 1}
        return bool((await self.call("list_objects_v2", **wanted)).get("Contents"))

    async def _connect(self) -> tuple[Any, Keys | None]:
        """Return a client with the user's keys of now."""
        keys = await self._keys.keys()
        if self._client is None or self._client[0] != keys:
            self._client = keys, await self.run(partial(_client, self.store, keys))
        return self._client[1], keys


def _client(store: Store, keys: Keys | None) -> Any:
    config: dict[str, Any] = {
        "signature_version": UNSIGNED if keys is None else "s3v4",
        "s3": {"addressing_style": "path"},
        "connect_timeout": 10,
        "read_timeout": 60,
        "retries": {"mode": "standard", "total_max_attempts": 3},
        "max_pool_connections": THREADS,
    }
    # A session of its own: the default one would take keys from the server's own environment.
    return boto3.session.Session().client(
        "s3",
        endpoint_url=store.endpoint,
        region_name=store.region or "us-east-1",
        aws_access_key_id=keys.key if keys else None,
        aws_secret_access_key=keys.secret if keys else None,
        aws_session_token=keys.session if keys else None,
        verify=store.ca or True,
        config=Config(**config),
    )


def _file(name: str, path: str, found: Any) -> Entry:
    """Return the entry of an object from a listing or from its head."""
    etag = str(found.get("ETag", "")).strip('"')
    plain = len(etag) == MD5_LENGTH and all(char in "0123456789abcdef" for char in etag)
    return Entry(
        name,
        path,
        "file",
        size=found.get("Size", found.get("ContentLength")),
        modified=found["LastModified"].timestamp(),
        checksum=f"md5:{etag}" if plain else None,
    )
