"""Access-Requests and Accounting-Requests, read back by pyrad."""

from __future__ import annotations

import hashlib
import json

import pytest
from pyrad.packet import AcctPacket, AuthPacket

from prol2tp.ppp.causes import CAUSES
from prol2tp.radius import access, accounting
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import AccountingRequest, terminate_cause
from prol2tp.radius.attributes import Addresses, Nas, Port, TunnelFacts
from prol2tp.radius.dictionary import DICTIONARY

SECRET, AUTHENTICATOR = b"testing123", bytes(range(16))
NAS = Nas("192.0.2.1", "2001:db8::1", "lns")
PORT = Port(
    nas_port=77, called_station_id="0800", calling_station_id="0123", connect_info="100000000", nas_port_id="l2tp 1/2",
    agent_circuit_id="eth 0/1", agent_remote_id="remote",
    tunnel=TunnelFacts(client_endpoint="192.0.2.9", server_endpoint="192.0.2.1", connection="12345",
                       assignment_id="isp", client_auth_id="lac", server_auth_id="lns", packets_lost=3),
)  # fmt: skip


def asked(record: AccessRequest) -> AuthPacket:
    data = access.encode(record, 9, AUTHENTICATOR, SECRET)
    assert data[20:22] == b"\x50\x12"
    packet = AuthPacket(secret=SECRET, dict=DICTIONARY, packet=data)
    assert packet.verify_message_authenticator()
    assert (packet.id, packet.authenticator) == (9, AUTHENTICATOR)
    return packet


def told(record: AccountingRequest, delay: int = 0) -> AcctPacket:
    data, authenticator = accounting.encode(record, delay, 9, SECRET)
    packet = AcctPacket(secret=SECRET, dict=DICTIONARY, packet=data)
    assert packet.VerifyAcctRequest()
    assert packet.authenticator == authenticator
    return packet


def test_the_link_and_the_nas_are_described() -> None:
    packet = asked(AccessRequest(b"u", "pap", password=b"pw", acct_session_id="abc", nas=NAS, port=PORT,
                                 hints=Addresses(ip_address="10.0.0.1"), classes=(b"0x1",), framed_mtu=1400))
    expected = {
        "User-Name": "u", "NAS-IP-Address": "192.0.2.1", "NAS-IPv6-Address": "2001:db8::1", "NAS-Identifier": "lns",
        "NAS-Port": 77, "Service-Type": "Framed", "Framed-Protocol": "PPP", "Called-Station-Id": "0800",
        "Calling-Station-Id": "0123", "NAS-Port-Type": "Virtual", "Connect-Info": "100000000",
        "NAS-Port-Id": "l2tp 1/2", "Agent-Circuit-Id": "eth 0/1", "Agent-Remote-Id": "remote", "Tunnel-Type": "L2TP",
        "Tunnel-Medium-Type": "IPv4", "Tunnel-Client-Endpoint": "192.0.2.9", "Tunnel-Server-Endpoint": "192.0.2.1",
        "Acct-Tunnel-Connection": "12345", "Tunnel-Assignment-ID": "isp", "Tunnel-Client-Auth-ID": "lac",
        "Tunnel-Server-Auth-ID": "lns", "Acct-Tunnel-Packets-Lost": 3, "Acct-Session-Id": "abc",
        "Framed-IP-Address": "10.0.0.1", "Framed-MTU": 1400,
    }  # fmt: skip
    assert {name: packet[name][0] for name in expected} == expected
    assert packet[25] == [b"0x1"]
    assert packet.PwDecrypt(packet[2][0]) == "pw"


@pytest.mark.parametrize("password", [b"", b"p", b"x" * 16, b"x" * 17, b"y" * 128])
def test_a_password_is_hidden_and_found_again(password: bytes) -> None:
    packet = asked(AccessRequest(b"u", "pap", password=password))
    assert len(packet[2][0]) % 16 == 0
    assert packet[2][0][:16] != password[:16].ljust(16, b"\0")
    assert packet.PwDecrypt(packet[2][0]).encode() == password


def test_a_chap_response_is_verified_by_the_server() -> None:
    response = hashlib.md5(b"\x05secret" + b"c" * 20).digest()
    packet = asked(AccessRequest(b"u", "chap", identifier=5, challenge=b"c" * 20, response=response))
    assert packet.VerifyChapPasswd("secret")
    assert not packet.VerifyChapPasswd("other")


def test_mschapv2_fields_are_in_the_order_of_rfc_2548() -> None:
    peer, reserved, nt = b"P" * 16, bytes(8), b"N" * 24
    packet = asked(AccessRequest(b"u", "mschapv2", identifier=5, challenge=b"C" * 16,
                                 peer_challenge=peer, response=nt))
    assert packet[(311, 11)] == [b"C" * 16]
    assert packet[(311, 25)] == [b"\x05\x00" + peer + reserved + nt]


def test_mschapv1_uses_its_own_attribute_and_keeps_the_flags() -> None:
    packet = asked(AccessRequest(b"u", "mschapv1", identifier=5, challenge=b"C" * 8,
                                 response=b"N" * 24, flags=1))
    assert packet[(311, 1)] == [b"\x05\x01" + bytes(24) + b"N" * 24]


def test_a_long_eap_packet_is_split_and_the_state_echoed() -> None:
    message = bytes(range(256)) * 6
    packet = asked(AccessRequest(b"u", "eap", eap_message=message, state=b"0xab"))
    assert [len(piece) for piece in packet[79]] == [253] * 6 + [18]
    assert b"".join(packet[79]) == message
    assert packet[24] == [b"0xab"]


def test_text_that_is_too_long_is_cut_between_characters() -> None:
    packet = asked(AccessRequest(b"u", "pap", port=Port(connect_info="ä" * 200)))
    assert packet["Connect-Info"] == ["ä" * 126]


def test_secrets_are_not_in_the_repr() -> None:
    assert "hunter2" not in repr(AccessRequest(b"u", "pap", password=b"hunter2"))


def test_a_stop_has_everything() -> None:
    packet = told(
        AccountingRequest(
            "Stop", "abc", 1_700_000_000, user=b"u", multi_session_id="m", session_time=61,
            input_octets=(5 << 32) + 7, output_octets=9, input_packets=11, output_packets=13,
            terminate_cause="Idle Timeout", link_count=1, classes=(b"0x1", b"two"), filter_ids=("gold",),
            addresses=Addresses("10.0.0.1", "255.255.255.255", 0x1_0002_0003_0004, ("2001:db8::/64",),
                                ("2001:db8:1::/56",), ("2001:db8::9",)),
            nas=NAS, port=PORT,
        ),
        delay=42,
    )  # fmt: skip
    expected = {
        "Acct-Status-Type": "Stop", "Acct-Delay-Time": 42, "Acct-Session-Id": "abc", "Acct-Session-Time": 61,
        "Event-Timestamp": 1_700_000_000, "User-Name": "u", "Acct-Multi-Session-Id": "m", "Acct-Input-Octets": 7,
        "Acct-Input-Gigawords": 5, "Acct-Output-Octets": 9, "Acct-Input-Packets": 11, "Acct-Output-Packets": 13,
        "Acct-Terminate-Cause": "Idle-Timeout", "Acct-Link-Count": 1, "Acct-Authentic": "RADIUS",
        "Framed-IP-Address": "10.0.0.1", "Framed-IPv6-Prefix": "2001:db8::/64",
        "Framed-Interface-Id": "1:2:3:4", "Delegated-IPv6-Prefix": "2001:db8:1::/56",
        "Framed-IPv6-Address": "2001:db8::9", "Filter-Id": "gold", "NAS-Identifier": "lns", "NAS-Port-Id": "l2tp 1/2",
    }  # fmt: skip
    assert {name: packet[name][0] for name in expected} == expected
    assert packet[25] == [b"0x1", b"two"]
    assert "Acct-Output-Gigawords" not in packet


def test_accounting_on_is_about_the_nas_alone() -> None:
    packet = told(AccountingRequest("Accounting-On", "on1", 5, nas=NAS))
    assert sorted(map(str, packet.keys())) == [
        "Acct-Delay-Time", "Acct-Session-Id", "Acct-Status-Type", "Event-Timestamp", "NAS-IP-Address",
        "NAS-IPv6-Address", "NAS-Identifier",
    ]  # fmt: skip


def test_a_start_leaves_out_what_is_not_known() -> None:
    packet = told(AccountingRequest("Start", "abc", 5, user="u", nas=NAS))
    unknown = {"Acct-Session-Time", "Acct-Input-Octets", "Acct-Terminate-Cause", "Framed-IP-Address"}
    assert not unknown & set(packet.keys())


def test_causes_are_words_of_rfc_2866_or_numbers_and_never_lose_a_record() -> None:
    for word in ("User Request", "Lost Carrier", "Idle Timeout", "Session Timeout", "Admin Reset", "Admin Reboot",
                 "NAS Error", "NAS Request", "Port Preempted"):
        assert terminate_cause(word) == CAUSES[word].acct_terminate_cause
    assert terminate_cause(17) == 17
    assert terminate_cause("no such cause") == 9


def test_a_record_comes_back_from_json_and_makes_the_same_packet() -> None:
    full = AccountingRequest(
        "Stop", "abc", 5, delay=1.5, user=b"\xffu", input_octets=1 << 40, terminate_cause="Idle Timeout",
        classes=(b"0x1", b"\x00"), filter_ids=("gold", "hex:41"), addresses=Addresses("10.0.0.1", interface_id=7),
        nas=NAS, port=PORT, extra=((18, b"x"), ((311, 28), b"four")),
    )  # fmt: skip
    start = AccountingRequest("Start", "s", 6, user="u", nas=NAS)
    for record in (full, start, AccountingRequest("Accounting-On", "", 1)):
        stored = json.dumps(accounting.to_record(record))
        again = accounting.from_record(json.loads(stored))
        assert accounting.encode(again, 3, 1, SECRET) == accounting.encode(record, 3, 1, SECRET)
    assert len(json.dumps(accounting.to_record(AccountingRequest("Start", "s", 6, user="u")))) < 120


def test_an_unknown_status_type_is_a_problem() -> None:
    assert AccountingRequest("Begin", "s", 1).problem()
    assert not AccountingRequest("Interim-Update", "s", 1).problem()
