"""What every carrier does, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from farlab_sites.interlink import Json
from farlab_sites.podstatus import PodStatus

WORDS_LIMIT = 2000
"""Characters of a site's own words that are kept."""


class CarrierError(Exception):
    """Something that a carrier could not do; the message is for the user."""


class CarrierUnreachable(CarrierError):  # noqa: N818 - it names a state of the world
    """The site did not answer, or not in a way that means anything: try again."""


class CarrierRejected(CarrierError):  # noqa: N818 - as above
    """The site refused for good, in its own words."""


class Carrier(Protocol):
    """What takes pods to a site. Every call has a time limit and raises CarrierError.

    `pod` is a v1.Pod as JSON; all but `create` need only its metadata (uid, name, namespace)
    and its containers' names. Its uid is the workload's.
    """

    async def create(
        self, pod: Json, secrets: Sequence[Json] = (), configmaps: Sequence[Json] = ()
    ) -> str:
        """Start the pod; return its job id, empty where it comes later with the status.

        The same uid again starts nothing new.
        """

    async def status(self, pods: Sequence[Json]) -> dict[str, PodStatus]:
        """Return the state of all these pods by uid, in one call; absent: unknown to the site.

        A pod that was deleted lately may still be told of, as ended, with what it used.
        """

    async def delete(self, pod: Json) -> None:
        """End the pod's job and remove what it left. An unknown pod is no error."""

    async def logs(self, pod: Json, *, container: str, tail: int = 0) -> str:
        """Return a container's output, at most the last `tail` lines unless that is 0."""

    def follow(self, pod: Json, *, container: str, tail: int = 0) -> AsyncIterator[bytes]:
        """Yield a container's output as it comes, the last `tail` lines first, to the job's end.

        The one call without a time limit: a job may be silent for hours.
        """

    async def ping(self) -> Json:
        """Return what the site tells of itself: resources, partitions; empty if nothing."""

    async def close(self) -> None:
        """Close the connections."""


def words_of(error: Exception) -> str:
    """Return why a connection failed, as briefly as it can be said."""
    cause = getattr(error, "os_error", error)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
