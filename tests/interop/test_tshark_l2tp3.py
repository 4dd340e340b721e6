"""What tshark makes of our L2TPv3 messages over UDP and over IP, in captures written by hand: well framed, read as they
were meant, and with digests that it calculates too."""

from __future__ import annotations

import dataclasses
import random

import pytest

from prol2tp.l2tp import messages
from prol2tp.l2tp.digest import HMAC_MD5, HMAC_SHA_1, Digests
from prol2tp.l2tp.header import write_control as write_control_2
from prol2tp.l2tp.header3 import OVER_IP, write_control, write_data
from prol2tp.l2tp.messages3 import ACK, ETHERNET, HELLO, ICCN, ICRP, ICRQ, SCCCN, SCCRP, SCCRQ, encode
from tests.interop.test_tshark_l2tp import dissect, ip_packet, udp_datagram, write_packets
from tests.netns import World, wait_until
from tests.system.test_l2tpv3 import ONE, ONE6, TWO, TWO6, addressed, both, client, pings, server
from tests.vectors import l2tp as vectors2
from tests.vectors import l2tp3 as vectors

pytestmark = pytest.mark.interop("tshark")

SECRET = b"s3cret"
FRAME = bytes.fromhex("ffffffffffff 020000000001 0806 0001080006040001 020000000001 c0000201 000000000000 c0000202")
COOKIES = {b"": "None", bytes.fromhex("deadbeef"): "4 Byte Cookie", bytes.fromhex("0123456789abcdef"): "8 Byte Cookie"}
WRONG = "_ws.malformed or _ws.expert"


def encapsulated(over_ip, message, source=1, destination=2):
    """A control or data message; over IP a control message has its zeros before it."""
    if not over_ip:
        return ip_packet(udp_datagram(message), 17, source, destination)
    return ip_packet(OVER_IP + message if message[:1] >= b"\x80" else message, 115, source, destination)


def of_both(over_ip, sender, message):
    return encapsulated(over_ip, message, 1 + sender, 2 - sender)


@pytest.mark.parametrize("over_ip", [False, True])
def test_every_control_message_is_well_framed_and_of_the_right_type(over_ip, tmp_path):
    source = random.Random(3931)
    records = [message for _, message in vectors.MESSAGES.values()]
    # the one AVP of a later document, which tshark has no more than a name for
    records = [
        dataclasses.replace(record, interface_maximum_transmission_unit=None) if isinstance(record, ICRQ) else record
        for record in records
    ]
    bodies = [encode(message) for message in records]
    bodies += [encode(message, b"key", source.randbytes, True) for message in records]
    path = tmp_path / "control.pcap"
    write_packets(path, [
        encapsulated(over_ip, write_control(0x2846F181, number, 2, body)) for number, body in enumerate(bodies)
    ])
    rows = dissect(path, "l2tp.ccid", "l2tp.Ns", "l2tp.avp.message_type")
    assert rows == [["0x2846f181", str(number), str(record.number)] for number, record in enumerate(records * 2)]
    assert dissect(path, "frame.number", "_ws.expert.message", only=WRONG) == []


@pytest.mark.parametrize("over_ip", [False, True])
def test_the_values_are_those_that_were_written(over_ip, tmp_path):
    path = tmp_path / "values.pcap"
    write_packets(path, [
        encapsulated(over_ip, write_control(0, 0, 0, vectors.MESSAGES[name][0])) for name in ("SCCRQ", "ICRQ")
    ])
    rows = dissect(
        path, "l2tp.avp.host_name", "l2tp.avp.router_id", "l2tp.avp.pw_type", "l2tp.avp.nonce", "l2tp.tie_breaker"
    )
    assert rows[0] == ["lcce1", str(0xC0000201), "5,4,7", vectors.LOCAL_NONCE.hex(), "0x0011223344556677"]
    rows = dissect(
        path, "l2tp.avp.local_session_id", "l2tp.avp.remote_session_id", "l2tp.avp.pseudowire_type",
        "l2tp.avp.remote_end_id", "l2tp.avp.assigned_cookie", "l2tp.avp.layer2_specific_sublayer",
        "l2tp.avp.data_sequencing", "l2tp.avp.tx_connect_speed_v3", "l2tp.avp.rx_connect_speed_v3",
    )
    assert rows[1] == [
        str(0x10002), "0", "5", "demo-l2tpv3-eth-1", "0123456789abcdef", "1", "2", "1000000000", "100000000",
    ]


def conversation(digest_type):
    """A control connection as both ends write it, with a session that has a cookie and a sublayer in one direction."""
    ends = Digests((SECRET,), digest_type), Digests((SECRET,), digest_type)
    nonces = b"nonce of the caller", b"nonce of the called"
    written = []

    def say(sender, record, ns, nr):
        connection_id = 0 if isinstance(record, SCCRQ) else 0x1001 - sender
        body = encode(record, digests=ends[sender].blank())
        written.append((sender, ends[sender].seal(write_control(connection_id, ns, nr, body))))

    def tell(sender):
        ends[sender].local_nonce = ends[1 - sender].remote_nonce = nonces[sender]

    # ids: the caller's connection is 0x1000, the other's 0x1001; each writes the other's
    tell(0)
    say(0, SCCRQ("caller", 1, 0x1000, (5,), nonces[0]), 0, 0)
    tell(1)
    say(1, SCCRP("called", 2, 0x1001, (5,), nonces[1]), 0, 1)
    say(0, SCCCN(), 1, 1)
    say(1, ACK(), 1, 2)
    say(0, ICRQ(7, 0, 1, ETHERNET, "port", 3, b"cook", l2_specific_sublayer=1, data_sequencing=2), 2, 1)
    say(1, ICRP(8, 7, 3, b"", l2_specific_sublayer=0), 1, 3)
    say(0, ICCN(7, 8), 3, 2)
    say(1, HELLO(), 2, 4)
    return written


@pytest.mark.parametrize("over_ip", [False, True])
@pytest.mark.parametrize("digest_type", [HMAC_MD5, HMAC_SHA_1])
def test_tshark_calculates_the_same_digests(digest_type, over_ip, tmp_path):
    path = tmp_path / "digests.pcap"
    written = conversation(digest_type)
    write_packets(path, [of_both(over_ip, sender, message) for sender, message in written])
    assert dissect(path, "frame.number", only=WRONG, options=["l2tp.shared_secret:s3cret"]) == []
    wrong = dissect(path, "frame.number", only="l2tp.incorrect_digest", options=["l2tp.shared_secret:other"])
    assert len(wrong) == len(written)


@pytest.mark.parametrize("over_ip", [False, True])
@pytest.mark.parametrize("sublayer", [False, True])
@pytest.mark.parametrize("cookie", COOKIES, ids=lambda cookie: f"cookie{len(cookie)}")
def test_data_is_dissected_with_its_cookie_and_sublayer(cookie, sublayer, over_ip, tmp_path):
    path = tmp_path / "data.pcap"
    numbers = [None, 0, 0xFFFFFF] if sublayer else [None]
    write_packets(path, [
        encapsulated(over_ip, write_data(0x2846F181, cookie, sublayer, number, over_ip) + FRAME) for number in numbers
    ])
    kind = "Default L2-Specific" if sublayer else "None"
    options = [f"l2tp.cookie_size:{COOKIES[cookie]}", f"l2tp.l2_specific:{kind}"]
    rows = dissect(path, "l2tp.sid", "l2tp.cookie", "l2tp.l2_spec_s", "l2tp.l2_spec_sequence", options=options)
    found = [["1" if number is not None else "0", str(number or 0)] if sublayer else ["", ""] for number in numbers]
    assert rows == [["0x2846f181", cookie.hex(), *sequence] for sequence in found]
    assert dissect(path, "frame.number", only=WRONG, options=options) == []


@pytest.mark.parametrize("over_ip", [False, True])
def test_the_frames_of_a_session_are_found_by_what_its_messages_agreed(over_ip, tmp_path):
    path = tmp_path / "session.pcap"
    packets = [of_both(over_ip, sender, message) for sender, message in conversation(HMAC_MD5)]
    packets.append(of_both(over_ip, 0, write_data(8, over_ip=over_ip) + FRAME))
    packets.append(of_both(over_ip, 1, write_data(7, b"cook", True, 5, over_ip) + FRAME))
    write_packets(path, packets)
    rows = dissect(path, "l2tp.sid", "l2tp.cookie", "l2tp.l2_spec_sequence", "arp.dst.proto_ipv4", only="arp")
    assert rows == [["0x00000008", "", "", "192.0.2.2"], ["0x00000007", b"cook".hex(), "5", "192.0.2.2"]]
    assert dissect(path, "frame.number", only=WRONG, options=["l2tp.shared_secret:s3cret"]) == []


def test_a_request_for_both_versions_is_a_whole_message_of_version_2(tmp_path):
    path = tmp_path / "both.pcap"
    record = dataclasses.replace(
        vectors2.MESSAGES["SCCRQ"][1], router_id=7, assigned_control_connection_id=9,
        pseudowire_capabilities_list=(7,), control_message_authentication_nonce=b"nonce",
    )
    digests = Digests((SECRET,))
    body = messages.encode(record, digests=digests.blank(mandatory=False))
    write_packets(path, [encapsulated(False, digests.seal(write_control_2(0, 0, 0, 0, body)))])
    rows = dissect(path, "l2tp.version", "l2tp.avp.assigned_tunnel_id", "l2tp.avp.router_id", "l2tp.avp.pw_type")
    assert rows == [["2", str(record.assigned_tunnel_id), "7", "7"]]
    assert dissect(path, "frame.number", only=WRONG) == []


@pytest.mark.root
@pytest.mark.parametrize("encapsulation", ["udp", "ip"])
def test_what_our_daemons_say_on_a_cable_has_no_malformed_packet(encapsulation, tmp_path):
    path = tmp_path / "cable.pcap"
    with World() as world:
        one, two = world.namespace("one"), world.namespace("two")
        world.cable(two, one, [f"{TWO}/24", f"{TWO6}/64"], [f"{ONE}/24", f"{ONE6}/64"])
        capture = one.spawn("tcpdump", "-i", "eth0", "--immediate-mode", "-U", "-w", path, name="tcpdump")
        wait_until(lambda: "listening" in capture.output, 10, "tcpdump")
        encap = f"version l2tpv3; encap {encapsulation};"
        ours, theirs = both(world, server(encap, "cookie_size 8; data_sequencing all;"),
                            client(encap, "cookie_size 8; data_sequencing all;"))
        theirs.wait_established(1)
        ours.wait_established(1)
        addressed(world)
        assert pings(world)
        theirs.stop()
        ours.wait_gone()
        capture.stop()
    options = ["l2tp.cookie_size:8 Byte Cookie", "l2tp.l2_specific:Default L2-Specific", "l2tp.shared_secret:s3cret"]
    assert dissect(path, "frame.number", "_ws.expert.message", only="_ws.malformed", options=options) == []
    assert len(dissect(path, "frame.number", only="icmp && l2tp", options=options)) >= 4
    assert dissect(path, "frame.number", only="l2tp.incorrect_digest", options=options) == []
