"""Third-party copies between two real XRootD doors, their faults, and what doors may say."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from farlab_real.cable import Cable
from farlab_real.door_pair import DoorPair
from farlab_real.versitygw import RunningVersitygw
from farlab_real.xrootd import XrootdDoors
from farlab_server_ext.datalake.lake import Lake, LakeError
from farlab_server_ext.datalake.storage.s3 import Keys, S3Lake, Store
from farlab_server_ext.datalake.transfers.markers import Markers
from farlab_server_ext.datalake.transfers.model import File
from farlab_server_ext.datalake.transfers.tpc import BEGUN, Outcome, ThirdPartyCopy

MIB = 1024 * 1024


class Pair(DoorPair):
    """Copies between the doors."""

    async def copy(
        self,
        file: File,
        *,
        overwrite: bool = False,
        source: Lake | None = None,
        destination: Lake | None = None,
    ) -> Outcome:
        copy = ThirdPartyCopy(
            source or self.lake(self.doors.one),
            destination or self.lake(self.doors.other),
            settled=0.5,
        )
        return await copy.run(file, overwrite=overwrite, progress=lambda _: None)


@pytest.fixture
async def pair(doors: XrootdDoors) -> AsyncIterator[Pair]:
    made = Pair(doors)
    yield made
    await made.close()


async def test_the_destination_pulls(pair: Pair) -> None:
    content = secrets.token_bytes(3 * MIB)
    pair.put(pair.doors.one, "f", content)
    assert await pair.copy(File("f", "one/two/f")) == Outcome("done")
    assert pair.arrived("one/two/f") == content


async def test_names_that_need_quoting(pair: Pair) -> None:
    source, destination = pair.lake(pair.doors.one), pair.lake(pair.doors.other)
    for name in ("a b", "50%2Fx", "a&b", "scope:name", "#1"):
        pair.put(pair.doors.one, name, b"content")
        outcome = await pair.copy(File(name, name), source=source, destination=destination)
        assert (name, outcome) == (name, Outcome("done"))
        assert pair.arrived(name) == b"content"


async def test_the_same_file_is_not_copied_again(pair: Pair) -> None:
    pair.put(pair.doors.one, "f", b"content")
    pair.put(pair.doors.other, "f", b"content")
    outcome = await pair.copy(File("f", "f"))
    assert outcome.state == "done"
    assert "already" in outcome.reason


async def test_another_file_is_overwritten_only_when_told(pair: Pair) -> None:
    pair.put(pair.doors.one, "f", b"content")
    pair.put(pair.doors.other, "f", b"another")
    assert (await pair.copy(File("f", "f"))).state == "failed"
    assert pair.arrived("f") == b"another"
    assert (await pair.copy(File("f", "f"), overwrite=True)).state == "done"
    assert pair.arrived("f") == b"content"


async def test_our_own_stub_is_overwritten(pair: Pair) -> None:
    pair.put(pair.doors.one, "f", b"content")
    pair.put(pair.doors.other, "f", b"")
    assert (await pair.copy(File("f", "f", handle=BEGUN))).state == "done"
    assert pair.arrived("f") == b"content"


async def test_a_source_that_is_not_there(pair: Pair) -> None:
    outcome = await pair.copy(File("nothing", "f"))
    assert outcome.state == "failed"
    assert "nothing" in outcome.reason
    assert pair.arrived("f") is None


async def test_201_and_a_failure_in_the_last_line(pair: Pair) -> None:
    """A source that can be looked at and not read: the door says 201, and leaves an empty file."""
    pair.put(pair.doors.one, "f", b"content")
    issuer = pair.doors.issuer
    tokens = [issuer.token(), issuer.token("storage.read:/elsewhere")]
    source = pair.lake(pair.doors.one, lambda: tokens.pop(0) if len(tokens) > 1 else tokens[0])
    outcome = await pair.copy(File("f", "f"), source=source)
    assert outcome.state == "failed"
    assert "403" in outcome.reason
    assert pair.arrived("f") is None


async def test_a_source_token_that_has_ended(pair: Pair) -> None:
    pair.put(pair.doors.one, "f", b"content")
    tokens = [pair.doors.issuer.token(), pair.doors.issuer.token(seconds=-10)]
    source = pair.lake(pair.doors.one, lambda: tokens.pop(0) if len(tokens) > 1 else tokens[0])
    assert (await pair.copy(File("f", "f"), source=source)).state == "expired"
    assert pair.arrived("f") is None


async def test_a_destination_token_that_has_ended(pair: Pair) -> None:
    pair.put(pair.doors.one, "f", b"content")
    ended = pair.lake(pair.doors.other, lambda: pair.doors.issuer.token(seconds=-10))
    assert (await pair.copy(File("f", "f"), destination=ended)).state == "expired"


async def test_a_copy_that_was_cut_and_is_complete(pair: Pair) -> None:
    """The connection ends after the last byte and before the last line: looking tells."""
    content = secrets.token_bytes(MIB)
    pair.put(pair.doors.one, "f", content)
    cut = await _copy_that_is_cut(pair, content)
    assert cut == Outcome("done")
    assert pair.arrived("f") == content


async def test_a_copy_that_was_cut_and_is_not_complete(pair: Pair) -> None:
    pair.put(pair.doors.one, "f", b"content")
    cut = await _copy_that_is_cut(pair, b"con")
    assert cut.state == "failed"
    assert pair.arrived("f") is None


async def _copy_that_is_cut(pair: Pair, left: bytes) -> Outcome:
    """Copy by way of a door that says 201 and a marker, leaves some bytes, and says no more."""

    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        pair.put(pair.doors.other, "f", left)
        writer.write(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"c\r\nPerf Marker\n\r\n")
        await writer.drain()
        writer.close()

    real = pair.lake(pair.doors.other)
    real_request = real.endpoint.request

    def request(method: str, url: str, **more: object) -> object:
        return real_request(method, cut_url if method == "COPY" else url, **more)  # type: ignore[arg-type]

    async with await asyncio.start_server(door, "127.0.0.1", 0) as server:
        cut_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/store"
        real.endpoint.request = request  # type: ignore[method-assign, assignment]
        return await pair.copy(File("f", "f"), destination=real)


async def test_a_cable_that_is_cut_in_the_middle_of_a_copy(pair: Pair) -> None:
    """The real door, asked through a cable that breaks: it either ends the copy or stops it."""
    content = secrets.token_bytes(64 * MIB)
    pair.put(pair.doors.one, "f", content)
    async with Cable(pair.doors.other.port) as cable:
        base = f"https://localhost:{cable.port}/store"
        destination = pair.lake(pair.doors.other, url=base)

        def cut(_: int) -> None:
            cable.cut()
            cable.mend()

        copy = ThirdPartyCopy(pair.lake(pair.doors.one), destination, settled=5)
        outcome = await copy.run(File("f", "f"), overwrite=False, progress=cut)
    if outcome.state == "done":
        assert pair.arrived("f") == content
    else:
        assert pair.arrived("f") is None
        async with asyncio.timeout(120):
            # The door may hold the file for a while.
            while (await pair.copy(File("f", "f", handle=BEGUN))).state != "done":
                await asyncio.sleep(0.2)
        assert pair.arrived("f") == content


async def test_an_object_store_as_the_source(pair: Pair, s3_server: RunningVersitygw) -> None:
    """A door can't reach the S3 server from its namespace: the failure is told, nothing is left."""
    bucket = s3_server.bucket(f"b-{secrets.token_hex(4)}")
    (bucket / "f").write_bytes(b"content")

    class TheKeys:
        async def keys(self) -> Keys:
            return Keys(s3_server.key, s3_server.secret)

    source = S3Lake("s3", "S3", Store(s3_server.endpoint, bucket.name), TheKeys())
    pair.lakes.append(source)
    outcome = await pair.copy(File("f", "f"), source=source)
    assert outcome.state == "failed"
    assert "Couldn't connect" in outcome.reason
    assert pair.arrived("f") is None
    with pytest.raises(LakeError) as caught:
        ThirdPartyCopy(pair.lake(pair.doors.one), source)
    assert caught.value.code == "unsupported"


async def test_the_source_pushes_where_the_destination_does_not_pull(pair: Pair) -> None:
    content = secrets.token_bytes(MIB)
    pair.put(pair.doors.one, "f", content)
    destination = pair.lake(pair.doors.other)
    real_request = destination.endpoint.request

    def request(method: str, url: str, **more: object) -> object:
        if method == "COPY":
            raise LakeError("unsupported", "no COPY here", "")
        return real_request(method, url, **more)  # type: ignore[arg-type]

    destination.endpoint.request = request  # type: ignore[method-assign, assignment]
    assert await pair.copy(File("f", "f"), destination=destination) == Outcome("done")
    assert pair.arrived("f") == content


ANSWERS = [
    (b"success: Created\n", True, 0),
    (b"Perf Marker\nStripe Bytes Transferred: 7\nEnd\nsuccess: Created", True, 7),
    (b"failure: Remote side failed with status code 404; error message: x\n", False, 0),
    (b"Perf Marker\nStripe Bytes Transferred: 7\nEnd\n", None, 7),
    (b"success: Created\nfailure: late\n", False, 0),
    (b"Stripe Bytes Transferred: -5\nStripe Bytes Transferred: x\n", None, 0),
    (b"Perf Marker\nStripe Bytes Transferred: 3\nStripe Bytes Transferred: 4\nEnd\n", None, 7),
    (b"\xff\xfe" * 10_000, None, 0),
    (b"", None, 0),
]


@pytest.mark.parametrize(("answer", "verdict", "carried"), ANSWERS)
@pytest.mark.parametrize("length", [1, 7, 100_000])
def test_markers(answer: bytes, verdict: bool | None, carried: int, length: int) -> None:
    markers = Markers()
    for start in range(0, len(answer), length):
        markers.feed(answer[start : start + length])
    markers.end()
    assert (markers.verdict, markers.bytes_done) == (verdict, carried)
