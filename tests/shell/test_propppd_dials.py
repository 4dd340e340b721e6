"""PPPoE and tty links of propppd in virtual time: discovery, LCP, the end, and the next try."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from prol2tp.control.command import NotFound, Refused
from prol2tp.daemons.propppd import create
from prol2tp.daemons.propppd.radius import port_of
from prol2tp.dataplane.interface import SYSTEM, DataPathError, PPPoESpec, TtySpec
from prol2tp.net.driver import Driver
from prol2tp.ppp.settings import LinkSettings
from prol2tp.pppoe import outputs
from prol2tp.pppoe.discovery import AccessConcentrator
from prol2tp.pppoe.packets import PADI, PADT, read
from prol2tp.pppoe.settings import ConcentratorSettings, InterfaceSettings, Service
from prol2tp.radius.attributes import ASYNC, PPPOE_OVER_ETHERNET
from tests.shell.propppd_world import CONFIG, Client, LinksWorld, result
from tests.shell.test_log_lines import heard

AC_MAC = bytes.fromhex("0200000000ac")
HOST_MAC = bytes.fromhex("020000000001")
DIAL_CONFIG = CONFIG + """
profile "client" { user "u1@example.com"; password "pw1"; ipv6 false }
profile "jumbo" { user "u1@example.com"; password "pw1"; mtu 1500; mru 1500 }
"""


class Cable:
    """What propppd opens: an interface whose frames go to an access concentrator in the next turn, and back."""

    def __init__(self, segment: Segment, receive: Any, lost: Any) -> None:
        self.segment = segment
        self.address = HOST_MAC
        self.mtu = segment.mtu
        self.receive, self.lost = receive, lost
        self.open = True

    def send(self, frame: bytes) -> None:
        self.segment.sent.append(frame)
        self.segment.world.clock.callLater(0, self.segment.to_concentrator, frame)

    def close(self) -> None:
        self.open = False


class Segment:
    """An Ethernet segment with an access concentrator, whose sessions end in PPP servers."""

    def __init__(self, world: LinksWorld, mtu: int = 1500) -> None:
        self.world = world
        self.mtu = mtu
        self.alive = True
        self.sent: list[bytes] = []
        self.cables: list[Cable] = []
        self.closed: list[outputs.SessionClosed] = []
        self.servers: list[Client] = []
        self.settings: dict[str, Any] = {"name": "ac"}
        self.core = AccessConcentrator(ConcentratorSettings("bras1"), world.random)
        services = (Service(""), Service("gold"))
        self.core.configure_interface("ac0", InterfaceSettings(AC_MAC, services, mtu=mtu), world.clock.seconds())
        self.driver = Driver(self.core, {
            outputs.Transmit: lambda output: world.clock.callLater(0, self._to_host, output.frame),
            outputs.AskRoute: self._route,
            outputs.SessionOpened: lambda output: None,
            outputs.SessionClosed: self.closed.append,
        }, world.clock)
        world.segments["eth0"] = self._open
        self._ethernet = result(world.far.ethernet_add("ac0"))

    def _open(self, receive: Any, lost: Any, tagged: bool) -> Cable:
        self.cables.append(Cable(self, receive, lost))
        return self.cables[-1]

    def to_concentrator(self, frame: bytes) -> None:
        if self.alive:
            self.driver.call(self.core.receive, frame, "ac0")

    def _to_host(self, frame: bytes) -> None:
        for cable in self.cables:
            if cable.open:
                cable.receive(frame, "eth0")

    def _route(self, asked: outputs.AskRoute) -> None:
        world, key = self.world, asked.key
        port = result(world.far.pppoe_add(PPPoESpec(self._ethernet, key.peer, key.session_id)))
        self.driver.call(self.core.routed, key)
        server = Client(world, port, LinkSettings(local_ip="10.0.0.1", peer_ip=f"10.0.0.{99 + len(self.servers)}",
                                                  mru=1492, **self.settings))
        self.servers.append(server)
        world.clock.callLater(0, self._join, server)

    def _join(self, server: Client) -> None:
        ports = [link.port for link in self.world.links.by_number.values() if link.port]
        new = [port for port in ports if port not in self.world.near._joined]
        if not new:
            self.world.clock.callLater(0.01, self._join, server)
            return
        self.world.near.join(new[0], self.world.far, server.port)
        server.open()

    def kinds(self) -> list[str]:
        return [type(read(frame)).__name__ for frame in self.sent]


@pytest.fixture
def world() -> LinksWorld:
    return LinksWorld(DIAL_CONFIG)


@pytest.fixture
def segment(world: LinksWorld) -> Segment:
    return Segment(world)


def make(world: LinksWorld, *words: str) -> Any:
    return world.links.named(result(world.commands()["Create"](None, list(words)))["name"])


def shown(world: LinksWorld, name: str = "session-1") -> dict[str, Any]:
    answer = world.commands()["Show"](None, name)
    return (answer if isinstance(answer, dict) else result(answer))["link"]


PPPOE = ("pppoe", "interface", "eth0", "profile", "client")
TTY = ("tty", "/dev/ttyS0", "115200", "profile", "client")


def test_a_pppoe_link_comes_up_and_is_shown(world: LinksWorld, segment: Segment) -> None:
    link = make(world, *PPPOE, "service", "gold", "ac", "bras1")
    assert shown(world)["state"] == "DEAD" and shown(world)["pppoe"]["state"] == "PADI_SENT"
    assert [row["name"] for row in world.commands()["List"](None, "down", "", 10)["rows"]] == ["session-1"]
    world.later(5)
    assert link.up and link.interface_name == "ppp0"
    record = shown(world)
    assert record["type"] == "pppoe" and record["pppol2tp"] is None and record["tty"] is None
    assert record["pppoe"] == {
        "interface": "eth0", "vlan": 0, "service_name": "gold", "ac_name": "bras1", "state": "SESSION",
        "session_id": link.carrier.session_id, "peer_mac": "02:00:00:00:00:AC", "interface_mtu": 1500,
        "max_payload": 1492, "failures": 0, "next_try": 0,
    }
    assert (record["mtu"], record["peer_mru"]) == (1492, 1492)
    assert record["mtu_limits"] == {"profile": 1500, "carrier": 1492, "user": 1492, "peer": 1492}
    assert record["lcp"]["want"] == ["magic", "mru"], "nothing that is not for Ethernet (RFC 2516 section 7)"
    assert segment.servers[0].core.lcp.peer_mru == 1492
    port = port_of(link)
    assert port.nas_port_type == PPPOE_OVER_ETHERNET and port.calling_station_id == "02:00:00:00:00:AC"
    assert port.nas_port_id == f"pppoe eth0:{link.carrier.session_id}"


def test_destroy_ends_lcp_then_the_session(world: LinksWorld, segment: Segment) -> None:
    link = make(world, *PPPOE, "persist")
    world.later(5)
    world.commands()["Destroy"](None, "session-1")
    world.later(4)
    down = segment.servers[0].down
    assert down is not None and down.cause == "Peer Request"
    assert segment.kinds()[-1] == "PADT" and [closed.by_peer for closed in segment.closed] == [True]
    assert link.ended and link.cause == "Admin Reset" and not world.near.ports and not world.near.ethernets
    assert not world.near.interfaces and not segment.cables[0].open and not world.dials.by_number
    world.later(1000, step=50)
    assert segment.kinds().count("PADI") == 1, "and is not dialled again"
    with pytest.raises(NotFound):
        world.commands()["Destroy"](None, "session-1")


@pytest.mark.parametrize(("words", "again"), [((), False), (("persist",), True)])
def test_a_link_that_the_access_concentrator_ends_comes_again_only_when_it_persists(
    world: LinksWorld, segment: Segment, words: tuple[str, ...], again: bool
) -> None:
    make(world, *PPPOE, "holdoff", "10", *words)
    world.later(5)
    session = world.links.by_number[1].carrier.session_id
    segment.driver.call(segment.core.close_session, outputs.SessionKey("ac0", HOST_MAC, session))
    world.settle(0.1)
    events = [name for name, _ in world.events]
    assert events == ["link-created", "link-up", "link-down", "link-destroyed", *(["link-created"] if again else [])]
    link = world.links.named("session-1")
    assert (link is not None) == again
    if not again:
        assert not world.dials.by_number
        return
    assert not link.started and shown(world)["state"] == "DEAD"
    world.later(8)
    assert not world.links.named("session-1").started, "not before holdoff"
    world.later(10)
    link = world.links.named("session-1")
    assert link.up and link.carrier.session_id != session
    assert link.serial == 2 and world.links.counts.create_requests == 1
    assert link.interface_name == "ppp0"


def test_without_an_access_concentrator_a_link_ends_after_its_tries(world: LinksWorld, segment: Segment) -> None:
    segment.alive = False
    link = make(world, *PPPOE, "pppoe-padi-attempts", "2", "pppoe-padi-timeout", "1")
    world.later(10)
    assert segment.kinds() == ["PADI", "PADI"]
    assert link.ended and (link.cause, link.message) == ("Lost Carrier", "no access concentrator answers")
    assert not world.dials.by_number and not world.near.ethernets


def test_tries_without_success_come_ever_later_and_end_with_maxfail(world: LinksWorld, segment: Segment) -> None:
    segment.alive = False
    make(world, *PPPOE, "persist", "maxfail", "4", "holdoff", "10", "pppoe-padi-attempts", "1",
         "pppoe-padi-timeout", "1")
    times = [world.clock.seconds()]
    for _ in range(400):
        seen = len(segment.sent)
        world.settle(0.5)
        times += [world.clock.seconds()] * (len(segment.sent) - seen)
    gaps = [later - sooner for sooner, later in zip(times, times[1:], strict=False)]
    assert len(gaps) == 3 and gaps[0] < 14 < gaps[1] < 26 < gaps[2] < 48
    assert world.links.named("session-1") is None and not world.dials.by_number


def test_a_link_that_waits_for_its_next_try_can_be_destroyed(world: LinksWorld, segment: Segment) -> None:
    segment.alive = False
    make(world, *PPPOE, "persist", "pppoe-padi-attempts", "1")
    world.later(8)
    record = shown(world)["pppoe"]
    assert record["failures"] == 1 and 0 < record["next_try"] < 33 and record["state"] == "IDLE"
    world.commands()["Destroy"](None, "session-1")
    world.settle()
    assert len(world.links) == 0 and not world.dials.by_number
    world.dials.stop()
    world.links.stop()
    assert not world.clock.getDelayedCalls()


def test_a_log_level_that_was_set_outlives_the_link(world: LinksWorld, segment: Segment) -> None:
    segment.alive = False
    make(world, *PPPOE, "persist", "holdoff", "1", "pppoe-padi-attempts", "1")
    world.commands()["SetLogLevel"](None, "debug", "session-1")
    lines = heard(world.log)
    world.later(8)
    assert world.links.named("session-1").serial > 1 and shown(world)["debug"] == 7
    assert any("eth0: send PADI" in line for line in lines)


def test_links_of_one_interface_share_it_and_have_sessions_of_their_own(world: LinksWorld, segment: Segment) -> None:
    links = [make(world, *PPPOE) for _ in range(3)]
    world.later(8)
    assert all(link.up for link in links)
    assert len({link.carrier.session_id for link in links}) == 3 and len(segment.cables) == 1
    assert len(world.near.ethernets) == 1
    world.commands()["Destroy"](None, "session-2")
    world.later(1)
    assert [link.ended for link in links] == [False, True, False] and segment.cables[0].open


def test_an_interface_that_goes_down_ends_its_links_and_is_opened_anew(world: LinksWorld, segment: Segment) -> None:
    make(world, *PPPOE, "persist", "holdoff", "1")
    make(world, *PPPOE)
    world.later(6)
    segment.cables[0].lost()
    world.settle()
    assert world.links.named("session-2") is None and not segment.cables[0].open
    world.later(8)
    link = world.links.named("session-1")
    assert link.up and len(segment.cables) == 2
    del world.segments["eth0"]
    segment.cables[1].lost()
    world.later(3)
    assert not world.links.named("session-1").up and shown(world)["pppoe"]["failures"] >= 1


def test_baby_jumbo_frames_carry_whole_packets(world: LinksWorld) -> None:
    segment = Segment(world, mtu=1508)
    link = make(world, "pppoe", "interface", "eth0", "profile", "jumbo")
    world.later(5)
    padi = next(packet for packet in map(read, segment.sent) if isinstance(packet, PADI))
    assert padi.max_payload == 1500
    assert (link.core.settings.mtu, link.core.settings.mru, link.carrier.max_payload) == (1500, 1500, 1500)
    assert shown(world)["mtu_limits"] == {"profile": 1500, "carrier": 1500, "user": 1500, "peer": 1492}


@pytest.mark.parametrize(("mtu", "carried"), [(1500, 1492), (1400, 1392), (9000, 1500)])
def test_the_interface_decides_what_a_session_carries(world: LinksWorld, mtu: int, carried: int) -> None:
    Segment(world, mtu=mtu)
    link = make(world, "pppoe", "interface", "eth0", "profile", "jumbo")
    world.later(5)
    assert link.carrier.mtu == link.core.settings.mtu == link.core.settings.mru == carried


def test_a_host_uniq_that_is_given_is_sent(world: LinksWorld, segment: Segment) -> None:
    make(world, *PPPOE, "host-uniq", "0xdeadbeef")
    world.later(1)
    assert read(segment.sent[0]).host_uniq == bytes.fromhex("deadbeef")


def test_what_the_data_path_refuses_is_refused(world: LinksWorld, segment: Segment) -> None:
    world.near.refuse["ethernet_add"] = DataPathError(SYSTEM, "interface eth0: Operation not permitted")
    with pytest.raises(Refused, match="not permitted"):
        make(world, *PPPOE)
    assert not segment.cables[0].open and not world.dials.accesses and len(world.links) == 0
    world.links.max_links = 1
    make(world, *PPPOE)
    with pytest.raises(Refused, match="max_links"):
        make(world, *PPPOE)
    assert world.links.counts.create_failures == 2
    world.near.refuse["pppoe_add"] = DataPathError(SYSTEM, "no more of them")
    world.later(1)
    assert len(world.links) == 0 and [type(read(frame)) for frame in segment.sent][-1] is PADT


def test_a_tty_link_negotiates_its_maps(world: LinksWorld) -> None:
    far = result(world.far.tty_add(TtySpec("/dev/ttyS1")))
    link = make(world, *TTY, "escape", "ff")
    world.near.join(link.port, world.far, far)
    server = Client(world, far, LinkSettings(local_ip="10.0.0.1", peer_ip="10.0.0.2", asyncmap=0x000A0000))
    server.open()
    world.later(5)
    assert link.up
    record = shown(world)
    assert record["type"] == "tty" and record["lcp"]["want"] == ["asyncmap", "magic", "pcomp", "accomp"]
    assert record["tty"] == {"device": "/dev/ttyS0", "speed": 115200, "send_accm": 0x000A0000, "receive_accm": 0,
                             "bad_frames": 0, "failures": 0, "next_try": 0}
    world.near.line_octets(link.port, b"~bad frame~")
    assert shown(world)["tty"]["bad_frames"] == 1
    port = port_of(link)
    assert (port.nas_port_type, port.nas_port_id) == (ASYNC, "/dev/ttyS0")
    with pytest.raises(Refused, match="has a link, session-1"):
        make(world, *TTY)


def test_a_tty_without_negotiated_map_keeps_the_default(world: LinksWorld) -> None:
    far = result(world.far.tty_add(TtySpec("/dev/ttyS1")))
    link = make(world, *TTY, "default-asyncmap", "receive-all")
    world.near.join(link.port, world.far, far)
    Client(world, far, LinkSettings(local_ip="10.0.0.1", peer_ip="10.0.0.2")).open()
    world.later(5)
    assert link.up and shown(world)["tty"]["send_accm"] == 0xFFFFFFFF and shown(world)["tty"]["receive_accm"] == 0


def test_a_tty_that_hangs_up_ends_its_link_and_persists(world: LinksWorld) -> None:
    link = make(world, *TTY, "persist", "holdoff", "5")
    line = world.near.ports[link.port].carrier.line
    link.lost("Lost Carrier", "hang-up")
    world.settle()
    assert (link.cause, link.message) == ("Lost Carrier", "hang-up") and line.closed
    world.near.refuse["tty_add"] = DataPathError(SYSTEM, "/dev/ttyS0: No such file or directory")
    world.later(6)
    assert shown(world)["tty"]["failures"] == 2
    world.later(12)
    assert world.links.named("session-1").started


def test_a_tty_that_cannot_be_opened_is_refused(world: LinksWorld) -> None:
    world.near.refuse["tty_add"] = DataPathError(SYSTEM, "/dev/ttyS0: Permission denied")
    with pytest.raises(Refused, match="Permission denied"):
        make(world, *TTY)
    assert len(world.links) == 0 and not world.dials.by_number


def test_when_prol2tpd_goes_away_links_of_our_own_stay(world: LinksWorld, segment: Segment) -> None:
    world.attach()
    link = make(world, *PPPOE)
    world.later(5)
    world.prol2tpd.lose()
    world.later(60, step=5)
    assert link.up


def test_a_data_path_that_is_lost_ends_links_which_are_dialled_on_the_next_one(
    world: LinksWorld, segment: Segment
) -> None:
    make(world, *PPPOE, "persist", "holdoff", "2")
    world.later(5)
    world.links.refusing = "the data path is not there yet"
    world.links.path_lost("the data path is gone")
    world.settle()
    waiting = world.links.named("session-1")
    assert waiting is not None and not waiting.started
    world.links.refusing = ""
    world.later(8)
    assert world.links.named("session-1").up


def test_stop_ends_links_for_good(world: LinksWorld, segment: Segment) -> None:
    make(world, *PPPOE, "persist")
    make(world, *TTY, "persist")
    world.later(5)
    done = world.links.end_all("Admin Reboot", "propppd stops", 3.0)
    world.later(4)
    result(done)
    assert not world.near.ports and not world.dials.by_number
    assert segment.kinds()[-1] == "PADT"


class Slow:
    """An operation of the data path whose answer comes when the test says so."""

    def __init__(self, world: LinksWorld, name: str) -> None:
        self.asked: list[tuple[Deferred[Any], tuple[Any, ...]]] = []
        self._operation = getattr(world.near, name)
        setattr(world.near, name, self)

    def __call__(self, *arguments: Any) -> Deferred[Any]:
        self.asked.append((Deferred(), arguments))
        return self.asked[-1][0]

    def answer(self) -> None:
        waiting, arguments = self.asked.pop(0)
        self._operation(*arguments).chainDeferred(waiting)


def nothing_left(world: LinksWorld) -> bool:
    return not (world.near.ports or world.near.ethernets or world.dials.by_number or world.dials.accesses
                or len(world.links))


def test_a_link_that_still_looks_for_its_access_concentrator_can_be_destroyed(
    world: LinksWorld, segment: Segment
) -> None:
    make(world, *PPPOE, "persist")
    world.commands()["Destroy"](None, "session-1")
    world.later(2)
    assert segment.kinds() == ["PADI"] and nothing_left(world) and not segment.cables[0].open


def test_a_session_whose_port_comes_too_late_is_ended(world: LinksWorld, segment: Segment) -> None:
    slow = Slow(world, "pppoe_add")
    make(world, *PPPOE)
    world.later(1)
    assert shown(world)["pppoe"]["state"] == "SESSION" and not world.links.named("session-1").started
    world.commands()["Destroy"](None, "session-1")
    world.later(1)
    assert segment.kinds()[-1] == "PADT" and segment.closed
    slow.answer()
    world.settle()
    assert nothing_left(world)


def test_a_tty_that_opens_too_late_is_closed_again(world: LinksWorld) -> None:
    link = make(world, *TTY, "persist", "holdoff", "1")
    slow = Slow(world, "tty_add")
    link.lost("Lost Carrier", "hang-up")
    world.later(3)
    assert len(slow.asked) == 1
    world.commands()["Destroy"](None, "session-1")
    slow.answer()
    world.settle()
    assert nothing_left(world)


def test_links_wait_together_for_their_interface_and_are_refused_together_when_it_is_lost(
    world: LinksWorld, segment: Segment
) -> None:
    slow = Slow(world, "ethernet_add")
    made = [world.commands()["Create"](None, list(PPPOE)) for _ in range(2)]
    slow.answer()
    assert [result(one)["name"] for one in made] == ["session-1", "session-2"] and not slow.asked
    world.later(8)
    assert all(world.links.named(f"session-{n}").up for n in (1, 2))
    for number in (1, 2):
        world.commands()["Destroy"](None, f"session-{number}")
    world.later(4)
    assert nothing_left(world)
    made = [world.commands()["Create"](None, list(PPPOE)) for _ in range(2)]
    segment.cables[-1].lost()
    slow.answer()
    for one in made:
        with pytest.raises(Refused, match="eth0 is down"):
            result(one)
    assert nothing_left(world)


def test_a_fault_of_ours_ends_the_link_and_not_the_line(world: LinksWorld, segment: Segment) -> None:
    make(world, *PPPOE, "persist", "holdoff", "1")
    world.later(5)
    random, world.links.random_bytes = world.links.random_bytes, lambda length: bytes(length) if length == 1 else 1 // 0
    world.links.named("session-1").lost("Lost Carrier", "test")
    world.later(1.5)
    world.links.random_bytes = random
    world.later(10)
    assert world.links.named("session-1").up


def test_secrets_of_a_request_are_not_shown() -> None:
    request = create.parse([*PPPOE, "user", "me", "password", "topsecret"])
    assert "topsecret" not in repr(request)


@pytest.mark.parametrize(("words", "field", "value"), [
    ("pppoe nic-eth1", "interface", "eth1"),
    ("pppoe plugin rp-pppoe.so nic-eth1 rp_pppoe_service gold", "service", "gold"),
    ("pppoe interface eth0 pppoe-ac bras1", "ac", "bras1"),
    ("tty ttyS3", "device", "/dev/ttyS3"),
    ("tty /dev/ttyS3 9600 local crtscts", "speed", 9600),
    ("tty /dev/ttyS3 9600 local crtscts", "modem", False),
    ("tty /dev/ttyS3 escape 11,13,ff", "escape", b"\x11\x13\xff"),
    ("tty /dev/ttyS3 asyncmap a0000", "options", {"asyncmap": ["0xa0000"]}),
    ("tty /dev/ttyS3 xonxoff nodetach lock novj", "xonxoff", True),
    ("tty /dev/ttyS3 10.0.0.1:10.0.0.2", "options", {"local_ip": ["10.0.0.1"], "peer_ip": ["10.0.0.2"]}),
    ("pppoe nic-eth0 :10.0.0.2 unit 7", "options", {"peer_ip": ["10.0.0.2"], "interface_name": ["ppp7"]}),
    ("tty /dev/ttyS3 persist holdoff 7 maxfail 0", "holdoff", 7),
])
def test_words_of_pppd_are_understood(words: str, field: str, value: Any) -> None:
    assert getattr(create.parse(words.split()), field) == value


def test_a_dial_that_gives_up_says_so(world: LinksWorld, segment: Segment) -> None:
    lines = heard(world.log)
    segment.alive = False
    make(world, *PPPOE, "persist", "maxfail", "1", "pppoe-padi-attempts", "1")
    world.later(10)
    assert "session-1: given up after 1 tries" in lines
