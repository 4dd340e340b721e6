"""Control messages of L2TPv3 and their AVPs (RFC 3931 sections 5 and 6)."""

import dataclasses

import pytest

from prol2tp.l2tp import messages, messages3, trace
from prol2tp.l2tp.avp import HEADER, MANDATORY
from prol2tp.l2tp.avptable import COOKIE_LENGTHS, OF_VERSION_3
from prol2tp.l2tp.layout import MissingAVP, UnknownMessageType
from prol2tp.l2tp.messages import BadAVP, UnknownMandatoryAVP
from prol2tp.l2tp.messages3 import ACK, CDN, HELLO, ICRP, ICRQ, MESSAGES, SCCRQ, SLI, ResultCode, decode, encode
from tests.vectors import l2tp as vectors2
from tests.vectors import l2tp3 as vectors
from tests.vectors.l2tp import octets

SCCRQ_MUSTS = octets("""
    8008 0000 0000 0001 8007 0000 0007 61 000a 0000 003c 00000001 000a 0000 003d 00000002 0008 0000 003e 0005
""")
ICRP_MUSTS = octets("8008 0000 0000 000b 800a 0000 003f 00000005 800a 0000 0040 00000006 8008 0000 0047 0001")
PLAIN_ICRP = ICRP(5, 6, 1)
BY_FIELD = {row.field: row for row in OF_VERSION_3}


def avp(attribute, value, mandatory=True, vendor=0, bits=0):
    bits |= MANDATORY if mandatory else 0
    return HEADER.pack(bits | len(value) + 6, vendor, attribute) + value


def without(body, attribute):
    kept, position = b"", 0
    while position < len(body):
        bits, _, this = HEADER.unpack_from(body, position)
        if this != attribute or position == 0:
            kept += body[position:position + (bits & 0x3FF)]
        position += bits & 0x3FF
    return kept


def test_a_real_sccrq_of_prol2tp_is_read_and_written_octet_for_octet():
    body = vectors2.PROL2TP_V3_SCCRQ[12:]
    ignored = []
    message = decode(body, ignored=ignored)
    assert message == SCCRQ(
        "openv3", 0, 0x2846F181, (7, 5, 4), vendor_name="prol2tp 1.7.3 Linux-3.13.0-30-generic (x86_64)",
        receive_window_size=10,
    )
    assert ignored == []
    assert encode(message).hex() == body.hex()


@pytest.mark.parametrize("name", vectors.MESSAGES)
def test_a_message_laid_out_by_hand_is_read(name):
    body, message = vectors.MESSAGES[name]
    ignored = []
    assert decode(body, ignored=ignored) == message
    assert ignored == []


@pytest.mark.parametrize("name", vectors.MESSAGES)
def test_a_message_is_written_octet_for_octet(name):
    body, message = vectors.MESSAGES[name]
    assert encode(message).hex() == body.hex()


def test_there_is_a_vector_for_every_message():
    assert set(vectors.MESSAGES) == set(vectors.DIGESTS) == {message.__name__ for message in MESSAGES}
    assert [message.number for message in MESSAGES] == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 28, 29, 20]
    assert [messages.message_name(message.number) for message in MESSAGES] == [one.__name__ for one in MESSAGES]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_every_mandatory_avp_is_missed(message):
    body, _ = vectors.MESSAGES[message.__name__]
    for member in dataclasses.fields(message):
        if member.default is not dataclasses.MISSING:
            continue
        row = BY_FIELD[member.name]
        with pytest.raises(MissingAVP) as caught:
            decode(without(body, row.type))
        assert caught.value.name == row.name
        assert (caught.value.message_type, caught.value.for_call) == (message.number, message.for_call)


def test_a_fault_tells_the_ids_that_say_what_it_is_about():
    with pytest.raises(MissingAVP) as caught:
        decode(without(ICRP_MUSTS, 71))
    assert (caught.value.assigned_session_id, caught.value.remote_session_id) == (5, 6)
    with pytest.raises(MissingAVP) as caught:
        decode(without(SCCRQ_MUSTS, 62))
    assert (caught.value.assigned_tunnel_id, caught.value.for_call) == (2, False)


# ids that are 0


@pytest.mark.parametrize(("name", "attribute"), [
    ("SCCRQ", 61), ("SCCRP", 61),
    *[(name, 63) for name in ("ICRQ", "ICRP", "ICCN", "OCRQ", "OCRP", "OCCN", "WEN", "SLI")],
    *[(name, 64) for name in ("ICRP", "ICCN", "OCRP", "OCCN")],
])
def test_an_id_that_names_something_is_never_0(name, attribute):
    body, _ = vectors.MESSAGES[name]
    zeroed = body[:8] + avp(attribute, bytes(4)) + without(body, attribute)[8:]
    with pytest.raises(BadAVP) as caught:
        decode(zeroed)
    assert caught.value.error == 3


@pytest.mark.parametrize("name", ["ICRQ", "OCRQ", "CDN", "WEN", "SLI"])
def test_before_the_peer_has_assigned_an_id_the_remote_session_id_is_0(name):
    body, message = vectors.MESSAGES[name]
    zeroed = body[:8] + avp(64, bytes(4)) + without(body, 64)[8:]
    assert decode(zeroed) == dataclasses.replace(message, remote_session_id=0)


def test_a_call_may_be_refused_before_it_has_an_id_of_ours():
    assert decode(encode(CDN(ResultCode(4), 0, 7))) == CDN(ResultCode(4), 0, 7)


# values


@pytest.mark.parametrize("size", range(10))
def test_a_cookie_has_0_4_or_8_octets(size):
    body = ICRP_MUSTS + avp(65, b"\xaa" * size)
    if size in COOKIE_LENGTHS:
        assert decode(body) == dataclasses.replace(PLAIN_ICRP, assigned_cookie=b"\xaa" * size)
        return
    with pytest.raises(BadAVP) as caught:
        decode(body)
    assert (caught.value.error, caught.value.assigned_session_id) == (2, 5)
    with pytest.raises(ValueError, match="cookie"):
        encode(dataclasses.replace(PLAIN_ICRP, assigned_cookie=b"\xaa" * size))


def test_a_trace_shows_the_length_of_a_cookie_alone():
    lines = []
    record = dataclasses.replace(PLAIN_ICRP, assigned_cookie=b"secretly")
    trace.message(lambda *line: lines.append(line), "tx", record, 1, 2)
    assert ("avp", 1, 2, "tx ICRP: assigned_cookie '8 octets'") in lines
    assert "secretly" not in str(lines)


def test_no_record_shows_a_cookie():
    assert "170" not in repr(dataclasses.replace(PLAIN_ICRP, assigned_cookie=b"\xaa" * 8))
    assert "xaa" not in repr(dataclasses.replace(PLAIN_ICRP, assigned_cookie=b"\xaa" * 8))


@pytest.mark.parametrize("size", [0, 1, 3])
def test_capabilities_are_a_list_of_at_least_one_type(size):
    with pytest.raises(MissingAVP):  # it is malformed and without the M bit, so it is not there
        decode(without(SCCRQ_MUSTS, 62) + avp(62, bytes(size), False))
    with pytest.raises(BadAVP):
        decode(without(SCCRQ_MUSTS, 62) + avp(62, bytes(size)))


def test_capabilities_may_be_as_many_as_an_avp_holds():
    types = tuple(range(508))
    request = dataclasses.replace(decode(SCCRQ_MUSTS), pseudowire_capabilities_list=types)
    assert decode(encode(request)) == request
    with pytest.raises(ValueError, match="do not fit"):
        encode(dataclasses.replace(request, pseudowire_capabilities_list=(*types, 1)))


def test_status_bits_that_are_reserved_are_left_to_who_reads_them():
    assert decode(ICRP_MUSTS[:8] + avp(71, b"\xff\xfd") + ICRP_MUSTS[8:]).circuit_status & messages3.CIRCUIT_ACTIVE


# recognizing (sections 5.1, 5.2 and 4.7.3)


@pytest.mark.parametrize("bit", [0x2000, 0x1000, 0x0800, 0x0400])
def test_a_reserved_bit_of_an_avp_is_not_looked_at(bit):
    body = without(ICRP_MUSTS, 71) + avp(71, b"\x00\x01", bits=bit)
    assert decode(body) == PLAIN_ICRP


@pytest.mark.parametrize(("vendor", "attribute"), [(0, 67), (0, 58), (0, 85), (0, 999), (9, 1)])
def test_an_unrecognized_avp_with_the_m_bit_ends_the_call(vendor, attribute):
    with pytest.raises(UnknownMandatoryAVP) as caught:
        decode(ICRP_MUSTS + avp(attribute, b"value", True, vendor))
    assert (caught.value.for_call, caught.value.assigned_session_id) == (True, 5)
    assert decode(ICRP_MUSTS + avp(attribute, b"value", False, vendor)) == PLAIN_ICRP


def test_avps_of_version_2_are_passed_over():
    both = SCCRQ_MUSTS + avp(2, b"\x01\x00") + avp(3, bytes(4)) + avp(9, b"\x00\x05") + avp(11, b"challenge")
    assert decode(both) == decode(SCCRQ_MUSTS)


def test_a_message_type_we_do_not_know_tells_whether_the_connection_must_end():
    for number in (5, 13, 17, 99):
        with pytest.raises(UnknownMessageType) as caught:
            decode(octets("0008 0000 0000 00") + bytes((number,)))
        assert not caught.value.mandatory


def test_only_version_3_has_an_ack():
    body = encode(ACK())
    assert decode(body) == ACK()
    with pytest.raises(UnknownMessageType):
        messages.decode(body)


def test_records_of_the_two_versions_are_not_each_other_s():
    assert HELLO() != messages.HELLO()
    assert type(decode(encode(HELLO()))) is HELLO


# one request for both versions (section 4.7.3)


def test_a_request_of_version_2_stands_for_one_of_version_3():
    _, plain = vectors2.MESSAGES["SCCRQ"]
    both = dataclasses.replace(
        plain, control_message_authentication_nonce=b"nonce", router_id=1, assigned_control_connection_id=2,
        pseudowire_capabilities_list=(7,), preferred_language="en", tie_breaker=bytes(8),
    )
    assert messages3.offered(messages.decode(messages.encode(both))) == SCCRQ(
        both.host_name, 1, 2, (7,), b"nonce", bytes(8), both.vendor_name, both.receive_window_size, "en",
    )


@pytest.mark.parametrize("lacking", [
    {"router_id": None}, {"assigned_control_connection_id": None}, {"assigned_control_connection_id": 0},
    {"pseudowire_capabilities_list": None},
])
def test_a_request_that_lacks_what_version_3_must_have_offers_none(lacking):
    _, plain = vectors2.MESSAGES["SCCRQ"]
    both = dataclasses.replace(
        plain, router_id=1, assigned_control_connection_id=2, pseudowire_capabilities_list=(7,)
    )
    assert messages3.offered(plain) is None
    assert messages3.offered(both) is not None
    assert messages3.offered(dataclasses.replace(both, **lacking)) is None


# names


def test_every_pseudowire_that_is_offered_has_a_name():
    assert [messages3.PSEUDOWIRE_TYPES[number] for number in (5, 4, 7)] == ["Ethernet", "Ethernet VLAN", "PPP"]


def test_a_request_names_its_circuit_in_any_octets():
    _, request = vectors.MESSAGES["ICRQ"]
    named = dataclasses.replace(request, remote_end_id="\udcff\u2028 vlan 7")
    assert decode(encode(named)) == named
    assert isinstance(named, ICRQ)


def test_status_alone_is_a_whole_set_link_info():
    assert encode(SLI(1, 2, 3)) == octets("""
        8008 0000 0000 0010 800a 0000 003f 00000001 800a 0000 0040 00000002 8008 0000 0047 0003
    """)
