"""`farlab account`: publish usage records, check messages, read a cluster's usage."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from farlab_sites.catalogue import Catalogue
from farlab_sites.loader import load_catalogue, load_file
from farlab_sites.problems import CatalogueError, did_you_mean
from farlab_sites.publishing import Target
from sqlalchemy import Engine

from .apel.items import Refusal
from .apel.months import Month, months_between
from .apel.naming import places_for
from .apel.publisher import Outcome, Publisher, Records, items_for, way_of
from .apel.queue import STAGE
from .apel.source import SourceError, ledger_source
from .apel.state import State, StateError
from .apel.validator import check_message, seconds
from .apel.way import DeliveryError
from .database import DatabaseUrlError, check_url, open_engine
from .probe.config import ProbeConfig
from .probe.prometheus import PrometheusError
from .probe.run import Window, publish_window

REJECTED = 3
"""The exit status when some records could not be sent as they are."""
_SHOWN = 20


class AccountError(Exception):
    """A command can't go on; the message says why and what to do."""


_KNOWN = (
    AccountError,
    CatalogueError,
    DatabaseUrlError,
    DeliveryError,
    PrometheusError,
    SourceError,
    StateError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `farlab account` and return its exit status."""
    args = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        return run(args)
    except _KNOWN as error:
        print(f"farlab account: {error}", file=sys.stderr)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"farlab account: {where}{error.strerror}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="farlab account", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    publish = commands.add_parser("publish", help="send what is new to the catalogue's targets")
    publish.add_argument("--catalogue", default="sites.yaml", help="the file with `publishing:`")
    publish.add_argument("--state-dir", default=".", help="the hub service's state folder")
    publish.add_argument("--db-url", default="", help="the hub service's, if it has one")
    publish.add_argument("--target", action="append", help="only this one; may be repeated")
    _add_months(publish)
    publish.set_defaults(run=_publish)
    check = commands.add_parser("check", help="say whether messages are right, or what is wrong")
    check.add_argument("files", nargs="+", help="messages, or queues of them")
    check.set_defaults(run=_check)
    probe = commands.add_parser("probe", help="make records of what a Prometheus saw in a cluster")
    probe.add_argument("--config", required=True, help="the probe's file, such as probe.yaml")
    probe.add_argument("--state-dir", default=".", help="where it notes what was sent")
    probe.add_argument("--since", help="first moment, such as 2026-10-01T00:00:00Z")
    probe.add_argument("--until", help="the moment after the last; default: now")
    _add_months(probe)
    probe.set_defaults(run=_probe)
    return parser


def _add_months(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--month", action="append", help="such as 2026-10; may be repeated")
    parser.add_argument(
        "--again", action="store_true", help="also what was sent before; needs --month"
    )


@dataclass(frozen=True)
class _Publication:
    """What one command publishes."""

    state: State
    catalogue: Catalogue
    records: Records
    months: Sequence[Month]
    again: bool


def _publish(args: argparse.Namespace) -> int:
    catalogue = load_catalogue(args.catalogue)
    months = _months(args)
    targets = _targets(catalogue, args.target)
    with State(Path(args.state_dir)) as state, _engine(args) as engine:
        whole = _Publication(state, catalogue, ledger_source(engine), months, args.again)
        return _each(targets, lambda target: _to_target(whole, target))


def _each(targets: Sequence[Target], send: Callable[[Target], bool]) -> int:
    """Send to each target: one that can't be reached is not in the way of the others."""
    failed = rejected = False
    for target in targets:
        try:
            rejected |= send(target)
        except DeliveryError as error:
            print(f"farlab account: {target.name}: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else REJECTED if rejected else 0


@contextmanager
def _engine(args: argparse.Namespace) -> Iterator[Engine]:
    """Open the hub service's database, and close it at the end."""
    if args.db_url:
        check_url(args.db_url)
    path = Path(args.state_dir) / "farlab.sqlite"
    if not args.db_url and not path.exists():
        raise AccountError(f"{path} is not there; name the hub service's folder with --state-dir")
    engine = open_engine(args.db_url or f"sqlite:///{path}", synced=False)
    try:
        yield engine
    finally:
        engine.dispose()


def _targets(catalogue: Catalogue, names: Sequence[str] | None) -> list[Target]:
    known = {target.name: target for target in catalogue.publishing}
    if not known:
        raise AccountError("the catalogue has no targets; add `publishing:` to it")
    for name in names or ():
        if name not in known:
            raise AccountError(f'there is no target "{name}"; {did_you_mean(name, known)}')
    return [target for target in catalogue.publishing if not names or target.name in names]


def _months(args: argparse.Namespace) -> list[Month]:
    if args.again and not args.month:
        raise AccountError("--again needs --month, such as --month 2026-10")
    try:
        return sorted({Month.parse(text) for text in args.month or ()})
    except ValueError as error:
        raise AccountError(str(error)) from None


def _to_target(whole: _Publication, target: Target) -> bool:
    """Send months to one target, and return whether records were rejected."""
    publisher = Publisher(whole.state, target.name, way_of(target))
    if resumed := publisher.resume():
        print(f"{target.name}: sent {resumed} messages that were waiting")
    places = places_for(target, whole.catalogue)
    if not places:
        raise AccountError("no site has an accounting name; add `accounting: {name: ...}` to one")
    rejected = False
    for month in whole.months or _due(whole.state, target):
        items = items_for(target, month, whole.records, places)
        outcome = publisher.publish(month, items, again=whole.again)
        rejected |= _tell(target.name, month, outcome)
    return rejected


def _due(state: State, target: Target) -> list[Month]:
    """Return the months from the last published one on; at first the last one and this one."""
    now = Month.of(time.time())
    last = state.last_month(target.name)
    first = min(now.previous(), Month.parse(last)) if last else now.previous()
    return list(months_between(first, now))


def _tell(name: str, month: Month, outcome: Outcome) -> bool:
    print(f"{name}: {month}: {outcome.records} records in {outcome.messages} messages")
    for line in _refused(outcome.refusals):
        print(f"{name}: {month}: not sent: {line}", file=sys.stderr)
    return bool(outcome.refusals)


def _refused(refusals: Sequence[Refusal]) -> Iterator[str]:
    yield from map(str, refusals[:_SHOWN])
    if len(refusals) > _SHOWN:
        yield f"... and {len(refusals) - _SHOWN} more records"


def _check(args: argparse.Namespace) -> int:
    bad = 0
    for path in _files(args.files):
        try:
            text = path.read_text(encoding="utf-8")
        except ValueError:
            print(f"{path}: is no text; give a message before it is signed or encrypted")
            bad += 1
            continue
        flaws = check_message(text)
        for flaw in flaws:
            print(f"{path}: {flaw}")
        bad += bool(flaws)
        if not flaws:
            print(f"{path}: ok")
    return 1 if bad else 0


def _files(names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield path
            continue
        found = [one for one in sorted(path.rglob("*")) if one.is_file() and not one.suffix]
        yield from (one for one in found if STAGE not in one.parts)


def _probe(args: argparse.Namespace) -> int:
    config = load_file(args.config, ProbeConfig)
    if not config.outputs:
        print("no output is enabled: nothing was read and nothing sent")
        return 0
    window = _window(args)
    with State(Path(args.state_dir)) as state:
        rejected = False
        for name, month, outcome in publish_window(config, window, state, again=args.again):
            rejected |= _tell(name, month, outcome)
    return REJECTED if rejected else 0


def _window(args: argparse.Namespace) -> Window:
    months = _months(args)
    if months and (args.since or args.until):
        raise AccountError("--month goes without --since and --until")
    now = int(time.time())
    if months:
        return Window(months[0].start, min(months[-1].end, now))
    until = _moment(args.until) if args.until else now
    return Window(_moment(args.since) if args.since else Month.of(until - 1).start, until)


def _moment(text: str) -> int:
    found = seconds(text)
    if found is None:
        raise AccountError(f'"{text[:40]}" is no moment; write it as 2026-10-01T00:00:00Z')
    return found
