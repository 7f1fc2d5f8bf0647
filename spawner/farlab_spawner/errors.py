"""What the spawner refuses, and how JupyterHub 5.3 to 6 show it.

JupyterHub 6 has `SpawnException`; JupyterHub 5 does not. Both show an error's `jupyterhub_message`
and `jupyterhub_html_message` on the form and on the progress page, and only those: the class below
offers them on every version. JupyterHub prints the text instead of the HTML where both are there,
so the text is empty when there is HTML.
"""

from __future__ import annotations

import logging
import re

from jupyterhub import spawner as hub_spawner
from tornado import web

_Base = getattr(hub_spawner, "SpawnException", web.HTTPError)


class SpawnRefused(_Base):  # type: ignore[misc, valid-type]
    """A server that is not started, or did not start, for a reason the user can read.

    `reason` is a short word for metrics (`not-linked`, `choice`, ...); `message` is the whole
    story in one paragraph; `html` is the same with a link, a log's tail, ... for the hub's pages.
    """

    log_message = ""  # over tornado's, which newer versions make a property

    def __init__(self, message: str, *, reason: str, html: str = "", status: int = 400) -> None:
        web.HTTPError.__init__(self, status, message)
        self.status_code = status
        self.reason = re.sub(r"[^a-z0-9]+", "-", reason.lower()).strip("-")[:40] or "failed"
        self.message = message
        self.message_html = html
        self.log_message = message

    @property
    def jupyterhub_message(self) -> str:
        """The text for the hub's pages, unless there is HTML for them."""
        return "" if self.message_html else self.message

    @property
    def jupyterhub_html_message(self) -> str:
        """The HTML for the hub's pages; empty when there is only text."""
        return self.message_html

    def get_message(self) -> str:
        """Return the text; tornado would interpret a per cent sign in it."""
        return self.message

    def __str__(self) -> str:
        return self.message


class LinkOnlyPrefills(Exception):  # noqa: N818
    """Raised where JupyterHub would start a server because of a link: it shows the form instead."""

    jupyterhub_message = ""
    jupyterhub_html_message = ""

    def __str__(self) -> str:
        return "a link prefills the form; nothing was started"


class OneLine(logging.Filter):
    """Log what is raised on purpose as one line: JupyterHub adds a traceback to everything."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record of a refused spawn or of a prefilled form."""
        error = record.exc_info[1] if record.exc_info else None
        if record.name == "asyncio":
            # Nobody awaits a spawn that fails after its page was sent; the hub has logged it.
            return not isinstance(error, SpawnRefused)
        if isinstance(error, SpawnRefused | LinkOnlyPrefills):
            record.msg = f"{record.getMessage()}: {error}"
            record.args = ()
            record.exc_info = None
            record.exc_text = None
        if isinstance(error, LinkOnlyPrefills):
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg = "Showing the spawn form with the choices of a link"
        return True


_one_line = OneLine()


def log_in_one_line(logger: logging.Logger) -> None:
    """Let `logger` (the hub's) log refused spawns without a traceback; repeatable."""
    logger.addFilter(_one_line)
    logging.getLogger("asyncio").addFilter(_one_line)
