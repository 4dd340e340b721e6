"""L2TPv3 as an operator sets it up: two hosts on a cable, Ethernet, VLANs and PPP, over UDP and over IP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemons import Suite
from tests.netns import World, wait_until
from tests.system.test_suite import CLIENT, SUBSCRIBERS

pytestmark = pytest.mark.root

ONE, TWO = "10.99.0.1", "10.99.0.2"
ONE6, TWO6 = "2001:db8:99::1", "2001:db8:99::2"
LISTEN = f"listen {ONE}:1701 [{ONE6}]:1701; listen_ip {ONE} {ONE6};"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        one, two = made.namespace("one"), made.namespace("two")
        made.cable(two, one, [f"{TWO}/24", f"{TWO6}/64"], [f"{ONE}/24", f"{ONE6}/64"])
        yield made


def server(profile: str = "version l2tpv3;", session: str = "", more: str = "") -> str:
    return f"""
system {{ hostname "one"; {LISTEN} }}
session profile "circuit" {{ remote_end_id "c1"; pseudowire_type eth; interface_name "eth-c1"; {session} }}
{more}
tunnel profile "peers" {{ peer any; secret "s3cret"; {profile} }}
"""


def client(tunnel: str = "version l2tpv3;", session: str = "", peer: str = ONE, secret: str = "s3cret") -> str:
    return f"""
system {{ hostname "two"; deny_remote_tunnel_creates true }}
tunnel "t" {{
    peer {peer}
    secret "{secret}"
    {tunnel}
    session "c1" {{ remote_end_id "c1"; pseudowire_type eth; interface_name "eth-c1"; {session} }}
}}
"""


def both(world: World, ours: str, theirs: str) -> tuple[Suite, Suite]:
    return Suite(world.namespaces["one"], ours), Suite(world.namespaces["two"], theirs)


def addressed(world: World, device: str = "eth-c1") -> None:
    for name, address in (("one", "192.168.9.1/24"), ("two", "192.168.9.2/24")):
        world.namespaces[name].run("ip", "addr", "add", address, "dev", device)


def pings(world: World, count: int = 2, size: int = 56) -> bool:
    done = world.namespaces["two"].run("ping", "-n", "-c", count, "-i", "0.2", "-W", "3", "-s", size, "192.168.9.1",
                                       check=False)
    return f"{count} received" in done.stdout


@pytest.mark.parametrize("peer", [ONE, ONE6])
@pytest.mark.parametrize("encapsulation", ["udp", "ip"])
def test_ethernet_passes_over_udp_and_over_ip(world: World, encapsulation: str, peer: str) -> None:
    one, two = both(world, server(f"version l2tpv3; encap {encapsulation};", "cookie_size 8;"),
                    client(f"version l2tpv3; encap {encapsulation}; hide_avps true;", "cookie_size 4;", peer))
    (session,) = two.wait_established(1)
    one.wait_established(1)
    assert (session["type"], session["identifier"], session["interface"]) == ("eth", "c1", "eth-c1")
    addressed(world)
    # a frame as large as the interface takes: the outer packet is fragmented
    assert pings(world) and pings(world, 2, 1472)
    (tunnel,) = one.tunnels()
    shown = one.tool("prol2tp", "show", "tunnel", "id", str(tunnel["tunnel_id"]))
    assert f"encapsulation:              {encapsulation.upper()}" in shown
    assert "version:                    L2TPv3" in shown
    detail = one.tool("prol2tp", "show", "session", "id", str(one.sessions()[0]["session_id"]), "in", "tunnel", "id",
                      str(tunnel["tunnel_id"]))
    assert "cookie length:              8, peer 4" in detail
    two.stop("prol2tpd")
    one.wait_gone()
    wait_until(lambda: "eth-c1" not in world.namespaces["one"].interfaces(), 5, "the interface is gone")


def test_another_secret_gets_no_session_and_is_counted(world: World) -> None:
    one, two = both(world, server(), client(secret="wrong"))
    wait_until(lambda: one.json("prol2tp", "show", "system")["counters"]["bad_digests"] > 0, 15, "a bad digest")
    assert not one.established() and not two.established()
    assert "s3cret" not in one.processes["prol2tpd"].output


def test_auto_finds_the_version_that_the_other_end_speaks(world: World) -> None:
    ppp = 'pseudowire profile "ppp" { ppp_profile "subscribers" }\nsession profile "ppp" { pseudowire_profile "ppp" }\n'
    user = 'session "u1" { ppp_profile "client"; user_name "u1@example.com"; user_password "pw1" }'
    blocks = "".join(f'tunnel "{version}" {{ peer {ONE}; secret "s3cret"; version {version}; {user} }}\n'
                     for version in ("auto", "l2tpv2", "l2tpv3"))
    one = Suite(world.namespaces["one"], server('version auto; session_profile "ppp";', more=ppp),
                SUBSCRIBERS.format(extra=""))
    two = Suite(world.namespaces["two"], 'system { hostname "two" }\n' + blocks, CLIENT.format(extra=""))
    two.wait_online(3)
    one.wait_online(3)
    assert sorted(row["type"] for row in one.sessions()) == ["ppp"] * 3
    versions = {}
    for row in two.tunnels():
        record = two.json("prol2tp", "show", "tunnel", "id", str(row["tunnel_id"]))
        versions[row["name"]] = record["version"]
    assert versions == {"auto": 3, "l2tpv2": 2, "l2tpv3": 3}
    for row in two.online():
        done = world.namespaces["two"].run("ping", "-n", "-c", "1", "-W", "3", "-I", row["interface"], "10.5.1.1")
        assert "1 received" in done.stdout
    # PPP and Ethernet, version 2 and version 3, on one socket
    shown = one.tool("propppctl", "show", str(one.links()[0]["name"]))
    assert "protocol version: L2TPv" in shown


LISTEN_FOR_FRAME = """
import socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tap.bind((sys.argv[1], 3))
tap.setsockopt(263, 8, 1)
tap.settimeout(20)
print("ready", flush=True)
while True:
    frame, ancillary, _, where = tap.recvmsg(2000, 64)
    if where[2] != 4 and frame[12:14] == b"\\x88\\xb5":
        tag = ancillary[0][2] if ancillary else bytes(20)
        tagged = int.from_bytes(tag[0:4], "little") & 0x10
        print("FRAME", int.from_bytes(tag[16:18], "little") & 0xfff if tagged else 0, frame[14:19].decode(), flush=True)
"""


def test_vlans_are_tied_to_a_pseudowire_each(world: World) -> None:
    """Two VLANs that have other numbers at the other end."""
    more = 'session profile "v2" { remote_end_id "c2"; pseudowire_type vlan; vlan_id 300; interface_name "v300" }'
    session = 'vlan_id 200;'
    text = client(session='').replace('pseudowire_type eth; interface_name "eth-c1"', 'pseudowire_type eth; '
                                      'interface_name "eth-c1"')
    text = text.replace("}\n}\n", f'}}\n session "c2" {{ remote_end_id "c2"; pseudowire_type vlan; {session} '
                        'interface_name "v200" }\n}\n')
    one, two = both(world, server(more=more), text)
    two.wait_established(2)
    one.wait_established(2)
    assert {row["type"]: row["identifier"] for row in two.sessions()} == {"eth": "c1", "vlan": "c2"}
    listener = world.namespaces["one"].spawn("python3", "-c", LISTEN_FOR_FRAME, "v300", name="listener")
    wait_until(lambda: "ready" in listener.output, 10, "the listener")
    send = ('import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("v200", 0)); '
            's.send(bytes.fromhex("ffffffffffff 020000000001 8100 00c9 88b5") + b"wrong"); '
            's.send(bytes.fromhex("ffffffffffff 020000000001 8100 00c8 88b5") + b"hello")')
    world.namespaces["two"].run("python3", "-c", send)
    wait_until(lambda: "FRAME 300 hello" in listener.output, 10, "the frame in VLAN 300")


@pytest.mark.parametrize("kind", ["eth", "vlan"])
def test_an_interface_of_the_host_is_the_circuit(world: World, kind: str) -> None:
    """Hosts behind both ends, on a cable each; of type vlan only what is in the VLAN passes, renumbered."""
    for name in ("one", "two"):
        behind = world.namespace("behind" + name)
        world.cable(behind, world.namespaces[name], [], [], device_two="eth1")
    numbers = ("vlan_id 300;", "vlan_id 200;") if kind == "vlan" else ("", "")
    session = f'pseudowire_type {kind}; circuit "eth1";'
    one, two = both(world, server(session=f"{session} {numbers[0]}").replace("pseudowire_type eth; interface_name", ""
                    "interface_name").replace('interface_name "eth-c1";', "", 1),
                    client(session=f"{session} {numbers[1]}").replace("pseudowire_type eth; interface_name",
                                                                      "interface_name"))
    two.wait_established(1)
    (row,) = one.wait_established(1)
    assert row["interface"] == "eth1"
    listener = world.namespaces["behindone"].spawn("python3", "-c", LISTEN_FOR_FRAME, "eth0", name="listener")
    wait_until(lambda: "ready" in listener.output, 10, "the listener")
    send = ('import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0)); '
            's.send(bytes.fromhex("ffffffffffff 020000000001 8100 00c9 88b5") + b"other"); '
            's.send(bytes.fromhex("ffffffffffff 020000000001 88b5") + b"plain" + bytes(60)); '
            's.send(bytes.fromhex("ffffffffffff 020000000001 8100 00c8 88b5") + b"hello")')
    world.namespaces["behindtwo"].run("python3", "-c", send)
    last = "FRAME 300 hello" if kind == "vlan" else "FRAME 200 hello"
    wait_until(lambda: last in listener.output, 10, "the frame")
    found = [line for line in listener.output.splitlines() if line.startswith("FRAME")]
    assert found == ([last] if kind == "vlan" else ["FRAME 201 other", "FRAME 0 plain", last])
    two.stop()
    assert "eth1" in world.namespaces["two"].interfaces()


def test_when_both_ends_ask_for_a_circuit_one_session_comes_up_and_serves_both(world: World) -> None:
    def end(name: str, peer: str) -> str:
        return (f'system {{ hostname "{name}" }}\ntunnel profile "p" {{ peer {peer}; version l2tpv3 }}\n'
                f'tunnel "t" {{ peer {peer}; version l2tpv3; session "c1" {{ remote_end_id "c1"; pseudowire_type eth; '
                f'interface_name "eth-c1" }} }}\n')
    one, two = both(world, end("one", TWO), end("two", ONE))
    wait_until(lambda: one.established() and two.established(), 30, "the circuit")
    addressed(world)
    assert pings(world)
    assert len(one.established()) == len(two.established()) == 1


def test_a_bridge_that_is_not_there_costs_the_session_and_is_named(world: World) -> None:
    one, two = both(world, server(session='bridge "br7";'), client())
    wait_until(lambda: "there is no bridge br7" in one.processes["prol2tpd"].output, 15, "the reason in the log")
    assert not one.established()
    world.namespaces["one"].run("ip", "link", "add", "br7", "type", "bridge")
    two.wait_established(1)
    assert "master br7" in world.namespaces["one"].run("ip", "link", "show", "eth-c1").stdout


def test_an_interface_that_somebody_removes_ends_the_session_and_it_comes_again(world: World) -> None:
    one, two = both(world, server(), client())
    (first,) = two.wait_established(1)
    world.namespaces["two"].run("ip", "link", "del", "eth-c1")
    wait_until(lambda: [row for row in two.established() if row["session_id"] != first["session_id"]], 20,
               "another session")
    assert "removed by somebody else" in one.processes["prol2tpd"].output


STATIC = """
system {{ hostname "{name}"; {system} }}
tunnel "s" {{
    static true
    encap {encap}
    local {local}
    peer {peer}
    tunnel_id {ours}
    peer_tunnel_id {theirs}
    session "w" {{
        pseudowire_type eth; interface_name "eth-c1"
        session_id {ours}; peer_session_id {theirs}
        cookie {cookie}; peer_cookie {peer_cookie}
        l2_sublayer {sublayer}
    }}
}}
"""


def static(**values: str | int) -> str:
    return STATIC.format(**{"name": "x", "system": "deny_remote_tunnel_creates true;", "encap": "udp",
                            "cookie": "hex:0001020304050607", "peer_cookie": "hex:08090a0b", "sublayer": "false",
                            **values})


@pytest.mark.parametrize("encapsulation", ["udp", "ip"])
def test_static_sessions_of_two_hosts_carry_ethernet(world: World, encapsulation: str) -> None:
    port = ":5000" if encapsulation == "udp" else ""
    one, two = both(
        world,
        static(encap=encapsulation, local=ONE + port, peer=TWO + port, ours=3000, theirs=4000),
        static(encap=encapsulation, local=TWO + port, peer=ONE + port, ours=4000, theirs=3000,
               cookie="hex:08090a0b", peer_cookie="hex:0001020304050607"))
    one.wait_established(1)
    two.wait_established(1)
    addressed(world)
    assert pings(world)
    one.tool("prol2tp", "destroy", "tunnel", "name", "s")
    one.wait_gone()
    two.tool("prol2tp", "reload")
    assert two.established()


PEER = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.99.0.2", 5000))
frame = bytes.fromhex(sys.argv[1])
# RFC 3931 section 4.1.2.1 by hand: flags and version, reserved, session id, cookie, sublayer
head = struct.pack("!HHI", 3, 0, 3000) + bytes(range(8))
s.sendto(head[:-1] + b"x" + bytes(4) + frame, ("10.99.0.1", 5000))
s.sendto(head + bytes(4) + frame, ("10.99.0.1", 5000))
s.settimeout(20)
while True:
    data = s.recv(2000)
    if data.endswith(b"from the other side"):
        print("HEAD", data[:16].hex(), flush=True)
        break
"""


def test_a_static_session_speaks_with_a_peer_made_of_bare_octets(world: World) -> None:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    one = Suite(world.namespaces["one"], static(local=f"{ONE}:5000", peer=f"{TWO}:5000", ours=3000, theirs=4000,
                                                sublayer="true"))
    one.wait_established(1)
    host = world.namespaces["one"]
    host.run("ip", "addr", "add", "192.168.9.1/24", "dev", "eth-c1")
    catch = ('import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("192.168.9.1", 7)); '
             'print("ready", flush=True); data, peer = s.recvfrom(100); print(data.decode(), peer[0], flush=True)')
    catcher = host.spawn("python3", "-c", catch, name="catcher")
    wait_until(lambda: "ready" in catcher.output, 10, "the catcher")
    mac = host.run("cat", "/sys/class/net/eth-c1/address").stdout.strip()
    frame = bytes(Ether(dst=mac, src="02:00:00:00:00:02") / IP(src="192.168.9.2", dst="192.168.9.1")
                  / UDP(sport=9, dport=7) / Raw(b"hello"))
    peer = world.namespaces["two"].spawn("python3", "-c", PEER, frame.hex(), name="peer")
    wait_until(lambda: "hello 192.168.9.2" in catcher.output, 10, "the frame from the peer")
    host.run("ip", "neigh", "add", "192.168.9.2", "lladdr", "02:00:00:00:00:02", "dev", "eth-c1")
    host.run("python3", "-c", 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto('
             'b"from the other side", ("192.168.9.2", 7))')
    wait_until(lambda: "HEAD" in peer.output, 10, "our frame at the peer")
    # version 3, session 4000, the peer's cookie of 4 octets, a sublayer without a number
    assert "HEAD 0003000000000fa008090a0b00000000" in peer.output
    (row,) = one.json("prol2tp", "show", "sessions")
    shown = one.json("prol2tp", "show", "session", "id", "3000", "in", "tunnel", "id", str(row["tunnel_id"]), "stats")
    assert shown["stats"]["rx_errors"] == 1


def test_an_interface_that_goes_down_is_told_to_the_other_end_which_loses_its_cable(world: World) -> None:
    one, two = both(world, server(), client())
    two.wait_established(1)
    one.wait_established(1)
    addressed(world)

    def shown(suite: Suite) -> str:
        (row,) = suite.sessions()
        return suite.tool("prol2tp", "show", "session", "id", str(row["session_id"]), "in", "tunnel", "id",
                          str(row["tunnel_id"]))

    def link() -> str:
        return world.namespaces["one"].run("ip", "link", "show", "eth-c1").stdout

    world.namespaces["two"].run("ip", "link", "set", "eth-c1", "down")
    wait_until(lambda: "circuit status:             up, peer down" in shown(one), 10, "one knows")
    wait_until(lambda: "NO-CARRIER" in link(), 10, "no cable")
    assert "circuit status:             down, peer up" in shown(two)
    world.namespaces["two"].run("ip", "link", "set", "eth-c1", "up")
    wait_until(lambda: "circuit status:             up, peer up" in shown(one), 10, "one knows again")
    wait_until(lambda: "NO-CARRIER" not in link(), 10, "a cable")
    assert pings(world)
