"""Disconnect-Request and CoA-Request: who may, what is forged, old or repeated, and what the answers say."""

from __future__ import annotations

import pytest
from pyrad.packet import CoAPacket, CoARequest, DisconnectRequest

from prol2tp.radius.answer import Answer
from prol2tp.radius.dictionary import DICTIONARY
from prol2tp.radius.dynauth import (
    SESSION_CONTEXT_NOT_FOUND,
    DynamicAuthorization,
    DynamicClient,
    DynamicSettings,
    Identification,
)
from prol2tp.radius.outputs import Asked, Discarded, Respond

SECRET, WALL = b"testing123", 1_700_000_000.0
PEER, LOCAL = ("192.0.2.7", 40000), ("192.0.2.1", 3799)


def core(**changes: object) -> DynamicAuthorization:
    return DynamicAuthorization([DynamicClient("192.0.2.0/24", SECRET, **changes)])  # type: ignore[arg-type]


def request(code: int = DisconnectRequest, identifier: int = 1, sign: bool = True, secret: bytes = SECRET,
            raw: dict | None = None, **named: object) -> CoAPacket:
    packet = CoAPacket(code, identifier, secret, dict=DICTIONARY)
    if sign:
        packet.add_message_authenticator()
    for name, value in named.items():
        packet.AddAttribute(name.replace("_", "-"), value)
    for number, value in (raw or {}).items():
        packet[number] = value
    packet.encoded = packet.RequestPacket()
    return packet


def give(server: DynamicAuthorization, packet: CoAPacket, now: float = 0.0, peer: tuple[str, int] = PEER) -> list:
    server.receive(packet.encoded, peer, LOCAL, WALL + now, now)
    return [output for output in server.outputs() if not isinstance(output, Discarded)]


def reply_of(packet: CoAPacket, output: Respond) -> CoAPacket:
    assert (output.peer, output.local) == (PEER, LOCAL)
    reply = packet.CreateReply(packet=output.data)
    assert packet.VerifyReply(reply)
    return reply


def test_a_disconnect_names_its_session_and_is_acknowledged() -> None:
    server = core()
    packet = request(Acct_Session_Id="abc", User_Name="u", NAS_Identifier="lns", Framed_IP_Address="10.0.0.1",
                     raw={33: [b"one", b"0x2"]})
    (asked,) = give(server, packet)
    assert isinstance(asked, Asked)
    assert asked.request.disconnect
    assert asked.request.session == Identification(user_name="u", acct_session_id="abc", framed_ip_address="10.0.0.1")
    assert asked.request.nas_identifier == "lns"
    assert asked.request.client == PEER
    server.acknowledge(asked.handle, 0.1)
    (respond,) = server.outputs()
    reply = reply_of(packet, respond)
    assert reply.code == 41
    assert reply[33] == [b"one", b"0x2"]
    assert respond.data[20] == 80
    assert (server.counters.disconnect_requests, server.counters.disconnect_responses) == (1, 1)


def test_a_refusal_has_its_error_cause() -> None:
    server = core()
    packet = request(CoARequest, Acct_Session_Id="abc")
    (asked,) = give(server, packet)
    server.refuse(asked.handle, SESSION_CONTEXT_NOT_FOUND, 0.1)
    reply = reply_of(packet, server.outputs()[0])
    assert reply.code == 45
    assert reply["Error-Cause"] == ["Session-Context-Not-Found"]


def test_a_coa_carries_what_changes() -> None:
    (asked,) = give(core(), request(CoARequest, Acct_Session_Id="abc", Session_Timeout=60, Filter_Id=["gold", "ipv6"],
                                    Event_Timestamp=int(WALL), raw={25: [b"0xnew"]}))
    assert asked.request.changes == Answer(session_timeout=60, filter_ids=("gold", "ipv6"), classes=(b"0xnew",))


def test_a_repeated_request_is_answered_from_the_cache_and_asked_once() -> None:
    server = core()
    packet = request(Acct_Session_Id="abc")
    (asked,) = give(server, packet)
    assert give(server, packet, 1) == []
    server.acknowledge(asked.handle, 2)
    (first,) = server.outputs()
    assert give(server, packet, 3) == [first]
    assert server.counters.duplicates == 2
    (again,) = give(server, packet, 40)
    assert isinstance(again, Asked)
    server.acknowledge(asked.handle, 41)
    assert server.outputs() == []


def test_the_same_identifier_with_other_content_is_another_request() -> None:
    server = core()
    assert isinstance(give(server, request(Acct_Session_Id="a"))[0], Asked)
    assert isinstance(give(server, request(Acct_Session_Id="b"))[0], Asked)


def test_strangers_and_wrong_secrets_get_no_answer() -> None:
    server = core()
    assert give(server, request(Acct_Session_Id="a"), peer=("198.51.100.1", 1)) == []
    assert give(server, request(Acct_Session_Id="a", secret=b"other")) == []
    forged = request(Acct_Session_Id="a")
    plain = bytearray(forged.encoded)
    plain[-1] ^= 1
    forged.encoded = bytes(plain)
    assert give(server, forged) == []
    assert (server.counters.unknown_client, server.counters.bad_authenticator) == (1, 2)


def test_a_right_authenticator_does_not_excuse_a_wrong_message_authenticator() -> None:
    packet = CoAPacket(DisconnectRequest, 1, SECRET, dict=DICTIONARY)
    packet.AddAttribute("Acct-Session-Id", "a")
    packet[80] = [b"x" * 16]
    packet.encoded = packet.RequestPacket()
    server = core()
    assert give(server, packet) == []
    assert server.counters.bad_authenticator == 1


def test_an_unsigned_request_is_taken_unless_the_operator_insists() -> None:
    packet = request(sign=False, Acct_Session_Id="a")
    (asked,) = give(core(), packet)
    server = core(require_message_authenticator=True)
    assert give(server, packet) == []
    assert isinstance(asked, Asked)


@pytest.mark.parametrize(("age", "taken"), [(0, True), (299, True), (-299, True), (301, False), (-301, False)])
def test_event_timestamps_outside_the_window_are_dropped(age: int, taken: bool) -> None:
    server = core()
    said = give(server, request(Acct_Session_Id="a", Event_Timestamp=int(WALL) - age))
    assert bool(said) is taken
    assert server.counters.outside_window == (0 if taken else 1)


def test_a_missing_event_timestamp_is_dropped_where_it_is_required() -> None:
    server = core(require_event_timestamp=True)
    assert give(server, request(Acct_Session_Id="a")) == []
    assert server.counters.outside_window == 1


def test_a_request_that_names_no_session_is_refused_at_once() -> None:
    server = core()
    packet = request(NAS_Identifier="lns")
    reply = reply_of(packet, give(server, packet)[0])
    assert (reply.code, reply["Error-Cause"]) == (42, ["Missing-Attribute"])


def test_authorize_only_is_an_unsupported_service_and_is_repeated_in_the_nak() -> None:
    server = core()
    packet = request(CoARequest, Acct_Session_Id="a", Service_Type="Authorize-Only", raw={24: [b"s"]})
    reply = reply_of(packet, give(server, packet)[0])
    assert (reply["Error-Cause"], reply["Service-Type"]) == (["Unsupported-Service"], ["Authorize-Only"])


def test_an_impossible_value_is_refused() -> None:
    server = core()
    packet = request(CoARequest, Acct_Session_Id="a", raw={27: [b"\x01"]})
    reply = reply_of(packet, give(server, packet)[0])
    assert reply["Error-Cause"] == ["Invalid-Attribute-Value"]


def test_the_longest_network_gives_the_secret() -> None:
    server = DynamicAuthorization([DynamicClient("0.0.0.0/0", b"wide"), DynamicClient("192.0.2.7", SECRET),
                                   DynamicClient("2001:db8::/32", b"six")])
    assert isinstance(give(server, request(Acct_Session_Id="a"))[0], Asked)
    assert isinstance(give(server, request(Acct_Session_Id="a", secret=b"wide"), peer=("198.51.100.1", 9))[0], Asked)
    assert isinstance(give(server, request(Acct_Session_Id="a", secret=b"six"), peer=("2001:db8::5", 9))[0], Asked)


def test_a_full_cache_drops_new_requests_until_it_has_aged() -> None:
    server = DynamicAuthorization([DynamicClient("192.0.2.0/24", SECRET)], DynamicSettings(max_cached=3))
    for number in range(5):
        give(server, request(identifier=number, Acct_Session_Id=f"s{number}"))
    assert server.counters.overload == 2
    assert isinstance(give(server, request(Acct_Session_Id="late"), 31)[0], Asked)


def test_other_codes_are_dropped() -> None:
    server = core()
    assert give(server, request(4, Acct_Session_Id="a", sign=False)) == []
    assert server.counters.malformed == 1


def test_what_is_dropped_is_told_once_for_each_sender_and_reason_until_clients_change() -> None:
    server = core(require_message_authenticator=True)

    def told(packet: CoAPacket, host: str = PEER[0]) -> list[str]:
        server.receive(packet.encoded, (host, 5), LOCAL, WALL, 0.0)
        return [output.reason for output in server.outputs() if isinstance(output, Discarded)]

    wrong = request(Acct_Session_Id="a", secret=b"other")
    assert told(wrong) == ["not signed with the secret of this client"]
    assert told(wrong) == told(request(Acct_Session_Id="a", sign=False)) == []
    assert told(wrong, "192.0.2.8") == ["not signed with the secret of this client"]
    assert told(wrong, "198.51.100.1") == ["it is not in the network of any client"]
    assert told(request(4, Acct_Session_Id="a", sign=False)) == ["code 4 is no Disconnect-Request and no CoA-Request"]
    for number in range(1000):
        told(wrong, f"198.51.{number >> 8}.{number & 255}")
    assert len(server._told) == 100
    server.set_clients([DynamicClient("192.0.2.0/24", SECRET)])
    assert told(wrong) == ["not signed with the secret of this client"]
    assert server.counters.discards == 1007
