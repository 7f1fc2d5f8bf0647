"""The ARGO Messaging Service: the service's own client, a stand-in for the service, real S/MIME."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_hub.apel.messaging import Topic
from farlab_hub.apel.months import Month
from farlab_hub.apel.publisher import Publisher, items_for
from farlab_hub.apel.state import State
from farlab_hub.apel.way import DeliveryError
from farlab_hub.ledger.records import UsageRecord
from farlab_real.apel_parts import PLACES, target, usage
from farlab_real.apel_reader import read
from farlab_real.authority import Authority
from farlab_real.fake_messaging import FakeMessagingService, write_token
from farlab_sites.publishing import Messaging

M10 = Month(2026, 10)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def service(authority: Authority) -> Iterator[FakeMessagingService]:
    with FakeMessagingService(authority) as running:
        yield running


class Site:
    """A publisher with a signing certificate."""

    def __init__(self, authority: Authority, service: FakeMessagingService, folder: Path) -> None:
        self.authority, self.service, self.folder = authority, service, folder
        self.certificate, self.key = authority.issue("host.example.org")
        self.settings: dict[str, Any] = {
            "host": service.host,
            "project": service.project,
            "topic": service.topic,
            "ca": authority.ca,
            "token_file": write_token(folder / "token", service.token),
            "sign": {"certificate": self.certificate, "key": self.key},
        }

    def publish(self, *records: UsageRecord, again: bool = False) -> None:
        topic = Topic(Messaging.model_validate(self.settings), pause=0)
        with State(self.folder / "state") as state:
            publisher = Publisher(state, "egi", topic)
            publisher.resume()
            items = items_for(target(), M10, lambda _: records, PLACES)
            publisher.publish(M10, items, again=again)

    def taken(self) -> list[str]:
        """Return the VMs that the service has, after openssl has checked the signatures."""
        found = []
        for message in self.service.messages:
            signed = self.folder / "signed"
            signed.write_text(message["text"])
            command = ["openssl", "smime", "-verify", "-text", "-in", str(signed)]
            command += ["-CAfile", str(self.authority.ca), "-purpose", "any"]
            opened = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found += [record["VMUUID"] for record in read(opened.replace("\r\n", "\n"))]
        return found


@pytest.fixture
def site(authority: Authority, service: FakeMessagingService, tmp_path: Path) -> Site:
    return Site(authority, service, tmp_path)


def test_signed_messages_with_a_token(site: Site) -> None:
    records = [usage(), usage()]
    site.publish(*records)
    site.publish(*records)
    assert site.taken() == [record.uid for record in records]
    assert site.service.messages[0]["attributes"]["empaid"]


def test_a_grid_certificate_gets_a_token_and_signs(site: Site) -> None:
    site.settings |= {"certificate": site.certificate, "key": site.key, "token_file": None}
    site.settings |= {"sign": None, "token_port": site.service.port}
    record = usage()
    site.publish(record)
    assert site.taken() == [record.uid]


@pytest.mark.parametrize("failure", [500, 503, 408, "cut"])
def test_a_failure_for_a_moment_is_tried_again(site: Site, failure: int | str) -> None:
    record = usage()
    site.service.fail = [failure]
    site.publish(record)
    assert site.taken() == [record.uid]


def test_a_service_that_stays_away_gets_it_later(site: Site) -> None:
    first, second = usage(), usage()
    site.service.fail = ["cut"] * 3
    with pytest.raises(DeliveryError, match="tried again at the next start"):
        site.publish(first)
    assert site.taken() == []
    site.publish(first, second)
    assert sorted(site.taken()) == sorted([first.uid, second.uid])


def test_a_lost_answer_sends_the_same_message_again(site: Site) -> None:
    record = usage()
    site.service.fail = ["lost"]
    site.publish(record)
    assert site.taken() == [record.uid] * 2
    first, second = site.service.messages
    assert first["attributes"] == second["attributes"]


def test_a_killed_publisher_goes_on_where_it_was(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [usage() for _ in range(2500)]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    sent, count = State.sent, iter(range(10))
    with monkeypatch.context() as patch:
        patch.setattr(State, "sent", lambda *args: sent(*args) if next(count) < 1 else die())
        with pytest.raises(KeyboardInterrupt):
            site.publish(*records)
    site.publish(*records)
    assert set(site.taken()) == {record.uid for record in records}
    ids = [message["attributes"]["empaid"] for message in site.service.messages]
    assert len(ids) == 4
    assert len(set(ids)) == 3  # the one that was not noted went twice, as itself


def test_refusals_say_what_to_do(site: Site) -> None:
    write_token(site.folder / "token", "another")
    with pytest.raises(DeliveryError, match="ask for a token that may publish"):
        site.publish(usage())
    (site.folder / "token").write_text("")
    with pytest.raises(DeliveryError, match="is empty"):
        site.publish(usage())
    (site.folder / "token").unlink()
    with pytest.raises(DeliveryError, match="token can't be read: No such file"):
        site.publish(usage())


def test_a_service_of_another_authority_is_not_trusted(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    site.settings["ca"] = Authority(tmp_path / "other").ca
    with pytest.raises(DeliveryError, match="check host, network and ca"):
        site.publish(usage())
    assert site.service.asked == 0


def test_nothing_goes_without_signature(site: Site) -> None:
    site.settings["sign"] = {"certificate": site.certificate, "key": site.certificate}
    with pytest.raises(DeliveryError, match="is unusable"):
        site.publish(usage())
    assert site.service.asked == 0
    with pytest.raises(ValueError, match="nothing to sign"):
        Messaging.model_validate(site.settings | {"sign": None})
