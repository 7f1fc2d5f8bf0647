"""Refusals as JupyterHub 5 and 6 show and log them."""

from __future__ import annotations

import asyncio
import io
import logging

import pytest
from farlab_spawner.errors import LinkOnlyPrefills, SpawnRefused, log_in_one_line
from jupyterhub.utils import format_exception
from tornado import web


def test_hub_shows_the_text() -> None:
    error = SpawnRefused("Not linked: 100 % sure", reason="not-linked", status=403)
    assert format_exception(error) == ("Not linked: 100 % sure", "")
    assert (error.status_code, error.reason) == (403, "not-linked")
    assert str(error) == error.get_message() == "Not linked: 100 % sure"


def test_hub_shows_the_html_where_there_is_some() -> None:
    error = SpawnRefused("text", reason="x", html="<p>text</p>")
    assert format_exception(error) == ("", "<p>text</p>")
    assert format_exception(error, only_jupyterhub=True) == ("", "<p>text</p>")


def test_it_is_what_both_hubs_pass_on() -> None:
    error = SpawnRefused("text", reason="x")
    assert isinstance(error, web.HTTPError)
    error.reason = "error"  # as JupyterHub 5 does
    assert str(error) == "text"


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ("OOMKilled", "oomkilled"),
        ("The site said\r\nX-Evil: 1", "the-site-said-x-evil-1"),
        ("日本", "failed"),
        ("", "failed"),
    ],
)
def test_reason_is_one_harmless_word(given: str, label: str) -> None:
    assert SpawnRefused("text", reason=given).reason == label


def test_link_shows_nothing() -> None:
    assert format_exception(LinkOnlyPrefills()) == ("", "")


def logged(error: Exception) -> str:
    logger = logging.Logger("hub")
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    log_in_one_line(logger)
    log_in_one_line(logger)
    try:
        raise error
    except Exception:
        logger.exception("Failed to spawn %s", "server")
    return out.getvalue()


def test_refusal_is_one_line_of_log() -> None:
    assert logged(SpawnRefused("50 % of it", reason="x")) == (
        "ERROR Failed to spawn server: 50 % of it\n"
    )


def test_link_is_no_error_in_the_log() -> None:
    assert logged(LinkOnlyPrefills()) == "INFO Showing the spawn form with the choices of a link\n"


async def test_failure_that_nobody_awaits_is_not_logged_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_in_one_line(logging.getLogger("hub"))
    asyncio.get_running_loop().call_exception_handler(
        {"message": "never retrieved", "exception": SpawnRefused("text", reason="x")}
    )
    assert caplog.text == ""
    asyncio.get_running_loop().call_exception_handler(
        {"message": "never retrieved", "exception": ValueError("bug")}
    )
    assert "bug" in caplog.text


def test_other_errors_keep_their_traceback() -> None:
    assert "Traceback" in logged(ValueError("bug"))
