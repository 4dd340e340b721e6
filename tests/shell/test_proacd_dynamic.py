"""Disconnect and CoA on routes that RADIUS has led to an LNS, from the datagram to the answer, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyrad.packet import CoAPacket, CoARequest, DisconnectRequest

from prol2tp.radius.dictionary import DICTIONARY
from tests.shell.accounting_world import DirectQueue
from tests.shell.proacd_radius_world import LNS, World
from tests.shell.test_propppd_dynamic import AAA, ACK, NAK, SECRET, Socket

BLOCK = """dynamic_authorization {
    address 192.0.2.1
    client "aaa" { network 192.0.2.50 secret "s3cret" }
    %s
}"""


class DynamicWorld(World):
    make_socket = Socket

    def __init__(self, directory: Path, profile: str = BLOCK % "") -> None:
        Socket.opened.clear()
        self.readers: list[Any] = []
        self._identifier = 0
        super().__init__(profile, 'ppp_profile "users"', str(directory))
        self.settle()
        self.acknowledge()

    def configure(self, profile: str, destination: str = "") -> None:
        self.clock.addReader, self.clock.removeReader = self.readers.append, self.readers.remove  # type: ignore
        super().configure(profile, destination)

    def online(self, name: str = "u1@isp.example", **answer: Any) -> Any:
        route = self.user(name).dial()
        self.accept(LNS, **answer)
        self.calls[-1].up()
        return route

    def ask(self, kind: int, *rows: tuple[str, Any]) -> tuple[int, str]:
        """ACK or NAK, with its Error-Cause."""
        self._identifier += 1
        packet = CoAPacket(kind, self._identifier, SECRET, dict=DICTIONARY)
        for name, value in rows:
            packet.AddAttribute(name, value)
        made = Socket.opened[0]
        made.came.append((packet.RequestPacket(), AAA))
        next(reader for reader in self.readers if reader.socket is made).doRead()
        self.settle()
        sent, made.sent = made.sent, []
        reply = packet.CreateReply(packet=sent[0])
        assert packet.VerifyReply(reply)
        return reply.code - packet.code, reply.get("Error-Cause", [""])[0]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DynamicWorld:
    monkeypatch.setattr("prol2tp.aaa.service.AccountingQueue", DirectQueue)
    return DynamicWorld(tmp_path)


@pytest.mark.parametrize("name", [
    "Acct-Session-Id", "User-Name", "NAS-Port", "NAS-Port-Id", "Calling-Station-Id", "Called-Station-Id",
    "Chargeable-User-Identity",
])
def test_a_disconnect_ends_the_route_that_it_names(world: DynamicWorld, name: str) -> None:
    route, other = world.online(chargeable_user_identity=b"cui"), world.online("u2@isp.example")
    values = {
        "Acct-Session-Id": route.accounting.id, "User-Name": "u1@isp.example", "NAS-Port": route.number,
        "NAS-Port-Id": f"pppoe eth0:{route.source.port}", "Calling-Station-Id": "02:00:00:00:00:01",
        "Called-Station-Id": "internet", "Chargeable-User-Identity": b"cui",
    }
    assert world.ask(DisconnectRequest, (name, values[name]), ("NAS-Identifier", "lac1")) == (ACK, "")
    assert world.calls[0].closed == [("Admin Reset", "ended by RADIUS")] == route.source.closed
    both = name in ("Calling-Station-Id", "Called-Station-Id")
    assert bool(other.source.closed) == both
    assert world.ask(DisconnectRequest, (name, values[name])) == (NAK, "Session-Context-Not-Found")


def test_a_request_for_nobody_or_another_nas_is_refused(world: DynamicWorld) -> None:
    route = world.online()
    assert world.ask(DisconnectRequest, ("User-Name", "nobody"))[1] == "Session-Context-Not-Found"
    assert world.ask(DisconnectRequest, ("User-Name", "u1@isp.example"), ("NAS-Identifier", "other"))[1] == (
        "NAS-Identification-Mismatch")
    assert not route.source.closed


def test_a_coa_changes_time_class_and_interval(world: DynamicWorld) -> None:
    route = world.online(session_timeout=1000, classes=(b"silver",))
    world.online("u2@isp.example", session_timeout=1000)
    world.acknowledge()
    assert world.ask(CoARequest, ("User-Name", "u1@isp.example"), ("Session-Timeout", 100), ("Class", b"gold"),
                     ("Acct-Interim-Interval", 60)) == (ACK, "")
    world.settle(4)
    (record,) = world.acknowledge()
    assert (record.status, record.classes, record.session_id) == (
        "Interim-Update", (b"gold",), route.accounting.id)
    world.settle(62)
    assert [record.status for record in world.acknowledge()] == ["Interim-Update"]
    assert not route.source.closed
    world.settle(40)
    assert route.source.closed == [("Session Timeout", "the session's time is over")]
    assert [record.status for record in world.acknowledge()][-1] == "Stop"
    assert len(world.routes) == 1


def test_what_cannot_be_changed_is_refused_and_changes_nothing(world: DynamicWorld) -> None:
    route = world.online(classes=(b"silver",))
    for name, value in (("Framed-IP-Address", "10.0.0.1"),):
        assert world.ask(CoARequest, ("User-Name", "u1@isp.example"), (name, value))[0] == NAK
    assert world.ask(CoARequest, ("User-Name", "u1@isp.example"), ("Class", b"gold"), ("Filter-Id", "x")) == (
        NAK, "Unsupported-Attribute")
    assert world.ask(CoARequest, ("User-Name", "u1@isp.example"))[0] == NAK
    assert route.choice.class_ == (b"silver",)


def test_routes_that_are_not_up_or_lead_to_local_ppp_are_not_found(world: DynamicWorld) -> None:
    world.user().dial()
    world.accept(LNS)
    assert world.ask(DisconnectRequest, ("User-Name", "u1@isp.example"))[0] == NAK
    world.user("u2@isp.example").dial()
    world.accept()
    world.calls[-1].up()
    assert world.ask(DisconnectRequest, ("User-Name", "u2@isp.example"))[0] == NAK


def test_sessions_that_came_before_the_block_are_found_and_several_can_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prol2tp.aaa.service.AccountingQueue", DirectQueue)
    world = DynamicWorld(tmp_path, "")
    assert not Socket.opened
    world.online()
    world.online()
    world.configure(BLOCK % "several_sessions refuse", 'ppp_profile "users"')
    assert world.ask(DisconnectRequest, ("User-Name", "u1@isp.example")) == (
        NAK, "Multiple-Session-Selection-Unsupported")
    world.configure("", 'ppp_profile "users"')
    assert not Socket.opened


def test_a_profile_that_goes_listens_no_longer(world: DynamicWorld) -> None:
    world.online()
    world.profiles.configure({})
    assert not Socket.opened and not world.readers
    world.configure(BLOCK % "", 'ppp_profile "users"')
    assert world.ask(DisconnectRequest, ("User-Name", "u1@isp.example")) == (ACK, "")
    world.routes.end_all("Admin Reboot", "the end")
    world.settle()
    world.acknowledge()
    world.profiles.stop()
    world.settle(6)
    assert not Socket.opened
