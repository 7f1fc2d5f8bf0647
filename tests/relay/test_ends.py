"""Ends of streams on transports that behave as this Python's do not."""

from __future__ import annotations

import asyncio

from farlab_relay.streams import Socket, join


class FakeKeepingTransport(asyncio.Transport):
    """Keeps views of what it could not send, as asyncio does from Python 3.12 on."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[memoryview] = []
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.kept.append(memoryview(data))

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.kept))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return False


async def test_a_buffer_is_not_used_again_while_a_transport_keeps_it():
    one, two = Socket(), Socket()
    one.connection_made(FakeKeepingTransport())
    kept = FakeKeepingTransport()
    two.connection_made(kept)
    join(one, two)
    received = [b"a" * 100_000, b"b" * 100_000, b"little", b"less"]
    for data in received:
        one.get_buffer(-1)[: len(data)] = data
        one.buffer_updated(len(data))
    assert kept.kept == received

    # Little is copied: the buffer stays free.
    before = one.get_buffer(-1)
    one.buffer_updated(10)
    assert one.get_buffer(-1) is before


async def test_a_full_end_holds_the_other():
    one, two = Socket(), Socket()
    transport = FakeKeepingTransport()
    one.connection_made(transport)
    two.connection_made(FakeKeepingTransport())
    assert not transport.reading  # nothing is read before there is somewhere to send it
    join(one, two)
    assert transport.reading
    two.pause_writing()
    assert not transport.reading
    two.resume_writing()
    assert transport.reading
