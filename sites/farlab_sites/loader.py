"""Read `sites.yaml`, and any other file that a pydantic model describes.

The file is input like any other: too big, too deep, recursive or no YAML at all, it ends in a
`CatalogueError` whose sentences name file, line, field and the fix, never in anything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from farlab_sites.catalogue import Catalogue
from farlab_sites.problems import CatalogueError, Problem, field_name, where_of, words_of
from farlab_sites.yamlfile import SIZE_LIMIT, Where, YamlError, read_yaml

M = TypeVar("M", bound=BaseModel)


def load_catalogue(path: str | Path) -> Catalogue:
    """Return the catalogue in a file; raise CatalogueError with everything that is wrong."""
    return load_file(path, Catalogue)


def load_file(path: str | Path, model: type[M]) -> M:
    """Return what a YAML file holds as a model; raise CatalogueError.

    Relative paths in it start at the file's own folder.
    """
    file = str(path)
    try:
        data, lines = read_yaml(_read(Path(path)))
    except YamlError as error:
        field = field_name(error.where)
        raise CatalogueError([Problem(file, error.line, field, error.message, error.fix)]) from None
    if not isinstance(data, dict):
        first = next(iter(model.model_fields))
        problem = Problem(file, 1, "", "is not a mapping", f'start the file with "{first}:"')
        raise CatalogueError([problem])
    try:
        return model.model_validate(data, context={"folder": Path(path).absolute().parent})
    except ValidationError as error:
        raise CatalogueError(_problems(file, error, model, lines)) from None


def _read(path: Path) -> bytes:
    """Return a regular file's bytes, at most one more than are allowed."""
    try:
        if path.exists() and not path.is_file():
            raise YamlError(0, "is not a regular file", "name the YAML file itself")
        with path.open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise YamlError(0, f"can't be read: {words}", "check its name and permissions") from None


def _problems(
    file: str, error: ValidationError, model: type[BaseModel], lines: dict[Where, int]
) -> list[Problem]:
    """Return an error of pydantic as problems, in the order of the file's lines."""
    found = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # pydantic counts only the right items; the wrong ones are named themselves
        where = where_of(detail)
        message, fix = words_of(detail, model)
        found.append(Problem(file, _line(where, lines), field_name(where), message, fix))
    return sorted(found, key=lambda problem: problem.line)


def _line(where: Where, lines: dict[Where, int]) -> int:
    """Return the line of a value, or of the innermost part around it that is in the file."""
    while where not in lines:
        where = where[:-1]
    return lines[where]
