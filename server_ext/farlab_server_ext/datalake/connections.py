"""HTTP connections to lakes: which certificates are trusted, and what each failure means to a user.

No redirect is followed: a lake that sends a call elsewhere would send the user's token there too.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from .lake import LakeError

CONNECT_TIME = 10.0
"""Seconds until a lake must have taken a connection."""
SILENCE = 60.0
"""Seconds that a lake may say nothing."""

TRUST_FIX = (
    "Name the file or folder with its certificate authority under `ca:` of the lake in the "
    "catalogue; the grid's (IGTF) are usually in /etc/grid-security/certificates."
)


def trust(ca: str | None, proxy: str | None = None) -> ssl.SSLContext:
    """Return what decides whom to trust: a file or a folder of authorities, else the system's.

    `proxy` is a file with the user's own certificate and key. Raise LakeError for a bad file.
    """
    fix = "Correct its path in the catalogue, or ask who runs the hub."
    try:
        context = ssl.create_default_context()
        if ca:
            folder = Path(ca).is_dir()
            context.load_verify_locations(**{"capath" if folder else "cafile": ca})
    except (OSError, ssl.SSLError) as error:
        words = f"The trusted certificates in {ca} can't be read: {_words(error)}."
        raise LakeError("untrusted-certificate", words, fix) from None
    try:
        if proxy:
            context.load_cert_chain(proxy)
    except (OSError, ssl.SSLError) as error:
        words = f"Your certificate in {proxy} can't be read: {_words(error)}."
        raise LakeError("login", words, "Make a new proxy there, and try again.") from None
    return context


def open_session(context: ssl.SSLContext | None, silence: float = SILENCE) -> aiohttp.ClientSession:
    """Return a session; whoever opens it closes it. It keeps no cookies: tokens say who calls."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIME, sock_read=silence)
    # gunicorn, and so many a Rucio, ends a connection after 2 s of silence: what is sent in that
    # moment is lost. So an idle one is not used again after half of that.
    connector = aiohttp.TCPConnector(ssl=context or True, limit=16, keepalive_timeout=1.0)
    jar = aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(timeout=timeout, connector=connector, cookie_jar=jar)


@contextmanager
def failures_of(title: str, url: str) -> Iterator[None]:
    """Turn what goes wrong on the way to a lake into LakeError; `title` is the lake's."""
    host = urlsplit(url).hostname or url
    later = "Try again later; if it stays so, tell who runs it."
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        words = f"{title}: the certificate of {host} is not trusted ({_words(error)})."
        raise LakeError("untrusted-certificate", words, TRUST_FIX) from None
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        words = f"{title}: no TLS connection to {host} ({_words(error)})."
        raise LakeError("untrusted-certificate", words, TRUST_FIX) from None
    except aiohttp.ClientConnectorError as error:
        words = f"{title} can't be reached at {host}: {_words(error)}."
        raise LakeError("unreachable", words, later) from None
    except TimeoutError:
        raise LakeError("unreachable", f"{title} does not answer in time.", later) from None
    except aiohttp.ClientResponseError as error:
        words = f"{title} answers what is not HTTP: {error.message[:100]}."
        raise LakeError("bad-answer", words, later) from None
    except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
        words = f"{title} ended the connection: {_words(error)}."
        raise LakeError("unreachable", words, later) from None


def _words(error: BaseException) -> str:
    """Return a failure in a few words, without addresses of objects or long chains."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    words = getattr(inner, "verify_message", "") or getattr(inner, "strerror", "") or str(inner)
    return (words or type(error).__name__)[:200]
