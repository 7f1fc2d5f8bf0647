"""A real Rucio behind TLS: trust, and users who are known by their certificates."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from farlab_real.authority import Authority
from farlab_real.rucio_server import RunningRucio
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.rucio.auth import ByCertificate, Service
from farlab_server_ext.datalake.rucio.lake import RucioLake


def service(virgo: RunningRucio, ca: Path | None) -> Service:
    """Return where the Rucio is, and whom to trust."""
    return Service("Virgo", virgo.url, virgo.url, None if ca is None else str(ca))


def proxy(authority: Authority, name: str) -> str:
    """Return a file with a user's certificate and key."""
    certificate, key = authority.issue(name)
    file = authority.folder / f"{name}.proxy"
    file.write_bytes(certificate.read_bytes() + key.read_bytes())
    return str(file)


async def test_a_user_is_known_by_a_certificate(
    virgo: RunningRucio, rucio_authority: Authority
) -> None:
    file = proxy(rucio_authority, "virgo")
    who = ByCertificate(service(virgo, rucio_authority.ca), file, None)
    lake = RucioLake("virgo", "Virgo", who)
    assert [entry.name for entry in (await lake.children("")).entries] == ["user.virgo"]
    assert await lake.client.account() == "virgo"
    await lake.close()


async def test_a_certificate_that_rucio_does_not_know(
    virgo: RunningRucio, rucio_authority: Authority
) -> None:
    file = proxy(rucio_authority, "stranger")
    who = ByCertificate(service(virgo, rucio_authority.ca), file, None)
    with pytest.raises(LakeError) as refusal:
        await who.token()
    assert refusal.value.code == "login"
    assert "knows your certificate" in refusal.value.fix


async def test_an_authority_that_is_not_trusted(
    virgo: RunningRucio, rucio_authority: Authority
) -> None:
    lake = RucioLake(
        "virgo",
        "Virgo",
        ByCertificate(service(virgo, None), proxy(rucio_authority, "virgo"), None),
    )
    with pytest.raises(LakeError) as refusal:
        await lake.children("")
    assert refusal.value.code == "untrusted-certificate"
    assert "ca:" in refusal.value.fix
    assert "IGTF" in refusal.value.fix
    await lake.close()


async def test_trust_may_be_a_folder_as_the_grids(
    virgo: RunningRucio, rucio_authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "farlab.pem").write_bytes(rucio_authority.ca.read_bytes())
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
    file = proxy(rucio_authority, "virgo")
    who = ByCertificate(service(virgo, tmp_path), file, "virgo")
    assert (await who.token()).ends is not None
