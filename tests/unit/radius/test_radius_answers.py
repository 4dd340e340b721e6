"""What answers say, attribute by attribute; the answers are made by pyrad's own encoder."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from pyrad.packet import AccessAccept, AccessChallenge, AccessReject, AuthPacket, Packet

from prol2tp.common.wire import WireError
from prol2tp.radius import packets
from prol2tp.radius.answer import Answer, Malformed, read
from prol2tp.radius.dictionary import ATTRIBUTES, BY_KEY, DICTIONARY, FILES, named_values
from prol2tp.radius.tunnels import NO_PREFERENCE
from prol2tp.radius.values import Route, route

SECRET, AUTHENTICATOR = b"testing123", bytes(range(16))


def reply(code: int = AccessAccept, raw: dict | None = None, **named: object) -> bytes:
    packet = AuthPacket(code, 7, SECRET, AUTHENTICATOR, dict=DICTIONARY)
    packet.message_authenticator = True
    for name, value in named.items():
        packet.AddAttribute(name.replace("_", "-"), value)
    for number, value in (raw or {}).items():
        packet[number] = value
    return packet.ReplyPacket()


def answer(code: int = AccessAccept, raw: dict | None = None, **named: object) -> Answer:
    packet = packets.decode(reply(code, raw, **named), SECRET)
    assert packets.reply_verified(packet, 1, 7, AUTHENTICATOR, SECRET, True)
    return read(packet)


def tagged(**named: object) -> Answer:
    return answer(**{name.replace("__", ":"): value for name, value in named.items()})


def test_an_empty_accept_says_nothing() -> None:
    assert answer() == Answer()


def test_every_attribute_of_an_accept_reaches_its_field() -> None:
    said = answer(
        User_Name="real@isp", Service_Type=2, Framed_Protocol=1, Framed_IP_Address="10.1.2.3",
        Framed_IP_Netmask="255.255.255.255", Filter_Id=["a", "b"], Framed_MTU=1492, Framed_Compression=1,
        Session_Timeout=3600, Idle_Timeout=600, Termination_Action=1, Port_Limit=2, Acct_Interim_Interval=300,
        Framed_Pool="gold", Framed_Interface_Id="1:2:3:4", Framed_IPv6_Pool="six", Framed_IPv6_Prefix="2001:db8::/64",
        Delegated_IPv6_Prefix=["2001:db8:1::/56", "2001:db8:2::/48"], Framed_IPv6_Address="2001:db8::9",
        DNS_Server_IPv6_Address=["2001:db8::53"], Route_IPv6_Information="2001:db8:5::/48",
        Delegated_IPv6_Prefix_Pool="pd", Stateful_IPv6_Address_Pool="na", Reply_Message=["Hel", "lo"],
        Framed_Route=["10.9.0.0/24 0.0.0.0 1"], Framed_IPv6_Route="2001:db8:9::/48 2001:db8::1 5",
        Mikrotik_Rate_Limit="1M/2M", WISPr_Bandwidth_Max_Up=1000, WISPr_Bandwidth_Max_Down=2000,
        Cisco_AVPair=["lcp:x=y"], MS_MPPE_Encryption_Policy=2, MS_MPPE_Encryption_Types=4,
    )  # fmt: skip
    assert said == Answer(
        user_name="real@isp", service_type=2, framed_protocol=1, framed_ip_address="10.1.2.3",
        framed_ip_netmask="255.255.255.255", filter_ids=("a", "b"), framed_mtu=1492, framed_compression=1,
        session_timeout=3600, idle_timeout=600, termination_action=1, port_limit=2, acct_interim_interval=300,
        framed_pool="gold", framed_interface_id=0x0001000200030004, framed_ipv6_pool="six",
        framed_ipv6_prefixes=("2001:db8::/64",),
        delegated_ipv6_prefixes=("2001:db8:1::/56", "2001:db8:2::/48"), framed_ipv6_addresses=("2001:db8::9",),
        dns_ipv6=("2001:db8::53",), route_ipv6_information=("2001:db8:5::/48",), delegated_ipv6_prefix_pool="pd",
        stateful_ipv6_address_pool="na", reply_message="Hello",
        framed_routes=(Route("10.9.0.0/24", "", 1),),
        framed_ipv6_routes=(Route("2001:db8:9::/48", "2001:db8::1", 5),),
        rate_limit="1M/2M", rate_up=1000, rate_down=2000, avpairs=("lcp:x=y",), mppe_policy=2, mppe_types=4,
    )  # fmt: skip


def test_class_and_state_are_kept_byte_for_byte_also_when_they_begin_like_hex() -> None:
    classes = [b"0x12345678", b"\x00\xff", b"0xzz"]
    said = answer(raw={25: classes, 24: [b"0x00"], 89: [b"0x1"]})
    assert said.classes == tuple(classes)
    assert (said.state, said.chargeable_user_identity) == (b"0x00", b"0x1")


def test_name_servers_come_primary_first() -> None:
    said = answer(MS_Secondary_DNS_Server="10.0.0.2", MS_Primary_DNS_Server="10.0.0.1",
                  MS_Secondary_NBNS_Server="10.0.0.4", MS_Primary_NBNS_Server="10.0.0.3")
    assert said.dns == ("10.0.0.1", "10.0.0.2")
    assert said.nbns == ("10.0.0.3", "10.0.0.4")


def test_mppe_keys_are_decrypted_and_not_shown() -> None:
    said = answer(MS_MPPE_Send_Key=b"k" * 16, MS_MPPE_Recv_Key=b"r" * 16)
    assert (said.mppe_send_key, said.mppe_recv_key) == (b"k" * 16, b"r" * 16)
    assert "kkkk" not in repr(said)
    assert "rrrr" not in repr(said)


def test_mschap_texts_lose_the_identifier_before_them() -> None:
    assert answer(raw={(311, 26): [b"\x05S=" + b"A" * 40]}).mschap2_success == "S=" + "A" * 40
    assert answer(AccessReject, raw={(311, 2): [b"\x05E=691 R=0"]}).mschap_error == "E=691 R=0"


def test_an_eap_message_is_joined_from_its_pieces() -> None:
    message = bytes(range(250)) * 3
    said = answer(AccessChallenge, raw={79: [message[:253], message[253:506], message[506:]]})
    assert said.eap_message == message


def test_tunnels_are_grouped_by_tag_and_ordered_by_preference() -> None:
    packet = AuthPacket(AccessAccept, 7, SECRET, AUTHENTICATOR, dict=DICTIONARY)
    packet.message_authenticator = True
    for tag, preference in ((1, 200), (2, 100), (3, None)):
        packet.AddAttribute(f"Tunnel-Type:{tag}", "L2TP")
        packet.AddAttribute(f"Tunnel-Medium-Type:{tag}", "IPv4")
        packet.AddAttribute(f"Tunnel-Server-Endpoint:{tag}", f"192.0.2.{tag}")
        packet.AddAttribute(f"Tunnel-Password:{tag}", f"secret{tag} that is longer than sixteen")
        packet.AddAttribute(f"Tunnel-Assignment-ID:{tag}", f"isp{tag}")
        if preference:
            packet.AddAttribute(f"Tunnel-Preference:{tag}", preference)
    packet.AddAttribute("Tunnel-Client-Auth-ID", "lac")
    decoded = packets.decode(packet.ReplyPacket(), SECRET)
    assert packets.reply_verified(decoded, 1, 7, AUTHENTICATOR, SECRET, True)
    groups = read(decoded).tunnels
    assert [group.tag for group in groups] == [2, 1, 3]
    best = groups[0]
    assert (best.type, best.medium, best.server_endpoint) == (3, 1, "192.0.2.2")
    assert best.password == b"secret2 that is longer than sixteen"
    assert (best.assignment_id, best.preference, best.client_auth_id) == ("isp2", 100, "lac")
    assert groups[2].preference == NO_PREFERENCE
    assert "secret2" not in repr(groups)


def test_tunnel_attributes_without_tags_are_one_group() -> None:
    (group,) = answer(Tunnel_Type=3, Tunnel_Server_Endpoint="192.0.2.1").tunnels
    assert (group.tag, group.type, group.server_endpoint) == (0, 3, "192.0.2.1")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("10.0.0.0/8 192.0.2.1 1", Route("10.0.0.0/8", "192.0.2.1", 1)),
        ("192.168.1.0/24 192.168.1.1 1 2 -1 3 400", Route("192.168.1.0/24", "192.168.1.1", 1)),
        ("192.168.1.0/24", Route("192.168.1.0/24", "", None)),
        ("10.0.0.0 0.0.0.0", Route("10.0.0.0/8", "", None)),
        ("172.16.0.0 0.0.0.0", Route("172.16.0.0/16", "", None)),
        ("192.0.2.0", Route("192.0.2.0/24", "", None)),
        ("10.1.2.3 0.0.0.0", Route("10.1.2.3/32", "", None)),
        ("0.0.0.0/0 0.0.0.0", Route("0.0.0.0/0", "", None)),
        ("10.1.2.3/24 0.0.0.0 -1", Route("10.1.2.0/24", "", None)),
        ("2000:0:0:106::/64 2000::106:a00:20ff:fe99:a998 1", Route("2000:0:0:106::/64", "2000::106:a00:20ff:fe99:a998",
                                                                   1)),
        ("2001:db8::1 ::", Route("2001:db8::1/128", "", None)),
    ],
)
def test_framed_routes(line: str, found: Route) -> None:
    assert route(line) == found


@pytest.mark.parametrize(
    "line", ["", " ", "x", "10.0.0.0/33", "10.0.0.0/8 fe80::1", "::/0 10.0.0.1", "1.2.3.4 1.2.3.4 x"]
)
def test_what_is_no_route_is_refused(line: str) -> None:
    with pytest.raises(WireError):
        route(line)


def test_a_bad_route_costs_that_route_alone() -> None:
    said = answer(Framed_Route=["nonsense", "10.0.0.0/8 0.0.0.0"], Framed_IPv6_Route="10.0.0.0/8")
    assert [found.prefix for found in said.framed_routes] == ["10.0.0.0/8"]
    assert said.framed_ipv6_routes == ()
    assert said.ignored == ("Framed-Route", "Framed-IPv6-Route")


@pytest.mark.parametrize(
    "value", [bytes.fromhex("0000"), bytes.fromhex("00000137"), bytes.fromhex("000001370100"),
              bytes.fromhex("000001371c03"), bytes.fromhex("000001371c0a01020304"), b"\xff" * 20],
)  # fmt: skip
def test_a_vendor_attribute_with_a_bad_length_is_ignored(value: bytes) -> None:
    said = answer(raw={26: [value]})
    assert said == Answer(ignored=("Vendor-Specific",))


@pytest.mark.parametrize("number", [8, 9, 12, 27, 28, 85, 96, 97, 123, 168, (311, 28), (311, 16)])
def test_a_known_attribute_of_impossible_length_is_malformed(number: int | tuple[int, int]) -> None:
    with pytest.raises(Malformed):
        answer(raw={number: [b"\x01"]})


def test_unknown_attributes_are_named_and_ignored() -> None:
    assert answer(raw={241: [b"x"], 250: [b""], 5: [bytes(4)]}).ignored == ("241", "250", "NAS-Port")


@pytest.mark.parametrize("tail", [b"\x08", b"\x08\x00", b"\x08\x01", b"\x08\x06\x01\x02\x03", b"\x19\xff0x41"])
def test_an_attribute_that_runs_past_the_end_costs_the_packet(tail: bytes) -> None:
    good = reply(Filter_Id="x")
    data = good[:2] + (len(good) + len(tail)).to_bytes(2, "big") + good[4:] + tail
    with pytest.raises(WireError):
        packets.decode(data, SECRET)


def test_padding_behind_the_length_is_no_part_of_the_packet() -> None:
    packet = packets.decode(reply(Filter_Id="x") + b"\x08\x00garbage", SECRET)
    assert packets.reply_verified(packet, 1, 7, AUTHENTICATOR, SECRET, True)
    assert read(packet).filter_ids == ("x",)


def test_every_truncation_of_a_packet_is_refused() -> None:
    good = reply(Filter_Id="x", Framed_IP_Address="10.0.0.1")
    for length in range(len(good)):
        with pytest.raises(WireError):
            packets.decode(good[:length], SECRET)


def test_two_message_authenticators_are_none() -> None:
    with pytest.raises(WireError):
        packets.decode(Packet(2, 1, SECRET, AUTHENTICATOR).ReplyPacket()[:2] + b"\x00\x38" + bytes(16)
                       + (b"\x50\x12" + bytes(16)) * 2, SECRET)  # fmt: skip


def test_a_reply_with_a_proxy_state_that_was_not_sent_is_not_verified() -> None:
    packet = packets.decode(reply(raw={33: [b"forged"]}), SECRET)
    assert not packets.reply_verified(packet, 1, 7, AUTHENTICATOR, SECRET, True)


def test_the_dictionaries_are_package_data() -> None:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[3] / "setup.cfg")
    assert setup["options.package_data"]["prol2tp.radius"].split() == list(FILES)


def test_the_dictionary_has_each_number_once() -> None:
    assert len(BY_KEY) == len(ATTRIBUTES) > 90
    assert ATTRIBUTES["Tunnel-Password"].salted
    assert ATTRIBUTES["Tunnel-Preference"].tagged
    assert named_values("Acct-Terminate-Cause")["Host-Request"] == 18
