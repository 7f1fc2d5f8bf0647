"""The sessions of this notebook: which one a cell gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from farlab_kernels.blocking_session import BlockingSession, attach, connect
from farlab_kernels.wishes import Wish, WishError


class Sessions:
    """By name; the last one used comes last."""

    def __init__(self) -> None:
        self._known: dict[str, BlockingSession] = {}

    def __iter__(self) -> Iterator[BlockingSession]:
        return reversed(list(self._known.values()))

    @property
    def last(self) -> BlockingSession | None:
        """The one used last, if its kernels still are."""
        return next((session for session in self if session.alive), None)

    def get(self, name: str) -> BlockingSession | None:
        """Return one of this notebook's, that is alive, if there is one of that name."""
        session = self._known.get(name)
        return session if session is not None and session.alive else None

    def use(self, session: BlockingSession) -> BlockingSession:
        """Make it the last one used."""
        self._known.pop(session.name, None)
        self._known[session.name] = session
        return session

    def forget(self, name: str) -> None:
        """Drop one."""
        self._known.pop(name, None)

    def choose(self, wish: Wish, name: str) -> BlockingSession:
        """Return the session for a cell, started if need be.

        Nothing but a site, or not even that, is asked for: the last one used there. Otherwise one
        that was started with the same wishes. Raises ServiceError, StartError.
        """
        return self.use(self.find(wish, name) or connect(name=name, **vars(wish)))

    def find(self, wish: Wish, name: str) -> BlockingSession | None:
        """Return the session for a cell, if this notebook has it. Raises WishError."""
        if name:
            session = self.get(name)
            if session is not None and wish.site not in ("", session.site):
                raise WishError(
                    f"{name} is at {session.site}, not at {wish.site}",
                    "Choose another name, or leave out the site.", code="name-taken",
                )  # fmt: skip
            return session
        return next((session for session in self if session.alive and _fits(session, wish)), None)

    def must(self) -> BlockingSession:
        """Return the last one used. Raises WishError if there is none."""
        if self.last is None:
            fix = "%offload status shows those you have."
            raise WishError("name a kernel", fix, code="which-kernel")
        return self.last

    def reach(self, name: str) -> BlockingSession:
        """Return a session by its name, the last one if there is none; another notebook's too."""
        if not name:
            return self.must()
        return self.use(self.get(name) or attach(name))


def _fits(session: BlockingSession, wish: Wish) -> bool:
    if wish.plain:
        return wish.site in ("", session.site)
    return session.session.wish == replace(wish, site=wish.site or session.site)
