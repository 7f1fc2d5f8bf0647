"""A kernel that does nothing is ended where the site says so; one that works is not."""

from __future__ import annotations

from farlab_kernels.keeper.idle import until_idle, words
from farlab_real.kernel_parts import keeper


async def test_a_kernel_that_nobody_uses_ends_its_job():
    async with keeper(FARLAB_IDLE="1") as place:
        assert await place.wait() == 79


async def test_what_runs_or_prints_is_not_idle():
    looks = []

    def busy() -> bool:
        looks.append("busy" if len(looks) < 40 else "idle")
        return looks[-1] == "busy"

    await until_idle(0.2, busy, lambda: 0)
    assert looks.count("idle") >= 10  # the whole time again, after the last that it was busy

    counts = iter([*range(40), *[40] * 1000])
    seen = []

    def count() -> int:
        seen.append(next(counts))
        return seen[-1]

    await until_idle(0.2, lambda: False, count)
    assert seen[-1] == 40


def test_words():
    said = [words(seconds) for seconds in (59, 60, 90, 3600, 5400, 86400)]
    assert said == ["59 seconds", "1 minute", "1.5 minutes", "1 hour", "1.5 hours", "24 hours"]
