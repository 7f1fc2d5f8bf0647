"""What the tests find in their Rucio: users, scopes, RSEs, some files and very many."""

from __future__ import annotations

from collections.abc import Callable

from farlab_server_ext.datalake.rucio.auth import ByPassword, Password, Service
from farlab_server_ext.datalake.rucio.lake import RucioLake
from farlab_server_ext.datalake.rucio.paths import Here

from farlab_real import rucio_seed
from farlab_real.rucio_server import RunningRucio

MANY = 8_000
"""Files of the scope `many`, all of them in its dataset `all`, and one more."""
DAYS = {f"day-{day:03}.csv": f"day,value\n{day},1\n".encode() for day in range(12)}
"""Files of the scope `demo`, all of them in its dataset `days`."""

OpenLake = Callable[..., RucioLake]


def password_of(user: str) -> str:
    """Return a user's password, which is the same in each Rucio."""
    return f"the-password-of-{user}"


def fill(rucio: RunningRucio) -> None:
    """Put everything into a new Rucio that allows any name."""
    admin, folder = rucio.admin, rucio.folder
    for user in ("alice", "bob"):
        admin.add_user(user, password_of(user), f"user.{user}")
    # Rucio's own permissions let nobody else add replicas, or change even his own rules.
    admin.call("POST", "/accounts/alice/attr/admin", {"key": "admin", "value": "true"})
    # What tests put there themselves goes into `play` and `outside`: the others stay as they are.
    for scope in ("demo", "odd", "many", "play", "outside"):
        admin.add_scope(scope)
    admin.add_rse("VEGA", folder / "vega")
    admin.add_rse("PSNC", folder / "psnc")
    admin.add_rse("POOL", folder / "pool", deterministic=False)
    for account in ("root", "alice"):
        for rse in ("VEGA", "PSNC", "POOL"):
            admin.allow(account, rse)
    admin.put("VEGA", folder / "vega", "demo", DAYS)
    admin.add_dataset("demo", "days")
    admin.attach("demo", "days", [("demo", name) for name in DAYS])
    admin.add_dataset("demo", "year", "CONTAINER")
    admin.attach("demo", "year", [("demo", "days")])
    rucio_seed.add_files(rucio, "many", "file-", MANY, "VEGA")
    rucio_seed.add_dataset(rucio, "many", "all", "file-", MANY)


def lake_of(url: str, user: str, here: Here | None = None, silence: float = 60.0) -> RucioLake:
    """Open a Rucio as a user, at the RSE `VEGA` if at no other."""
    who = ByPassword(Service("ESCAPE", url, url), Password(user, user, password_of(user)))
    return RucioLake("escape", "ESCAPE", who, here or Here("VEGA"), silence=silence)
