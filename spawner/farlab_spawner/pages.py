"""HTML: the form, an ending, a refusal. All text is escaped by Jinja2."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .endings import Ending
from .form import FormView

_FOLDER = Path(__file__).parent
PAGES = [str(_FOLDER / "templates"), str(_FOLDER / "static")]
"""JupyterHub's pages as Farlab changes them, and what they include: for `template_paths`."""


def form_html(view: FormView) -> str:
    """Return the form's fields, with the style and the script they need."""
    return _environment().get_template("farlab/form.html").render(form=view)


def failure_html(ending: Ending) -> str:
    """Return what is shown of a server that ended or did not start."""
    return _environment().get_template("farlab/ending.html").render(ending=ending)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
