"""rp-pppoe on the other end of the cable: its client against our access concentrator, our host against its server."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from prol2tp.pppoe import tags
from prol2tp.pppoe.client import Host, State
from prol2tp.pppoe.discovery import AccessConcentrator
from prol2tp.pppoe.outputs import AskRoute, DiscoveryFailed, SessionClosed, SessionOpened
from prol2tp.pppoe.settings import ConcentratorSettings, HostSettings, InterfaceSettings, Service
from tests.interop.conftest import BAD, dissect
from tests.netns import Capture, Namespace, Process, World
from tests.pppoe_station import Loop, Station

pytestmark = [pytest.mark.root, pytest.mark.interop("pppoe", "tshark")]

SERVICES = (Service("gold"), Service("silver"), Service("hidden", advertised=False))


class Cable:
    """Two hosts, ours and theirs, and our loop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ours, self.theirs = world.namespace("ours"), world.namespace("theirs")
        world.cable(self.ours, self.theirs, [], [], mtu=1508)
        self.loop = Loop()

    def concentrator(self, settings: ConcentratorSettings | None = None, **interface: Any) -> Station:
        station = Station(self.loop, self.ours, "eth0")
        core = AccessConcentrator(settings or ConcentratorSettings("our ac"), secrets.token_bytes)
        interface.setdefault("services", SERVICES)
        place = InterfaceSettings(station.port.address, mtu=station.port.mtu, **interface)
        core.configure_interface("eth0", place, time.monotonic())
        station.core = core
        return station

    def host(self, **settings: Any) -> Station:
        station = Station(self.loop, self.ours, "eth0")
        station.core = Host(
            "eth0", HostSettings(station.port.address, timeout=1.0, **settings), secrets.token_bytes, time.monotonic()
        )
        return station

    def pppoe(self, *words: str, seconds: float = 20) -> str:
        """Run their client to its end, while ours is served; what it says."""
        process = self.theirs.spawn("pppoe", "-I", "eth0", *words)
        self.loop.pump(lambda: not process.running(), seconds, f"the end of pppoe {' '.join(words)}")
        process.stop()
        return process.output

    def server(self, *words: str) -> Process:
        """Their server; a shell that sleeps stands for pppd."""
        pppd = self.world.file("pppd", "#!/bin/sh\nexec sleep 600\n", 0o755)
        process = self.theirs.spawn("pppoe-server", "-F", "-I", "eth0", "-q", pppd, *words)
        time.sleep(0.3)  # it says nothing when it is ready; our host would ask again
        return process


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


@pytest.fixture
def cable(world: World, request: pytest.FixtureRequest) -> Iterator[Cable]:
    """tshark reads everything that was on it."""
    made = Cable(world)
    capture = Capture(made.ours, "eth0", world.path("pppoe.pcap"))
    yield made
    made.loop.close()
    path = str(capture.stop())
    if getattr(request.node, "passed", False):
        assert dissect(path, "pppoed"), "nothing was captured"
        bad = dissect(path, BAD)
        assert not bad, "\n".join(bad[:20])


def test_their_discovery_shows_our_name_services_and_cookie(cable: Cable) -> None:
    station = cable.concentrator()
    output = cable.pppoe("-A")
    assert "Access-Concentrator: our ac" in output
    assert re.findall(r"Service-Name: (\S+)", output) == ["gold", "silver"]
    assert station.port.address.hex(":") in output.lower()
    assert "cookie" in output.lower()
    counters = station.core.counters  # type: ignore[union-attr]
    assert counters.padi_received == counters.pado_sent > 0 and counters.invalid_padi_received == 0


@pytest.mark.parametrize(("words", "service"), [
    ((), "gold"), (("-S", "silver"), "silver"), (("-S", "hidden", "-C", "our ac", "-U"), "hidden"),
    (("-W", "a-host-uniq-that-is-longer-than-most-others-are"), "gold"),
])  # fmt: skip
def test_their_client_gets_a_session_and_ends_it(cable: Cable, words: tuple[str, ...], service: str) -> None:
    station = cable.concentrator()
    output = cable.pppoe("-d", *words)
    session_id, _, mac = output.strip().splitlines()[-1].partition(":")
    (opened,) = station.of(SessionOpened)
    assert opened.key.session_id == int(session_id) and opened.service_name == service
    assert bytes.fromhex(mac.replace(":", "")) == station.port.address
    cable.pppoe("-k", "-e", f"{session_id}:{mac}")
    cable.loop.pump(lambda: station.of(SessionClosed), 5, "the end of the session")
    counters = station.core.counters  # type: ignore[union-attr]
    assert (counters.pads_sent, counters.padt_received, counters.invalid_padt_received) == (1, 1, 0)
    assert counters.invalid_padi_received == counters.invalid_padr_received == 0


def test_their_client_finds_nothing_where_its_service_is_not_served(cable: Cable) -> None:
    station = cable.concentrator()
    process = cable.theirs.spawn("pppoe", "-I", "eth0", "-d", "-S", "bronze")
    discards = station.core.discards  # type: ignore[union-attr]
    cable.loop.pump(lambda: discards.unknown_services, 10, "a PADI")
    assert process.running() and not station.said
    process.stop()


def test_their_clients_copy_of_a_request_gets_the_session_of_the_first(cable: Cable) -> None:
    station = cable.concentrator()
    core = station.core
    assert isinstance(core, AccessConcentrator)
    process = cable.theirs.spawn("pppoe", "-I", "eth0", "-d")
    # the first PADS is lost: the client asks again after some seconds
    send, lost = station.port.send, []
    station.port.send = lambda frame: lost.append(frame) if frame[15] == 0x65 and not lost else send(frame)  # type: ignore[method-assign,func-returns-value]
    cable.loop.pump(lambda: not process.running(), 30, "the end of pppoe -d")
    assert len(lost) == 1 and core.counters.resent_padr_received == 1
    (opened,) = station.of(SessionOpened)
    assert process.output.startswith(f"{opened.key.session_id}:")
    assert core.session_count == 1 and len(station.of(AskRoute)) == 1


@pytest.mark.parametrize(("settings", "server_words"), [
    ({}, ("-C", "their ac")),
    ({"service_name": "silver", "ac_name": "their ac"}, ("-C", "their ac", "-S", "gold", "-S", "silver")),
])  # fmt: skip
def test_our_host_opens_a_session_with_their_server_and_ends_it(
    cable: Cable, settings: dict[str, str], server_words: tuple[str, ...]
) -> None:
    cable.server(*server_words)
    station = cable.host(**settings)
    host = station.core
    assert isinstance(host, Host)
    host.open(time.monotonic())
    cable.loop.pump(lambda: station.of(SessionOpened), 15, "a session")
    (opened,) = station.of(SessionOpened)
    assert (opened.ac_name, opened.service_name) == ("their ac", settings.get("service_name", ""))
    cable.loop.pump(lambda: sleeping(cable.theirs), 10, "their pppd")
    host.close(time.monotonic(), "User Request")
    cable.loop.pump(lambda: not sleeping(cable.theirs), 10, "the end of their pppd")
    assert host.state is State.IDLE and len(station.of(SessionClosed)) == 1


def sleeping(host: Namespace) -> list[int]:
    """The processes that stand for pppd."""
    found = []
    for pid in host.pids():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found += [pid] if file.read().startswith(b"sleep\x00600") else []
        except OSError:
            continue
    return found


def test_our_host_learns_that_their_server_ended_the_session(cable: Cable) -> None:
    server = cable.server("-C", "their ac")
    station = cable.host()
    station.core.open(time.monotonic())  # type: ignore[union-attr]
    cable.loop.pump(lambda: station.of(SessionOpened), 15, "a session")
    server.stop()
    cable.loop.pump(lambda: station.of(SessionClosed), 15, "a PADT")
    (closed,) = station.of(SessionClosed)
    assert closed.by_peer and closed.key == station.of(SessionOpened)[0].key


def test_our_host_does_not_take_a_server_of_another_name_or_service(cable: Cable) -> None:
    cable.server("-C", "their ac", "-S", "gold")
    station = cable.host(ac_name="another", padi_tries=2)
    station.core.open(time.monotonic())  # type: ignore[union-attr]
    cable.loop.pump(lambda: station.said, 15, "the end of the search")
    assert station.said == [DiscoveryFailed(None, "no access concentrator answers")]


def test_both_agree_on_1500_octets_over_an_ethernet_of_1508(cable: Cable) -> None:
    cable.server("-C", "their ac")
    station = cable.host(mtu=1508)
    station.core.open(time.monotonic())  # type: ignore[union-attr]
    cable.loop.pump(lambda: station.of(SessionOpened), 15, "a session")
    assert station.of(SessionOpened)[0].max_payload == 1500


def test_their_client_shows_the_reason_of_a_refusal(cable: Cable) -> None:
    station = cable.concentrator()
    core = station.core
    assert isinstance(core, AccessConcentrator)

    def refuse(key: Any, now: float) -> None:
        core.refused(key, now, tags.AC_SYSTEM_ERROR, "no route for you")

    core.routed = refuse  # type: ignore[method-assign]
    process = cable.theirs.spawn("pppoe", "-I", "eth0", "-d")
    cable.loop.pump(lambda: "System-Error: no route for you" in process.output, 10, "their word of it")
    assert core.session_count == 0 and not station.of(SessionOpened)
    process.stop()
