"""Measure what asking whose account it is adds to a start: ALISE cold, warm, and remembered.

A real ALISE, with a link made by real logins at a real Keycloak, is asked by Farlab and, in turns,
by a bare HTTP client that does the same with an open connection.

    python benchmarks/bench_identity.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from farlab_hub.identity.mapping import Mapping
from farlab_hub.identity.person import Person
from farlab_real.alise import RunningAlise
from farlab_real.keycloak import RunningKeycloak
from farlab_sites.catalogue import Site
from stopping import exit_on_sigterm

ACCOUNT, USER = "itw001", "marie"
PROFILE = {
    "name": "p",
    "title": "P",
    "sizes": [{"title": "s", "cpu": 1, "memory": "1Gi"}],
    "images": [{"title": "i", "image": "/opt/i"}],
}


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    """Return how long one answer takes, in milliseconds."""
    start = time.perf_counter()
    await ask()
    return 1000 * (time.perf_counter() - start)


async def cold(site: Site, person: Person) -> float:
    """Return the time of a service's first question: no connection is open, nothing is known."""
    mapping = Mapping()
    try:
        return await timed(lambda: mapping.account(site, person, fresh=True))
    finally:
        await mapping.close()


async def measure(alise: RunningAlise, site: Site, person: Person, rounds: int) -> None:
    """Ask in turns, and show the medians."""
    mapping, took = Mapping(), {name: list[float]() for name in ("cold", "warm", "kept", "bare")}
    digest = hashlib.sha1(person.issuer.encode()).hexdigest()
    key = site.accounts.alise.key_file.read_text()  # type: ignore[union-attr]
    url = f"{alise.url}/api/v1/target/{alise.site}/mapping/issuer/{digest}/user/{person.subject}"
    async with aiohttp.ClientSession() as session:

        async def bare() -> None:
            async with session.get(url, params={"apikey": key}) as answer:
                told = await answer.json()
                assert told["internal"]["username"] == ACCOUNT

        await bare()
        assert (await mapping.account(site, person, fresh=True)).account == ACCOUNT
        ways = {
            "cold": lambda: cold(site, person),
            "warm": lambda: timed(lambda: mapping.account(site, person, fresh=True)),
            "kept": lambda: timed(lambda: mapping.account(site, person)),
            "bare": lambda: timed(bare),
        }
        for _ in range(rounds):
            for name in random.sample([*ways], len(ways)):  # nobody always comes after somebody
                took[name].append(await ways[name]())
    await mapping.close()
    median = {name: statistics.median(values) for name, values in took.items()}
    print("# " + ", ".join(f"{name} {value:.3f} ms" for name, value in median.items()))
    report("mapping_alise_cold_ms", median["cold"], "<= 50")
    report("mapping_alise_warm_ms", median["warm"], "<= 25")
    report("mapping_alise_cached_ms", median["kept"], "<= 1")
    report("mapping_alise_over_bare", median["warm"] / median["bare"], "<= 1.5")


def report(name: str, value: float, goal: str) -> None:
    """Print one figure."""
    print(f"bench spawn.{name} {value:.3f} goal {goal}", flush=True)


def main() -> None:
    """Start the real parts, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 50 if parser.parse_args().quick else 400
    exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="farlab-bench-identity-") as made:
        folder = Path(made)
        with (
            RunningKeycloak(folder / "keycloak") as keycloak,
            RunningAlise(folder / "alise", keycloak) as alise,
        ):
            keycloak.site.add_user(ACCOUNT)
            alise.link(ACCOUNT, USER)
            (folder / "key").write_text(alise.api_key())
            place = {"url": alise.url, "site": alise.site, "key_file": str(folder / "key")}
            site = Site.model_validate(
                {
                    "name": "vega",
                    "title": "Vega",
                    "kind": "hpc",
                    "carrier": {"direct": {"url": "http://127.0.0.1:4000"}},
                    "accounts": {"alise": place},
                    "profiles": [PROFILE],
                }
            )
            person = Person(USER, (), keycloak.hub.issuer, keycloak.hub.subject(USER))
            asyncio.run(measure(alise, site, person, rounds))


if __name__ == "__main__":
    main()
