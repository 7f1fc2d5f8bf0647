"""A WebDAV door as a lake: XRootD, dCache, StoRM, Teapot, Nextcloud, Apache.

No WebDAV library lists in pages or goes on after a cut, so this speaks HTTP by itself.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from urllib.parse import unquote, urlsplit

import aiohttp

from ..endpoint import Endpoint
from ..lake import PAGE, Details, Entry, EntryKind, Lake, LakeError, Link, Page, page_size
from . import macaroons
from .listings import Listings
from .names import checked, folder_of, name_of, quoted
from .propfind import Multistatus, NotDavError, Resource
from .uploads import Upload, part_of, replace

PART = 1 << 18
CUTS = 3  # how often a download goes on where it was cut
HEADERS = {"Depth": "1", "Content-Type": "application/xml"}
WANTED = (
    b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/>'
    b"<D:getcontentlength/><D:getlastmodified/><D:getetag/></D:prop></D:propfind>"
)


class WebdavLake(Lake):
    """One door, or one folder of it, with the user's login."""

    kind = "webdav"
    capabilities = frozenset({"read", "write", "remove"})

    def __init__(self, name: str, title: str, endpoint: Endpoint) -> None:
        super().__init__(name, title)
        self.endpoint = endpoint
        self._listings = Listings(self._rows)
        self._uploading: set[str] = set()

    async def prepare(self) -> None:
        """Ask whether the door makes links."""
        if await macaroons.offered(self.endpoint):
            self.capabilities = WebdavLake.capabilities | {"link"}

    def url(self, path: str) -> str:
        """Return the address of an entry."""
        return f"{self.endpoint.url}/{quoted(checked(path))}" if path else self.endpoint.url

    async def children(self, path: str, cursor: str = "", limit: int = PAGE) -> Page:
        """Return a folder's entries in the order in which the door has them."""
        return await self._listings.page(checked(path), cursor, page_size(limit))

    async def details(self, path: str) -> Details:
        """Return an entry with its checksum, where the door knows it."""
        resource = await self._look(path)
        entry = self._entry(path, resource)
        if entry.kind == "file":
            _, digest = await self.size_and_digest(path)
            entry = self._entry(path, resource, digest)
        return Details(entry, {"url": self.url(path), "etag": resource.texts.get("getetag")})

    async def stream(
        self, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield a file's bytes; after a cut it goes on where it was, if the file is the same."""
        end = None
        if offset or length is not None:
            end = await self._end(path, offset, length)
        mark: str | None = None
        cuts = 0
        while end is None or offset < end:
            try:
                async with self._ranged(path, offset, end) as answer:
                    mark, size = _same_file(name_of(path), mark, answer)
                    end = size if end is None else end
                    begun = offset if answer.status == 206 else 0
                    async for part in answer.content.iter_chunked(PART):
                        wanted = part[max(0, offset - begun) :]
                        begun += len(part)
                        wanted = wanted if end is None else wanted[: end - offset]
                        offset += len(wanted)
                        if wanted:
                            yield wanted
                return
            except LakeError as error:
                cuts += 1
                if error.code != "unreachable" or mark is None or cuts > CUTS:
                    raise

    async def write(
        self, path: str, parts: AsyncIterator[bytes], size: int | None = None, *, mark: str = ""
    ) -> Entry:
        """Put a file there, with the folders above it.

        What a killed server leaves of it can be found again by `mark`, a word of the upload's own.
        """
        if not path:
            raise LakeError("wrong-input", "A file needs a name.", "Give it one.")
        if path in self._uploading:
            words = f"{name_of(path)} is being uploaded already."
            raise LakeError("conflict", words, "Wait for it, or choose another name.")
        self._uploading.add(path)
        try:
            await self.make_folders(folder_of(checked(path)))
            return await Upload(self, path, mark).run(parts, size)
        finally:
            self._uploading.discard(path)

    async def create(self, path: str, kind: EntryKind) -> Entry:
        """Make a folder."""
        if kind != "folder" or not path:
            raise self.unsupported("write")
        if await self.exists(path):  # which XRootD would not mind
            words = f"{name_of(path)} is there already."
            raise LakeError("conflict", words, "Choose another name.")
        async with self.endpoint.request("MKCOL", self.url(path)):
            return Entry(name_of(path), path, "folder")

    async def make_folders(self, path: str) -> None:
        """Make a folder and those above it, where they are not there yet."""
        if not path or await self.exists(path):
            return
        await self.make_folders(folder_of(path))
        try:
            await self.create(path, "folder")
        except LakeError as error:  # someone else may have been faster
            if error.code != "conflict" or not await self.exists(path):
                raise

    async def remove(self, path: str) -> None:
        """Remove a file or an empty folder; some doors would empty a full one."""
        resource = await self._look(path)
        if resource.folder and (await self.children(path, limit=1)).entries:
            words = f"{name_of(path) or self.title} is not empty."
            raise LakeError("conflict", words, "Remove what is in it first.")
        await self.discard(path)

    def address(self, path: str) -> str:
        """Return the address of an entry, as the catalogue's other parts name it."""
        return self.url(path)

    async def replace(self, path: str, content: bytes) -> None:
        """Put a small file there, in place of another one, with the folders above it."""
        await self.make_folders(folder_of(checked(path)))
        await replace(self, path, content)

    async def discard(self, path: str) -> None:
        """Remove a file without looking."""
        async with self.endpoint.request("DELETE", self.url(path)):
            return

    async def abandon(self, path: str, mark: str) -> None:
        """Remove what an upload with this mark has half sent under another name."""
        if not self.raw_names and await self.exists(part_of(path, mark)):
            await self.discard(part_of(path, mark))

    async def link(self, path: str, seconds: int) -> Link:
        """Return a link with a macaroon in it, where the door makes them."""
        if "link" not in self.capabilities:
            await self.prepare()
        if "link" not in self.capabilities:
            raise self.unsupported("link")
        return await macaroons.link(self.endpoint, self.url(path), seconds)

    async def exists(self, path: str) -> bool:
        """Say whether there is anything at a path."""
        try:
            await self._look(path)
        except LakeError as error:
            if error.code == "not-found":
                return False
            raise
        return True

    async def size_and_digest(
        self, path: str, *, digest: bool = True
    ) -> tuple[int | None, str | None]:
        """Return a file's size and checksum, each None where the door does not tell."""
        wanted = {"Want-Digest": "adler32"} if digest else {}
        try:
            async with self.endpoint.request("HEAD", self.url(path), headers=wanted) as answer:
                length = answer.headers.get("Content-Length", "")
                size = int(length) if length.isdecimal() else None
                return size, _digest(answer.headers.get("Digest", ""))
        except LakeError as error:
            if digest and error.code in ("denied", "bad-answer"):  # it may not read for a checksum
                return await self.size_and_digest(path, digest=False)
            raise

    async def close(self) -> None:
        """End listings and connections."""
        await self._listings.close()
        await self.endpoint.close()

    @property
    def raw_names(self) -> bool:
        """Whether the door takes and gives names as they are where URLs are due (XRootD)."""
        return self.endpoint.server.startswith("XrootD")

    async def _end(self, path: str, offset: int, length: int | None) -> int | None:
        """Return where a range ends that the file has: XRootD gets any other one wrong."""
        size, _ = await self.size_and_digest(path, digest=False)
        if length is None or size is None:
            return size
        return min(size, offset + length)

    def _ranged(
        self, path: str, offset: int, end: int | None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {"Accept-Encoding": "identity"}
        if end is not None:
            headers["Range"] = f"bytes={offset}-{end - 1}"
        return self.endpoint.request("GET", self.url(path), headers=headers)

    async def _look(self, path: str) -> Resource:
        async with aclosing(self._resources(path, "0")) as resources:
            async for resource in resources:
                return resource
        raise self.endpoint.rubbish("an empty list")

    async def _rows(self, path: str) -> AsyncGenerator[Entry, None]:
        """Yield a folder's entries as they come in."""
        folder = path + "/" if path else ""
        async with aclosing(self._resources(path, "1")) as resources:
            async for resource in resources:
                found = self._path_of(resource.href)
                if found == path and not resource.folder:
                    words = f"{name_of(path)} is a file."
                    raise LakeError("wrong-input", words, "Open it instead.")
                if found and found.startswith(folder) and _is_name(found[len(folder) :]):
                    yield self._entry(found, resource)

    async def _resources(self, path: str, depth: str) -> AsyncGenerator[Resource, None]:
        """Yield what PROPFIND tells; the connection ends with the generator."""
        url = self.url(path)
        headers = HEADERS | {"Depth": depth}
        parser = Multistatus()
        async with self.endpoint.request("PROPFIND", url, headers=headers, data=WANTED) as answer:
            try:
                async for part in answer.content.iter_any():
                    for resource in parser.feed(part):
                        yield resource
                for resource in parser.feed(b"", last=True):
                    yield resource
            except NotDavError as error:
                raise self.endpoint.rubbish(f"no WebDAV listing ({error})") from error

    def _path_of(self, href: str) -> str | None:
        """Return which path of this lake an href means; None for what is outside of it."""
        found = urlsplit(href).path if "://" in href else href
        found = found if self.raw_names else unquote(found)
        base = unquote(self.endpoint.base) + "/"
        inside = (found.rstrip("/") + "/").startswith(base)
        return found[len(base) :].strip("/") if inside else None

    def _entry(self, path: str, resource: Resource, digest: str | None = None) -> Entry:
        return Entry(
            name_of(path),
            path,
            "folder" if resource.folder else "file",
            size=resource.size,
            modified=resource.modified,
            checksum=digest,
        )


def _is_name(text: str) -> bool:
    """Say whether a server's word can be an entry of a folder, and no path."""
    return text not in ("", ".", "..") and "/" not in text and text.isprintable()


def _same_file(
    name: str, mark: str | None, answer: aiohttp.ClientResponse
) -> tuple[str, int | None]:
    """Return what tells a file from its next version, and its size; raise where it has changed."""
    whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
    size = whole or answer.headers.get("Content-Length", "")
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified", "")
    found = f"{size} {version}"
    if mark is not None and found != mark:
        raise LakeError("conflict", f"{name} has changed meanwhile.", "Download it anew.")
    return found, int(size) if size.isdecimal() else None


def _digest(header: str) -> str | None:
    """Return the first known checksum of a Digest header: adler32 is hexadecimal, md5 base64."""
    for one in header.split(","):
        kind, _, value = one.strip().partition("=")
        if kind.lower() == "adler32":
            return f"adler32:{value.lower().zfill(8)}"
        if kind.lower() == "md5":
            return f"md5:{base64.b64decode(value).hex()}"
    return None
