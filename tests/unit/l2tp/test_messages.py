"""Control messages and their AVPs (RFC 2661 sections 4 and 6)."""

import dataclasses

import pytest

from prol2tp.common.wire import WireError
from prol2tp.l2tp import avptable
from prol2tp.l2tp.auth import hide as encipher
from prol2tp.l2tp.avp import HEADER, HIDDEN, MANDATORY
from prol2tp.l2tp.messages import (
    CDN,
    HELLO,
    ICCN,
    ICRP,
    ICRQ,
    MESSAGES,
    SCCRP,
    SCCRQ,
    BadAVP,
    MessageError,
    MissingAVP,
    ResultCode,
    StopCCN,
    UnknownMandatoryAVP,
    UnknownMessageType,
    decode,
    encode,
    message_name,
    vendor_name,
)
from tests.steps import steps
from tests.vectors import l2tp as vectors
from tests.vectors.l2tp import octets

ICRQ_MUSTS = octets("8008 0000 0000 000a 8008 0000 000e 002a 800a 0000 000f 00000007")
PLAIN_ICRQ = ICRQ(assigned_session_id=42, call_serial_number=7)
SECRET = b"s3cret"
UNRECOGNIZED = [(0, 20), (0, 63), (0, 999), (9, 14), (3561, 3), (65535, 0)]
RANDOM_VECTOR = octets("8016 0000 0024 000102030405060708090a0b0c0d0e0f")


def avp(attribute, value, mandatory=True, vendor=0, bits=0):
    bits |= MANDATORY if mandatory else 0
    return HEADER.pack(bits | len(value) + 6, vendor, attribute) + value


def hidden(attribute, plain, mandatory=True):
    return avp(attribute, encipher(attribute, plain, SECRET, bytes(range(16))), mandatory, bits=HIDDEN)


def counting(size):
    return bytes(index % 251 for index in range(size))


@pytest.mark.parametrize("name", vectors.MESSAGES)
def test_a_message_laid_out_by_hand_is_read(name):
    body, message = vectors.MESSAGES[name]
    assert decode(body) == message


@pytest.mark.parametrize("name", vectors.MESSAGES)
def test_a_message_is_written_octet_for_octet(name):
    body, message = vectors.MESSAGES[name]
    assert encode(message).hex() == body.hex()


def test_there_is_a_vector_for_every_message():
    assert set(vectors.MESSAGES) == {message.__name__ for message in MESSAGES}
    assert [message.number for message in MESSAGES] == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 28, 29]


def test_every_field_of_every_message_is_an_avp_that_can_be_read():
    for message in MESSAGES:
        for member in dataclasses.fields(message):
            assert avptable.BY_FIELD[member.name].format is not None, member.name


def test_the_table_has_every_avp_of_the_rfc_once():
    numbers = [(row.vendor, row.type) for row in avptable.TABLE]
    assert len(numbers) == len(set(numbers)) == len(avptable.BY_FIELD)
    assert set(numbers) >= {(0, number) for number in range(40)}


def test_the_m_and_h_bits_of_the_rfc_are_in_the_table():
    ietf = [row for row in avptable.TABLE if row.section.startswith("4.4")]
    assert {row.type for row in ietf if not row.hidable} == {0, 1, 2, 5, 7, 10, 12, 36, 39}
    assert {row.type for row in ietf if not row.mandatory} == {5, 6, 8, 25, *range(26, 34), 37, 38}


def test_the_avps_of_rfc_3931_have_their_numbers_h_and_m_bits():
    rows = [row for row in avptable.ADDED_BY_VERSION_3 if row.section.startswith("RFC 3931")]
    assert sorted(row.type for row in rows) == [*range(58, 67), *range(68, 76)]
    assert {row.type for row in rows if not row.hidable} == {59, 60, 73}
    assert {row.type for row in rows if not row.mandatory} == {60, 61, 62, 72, 74, 75}
    changed = {row.type: row for row in avptable.OF_VERSION_3}
    assert (changed[5].mandatory, changed[15].mandatory, changed[34].mandatory) == (True, False, False)
    assert (changed[15].field, changed[34].field) == ("serial_number", "circuit_errors")


OFFER = octets("""
    0016 0000 0049 000102030405060708090a0b0c0d0e0f
    000a 0000 003c c0000201
    000a 0000 003d 2846f181
    000c 0000 003e 0007 0005 0004
    0008 0000 0048 656e
""")


def test_a_request_of_version_2_may_offer_version_3_without_any_m_bit():
    body, message = vectors.MESSAGES["SCCRQ"]
    both = dataclasses.replace(
        message, control_message_authentication_nonce=bytes(range(16)), router_id=0xC0000201,
        assigned_control_connection_id=0x2846F181, pseudowire_capabilities_list=(7, 5, 4), preferred_language="en",
    )
    assert encode(both) == body + OFFER
    assert decode(body + OFFER) == both


def test_a_digest_in_a_request_of_version_2_is_nothing_unrecognized():
    body, message = vectors.MESSAGES["SCCRQ"]
    ignored = []
    assert decode(body + avp(59, bytes(17), False), ignored=ignored) == message
    assert ignored == []


def test_the_start_of_a_real_prol2tp_sccrq_is_read():
    rest = octets("8009 0000 0007 6c6163 8008 0000 0009 0001")
    message = decode(vectors.PROL2TP_SCCRQ_FRAGMENT + rest)
    assert message.protocol_version == 0x0100
    assert message.framing_capabilities == 3
    assert message.vendor_name == "prol2tp 1.7.3 Linux-3.13.0-71-generic (x86_64)"


def test_that_fragment_alone_lacks_mandatory_avps():
    with pytest.raises(MissingAVP) as caught:
        decode(vectors.PROL2TP_SCCRQ_FRAGMENT)
    assert caught.value.name == "Host Name"
    assert caught.value.message_type == 1


def test_the_vendor_name_has_the_form_of_prol2tp():
    name = vendor_name("1.7.3", "Linux", "3.13.0-71-generic", "x86_64")
    assert name.encode() in vectors.PROL2TP_SCCRQ_FRAGMENT


# which AVPs must be there (section 6)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_every_mandatory_avp_is_missed(message):
    body, _ = vectors.MESSAGES[message.__name__]
    members = dataclasses.fields(message)
    for name in [member.name for member in members if member.default is dataclasses.MISSING]:
        row = avptable.BY_FIELD[name]
        with pytest.raises(MissingAVP) as caught:
            decode(without(body, row.type))
        assert caught.value.name == row.name
        assert caught.value.message_type == message.number
        assert caught.value.for_call == message.for_call


def without(body, attribute):
    kept, position = b"", 0
    while position < len(body):
        bits, _, this = HEADER.unpack_from(body, position)
        length = bits & 0x3FF
        if this != attribute or position == 0:
            kept += body[position:position + length]
        position += length
    return kept


def test_avps_may_come_in_any_order_after_the_message_type():
    body = ICRQ_MUSTS[:8] + ICRQ_MUSTS[16:] + ICRQ_MUSTS[8:16]
    assert decode(body) == PLAIN_ICRQ


def test_of_two_avps_of_one_type_the_first_counts():
    assert decode(ICRQ_MUSTS + avp(14, b"\x00\x63") + avp(0, b"\x00\x0e")) == PLAIN_ICRQ


def test_a_known_avp_that_the_message_has_no_use_for_is_ignored():
    assert decode(ICRQ_MUSTS + avp(7, b"host")) == PLAIN_ICRQ


# the message type (section 4.4.1)


@pytest.mark.parametrize("text", [
    "", "80", "8008 0000 0000 00", "8007 0000 0000 00 00", "8009 0000 0000 000a 00", "8008 0000 000e 002a",
    "8008 0009 0000 000a", "c008 0000 0000 000a", "8408 0000 0000 000a", "8000 0000 0000 000a",
])
def test_a_message_must_begin_with_a_good_message_type(text):
    with pytest.raises(BadAVP):
        decode(octets(text))


def test_a_message_type_without_the_m_bit_is_still_known():
    assert decode(octets("0008 0000 0000 0006")) == HELLO()


@pytest.mark.parametrize(("bits", "mandatory"), [("80", True), ("00", False)])
def test_an_unknown_message_type_tells_whether_the_tunnel_must_end(bits, mandatory):
    with pytest.raises(UnknownMessageType) as caught:
        decode(octets(f"{bits}08 0000 0000 0063") + b"\xff" * 20)
    assert (caught.value.number, caught.value.mandatory) == (99, mandatory)
    assert not caught.value.for_call


def test_a_msen_without_the_m_bit_is_an_unknown_message_to_ignore():
    with pytest.raises(UnknownMessageType) as caught:
        decode(octets("0008 0000 0000 001b 0008 0000 000e 0001"))
    assert not caught.value.mandatory
    assert message_name(caught.value.number) == "MSEN"


def test_messages_are_named_by_number():
    assert [message_name(number) for number in (1, 14, 4, 99)] == ["SCCRQ", "CDN", "StopCCN", "message 99"]


# unrecognized AVPs (section 4.1)


@pytest.mark.parametrize(("vendor", "attribute"), UNRECOGNIZED)
def test_an_unrecognized_avp_without_the_m_bit_is_ignored(vendor, attribute):
    ignored = []
    assert decode(ICRQ_MUSTS + avp(attribute, b"value", False, vendor), ignored=ignored) == PLAIN_ICRQ
    assert len(ignored) == 1


@pytest.mark.parametrize(("vendor", "attribute"), UNRECOGNIZED)
def test_an_unrecognized_avp_with_the_m_bit_ends_the_call(vendor, attribute):
    body = ICRQ_MUSTS[:8] + avp(attribute, b"value", True, vendor) + ICRQ_MUSTS[8:]
    with pytest.raises(UnknownMandatoryAVP) as caught:
        decode(body)
    error = caught.value
    assert (error.vendor, error.attribute, error.result, error.error) == (vendor, attribute, 2, 8)
    assert (error.for_call, error.message_type, error.assigned_session_id) == (True, 10, 42)
    assert str(attribute) in str(error)


def test_an_unrecognized_avp_with_the_m_bit_ends_the_tunnel_in_a_tunnel_message():
    body, _ = vectors.MESSAGES["SCCRQ"]
    with pytest.raises(UnknownMandatoryAVP) as caught:
        decode(body + avp(999, b""))
    error = caught.value
    assert (error.for_call, error.message_type, error.assigned_tunnel_id) == (False, 1, 0x2A5F)


@pytest.mark.parametrize("bit", [0x2000, 0x1000, 0x0800, 0x0400])
def test_an_avp_with_a_reserved_bit_is_unrecognized(bit):
    assert decode(ICRQ_MUSTS + avp(22, b"123", False, bits=bit)).calling_number is None
    with pytest.raises(UnknownMandatoryAVP):
        decode(ICRQ_MUSTS + avp(22, b"123", bits=bit))


# malformed AVPs (sections 4.1 and 7), and the shapes that have broken others


@pytest.mark.parametrize("length", range(6))
def test_an_avp_shorter_than_its_header_ends_the_reading(length):
    body = ICRQ_MUSTS + HEADER.pack(MANDATORY | length, 0, 22) + b"123456"
    with pytest.raises(BadAVP) as caught:
        decode(body)
    assert caught.value.error == 2
    assert caught.value.assigned_session_id == 42


def test_an_avp_of_length_0_is_no_endless_loop():
    with pytest.raises(BadAVP):
        decode(ICRQ_MUSTS + bytes(60000))


@pytest.mark.parametrize("length", [7, 100, 1023])
def test_an_avp_must_not_run_past_the_message(length):
    with pytest.raises(BadAVP):
        decode(ICRQ_MUSTS + HEADER.pack(length, 0, 22))


@pytest.mark.parametrize("size", range(1, 6))
def test_octets_that_are_no_avp_must_not_be_left(size):
    with pytest.raises(BadAVP):
        decode(ICRQ_MUSTS + b"\x80\x06\x00\x00\x00\x16"[:size])


@pytest.mark.parametrize("size", [0, 1, 3, 8])
def test_an_id_of_a_wrong_length_is_refused(size):
    with pytest.raises(BadAVP) as caught:
        decode(ICRQ_MUSTS[:8] + avp(14, bytes(size)) + ICRQ_MUSTS[16:])
    assert caught.value.error == 2


def test_a_malformed_avp_without_the_m_bit_is_as_if_it_were_not_there():
    body, message = vectors.MESSAGES["OCCN"]
    ignored = []
    short = without(body, 38) + avp(38, b"\x25\x80", False)
    assert decode(short, ignored=ignored) == dataclasses.replace(message, rx_connect_speed=None)
    assert "Rx Connect Speed" in ignored[0]


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_result_code_of_a_wrong_length_is_refused(size):
    with pytest.raises(BadAVP) as caught:
        decode(octets("8008 0000 0000 000e 8008 0000 000e 002a") + avp(1, bytes(size)))
    assert (caught.value.assigned_session_id, caught.value.for_call) == (42, True)


def test_a_result_code_may_have_an_error_code_and_any_text():
    head = octets("8008 0000 0000 000e 8008 0000 000e 002a")
    assert decode(head + avp(1, b"\x00\x02\x00\x06")).result_code == ResultCode(2, 6)
    message = decode(head + avp(1, b"\x00\x02\x00\x06" + b"\xff" * 1013)).result_code.message
    assert message.encode("utf-8", "surrogateescape") == b"\xff" * 1013


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_q931_cause_that_is_too_short_is_refused(size):
    body, _ = vectors.MESSAGES["CDN"]
    with pytest.raises(BadAVP):
        decode(without(body, 12) + avp(12, bytes(size)))


@pytest.mark.parametrize("size", [0, 1, 4])
def test_a_disconnect_cause_that_is_too_short_is_ignored(size):
    body, _ = vectors.MESSAGES["CDN"]
    assert decode(without(body, 46) + avp(46, bytes(size), False)).ppp_disconnect_cause_code is None


@pytest.mark.parametrize("size", [0, 2, 25, 27])
def test_call_errors_of_a_wrong_length_are_refused(size):
    with pytest.raises(BadAVP):
        decode(octets("8008 0000 0000 000f") + avp(34, bytes(size)))


def test_a_calling_number_may_be_as_long_as_an_avp_can_be():
    number = decode(ICRQ_MUSTS + avp(22, b"1" * 1017)).calling_number
    assert number == "1" * 1017


def test_text_of_any_octets_is_read_and_written_back_unchanged():
    text = bytes(range(256)) + "\u00e4\u2028\ud800".encode("utf-8", "surrogatepass")
    message = decode(ICRQ_MUSTS + avp(22, text))
    assert encode(message) == ICRQ_MUSTS + avp(22, text)


@pytest.mark.parametrize("name", ["SCCRQ", "SCCRP", "ICRQ", "ICRP", "OCRQ", "OCRP"])
def test_an_id_that_a_peer_assigns_is_never_0(name):
    body, message = vectors.MESSAGES[name]
    attribute = 14 if message.for_call else 9
    with pytest.raises(BadAVP) as caught:
        decode(without(body, attribute) + avp(attribute, b"\0\0"))
    assert caught.value.error == 3


def test_who_ends_a_call_or_a_tunnel_need_not_have_an_id():
    cdn = octets("8008 0000 0000 000e 8008 0000 0001 0001 8008 0000 000e 0000")
    assert decode(cdn) == CDN(ResultCode(1), 0)
    stop = octets("8008 0000 0000 0004 8008 0000 0009 0000 8008 0000 0001 0006")
    assert decode(stop) == StopCCN(0, ResultCode(6))


def test_a_receive_window_of_0_is_invalid():
    body, _ = vectors.MESSAGES["SCCRQ"]
    with pytest.raises(BadAVP) as caught:
        decode(without(body, 10) + avp(10, b"\0\0"))
    assert caught.value.error == 3


def test_an_empty_host_name_is_invalid():
    body, _ = vectors.MESSAGES["SCCRQ"]
    with pytest.raises(BadAVP) as caught:
        decode(without(body, 7) + avp(7, b""))
    assert caught.value.error == 3


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_challenge_response_has_16_octets(size):
    with pytest.raises(BadAVP):
        decode(octets("8008 0000 0000 0003") + avp(13, bytes(size)))


def test_the_first_octet_of_a_proxy_authen_id_is_not_looked_at():
    body, _ = vectors.MESSAGES["ICCN"]
    assert decode(without(body, 32) + avp(32, b"\xff\x07", False)).proxy_authen_id == 7


def test_the_first_fault_is_the_one_that_is_told():
    with pytest.raises(UnknownMandatoryAVP) as caught:
        decode(ICRQ_MUSTS + avp(999, b"") + avp(998, b"") + avp(22, b"1", bits=HIDDEN) + b"\x80")
    assert caught.value.attribute == 999


def test_a_whole_datagram_of_unknown_avps_costs_little():
    with pytest.raises(UnknownMandatoryAVP):
        decode(ICRQ_MUSTS + avp(999, b"") * 10000)
    body = ICRQ_MUSTS + avp(999, b"", False) * 10000
    assert decode(body) == PLAIN_ICRQ
    assert steps(decode, body) < 20 * len(body)


# hidden AVPs (section 4.3)


def test_a_hidden_avp_is_read_with_the_secret():
    assigned_session_id = octets("c016 0000 000e a369e4d7c55ef62d0a4c08039b372125")
    body = octets("8008 0000 0000 000b") + RANDOM_VECTOR + assigned_session_id
    assert decode(body, SECRET) == ICRP(assigned_session_id=42)


def test_the_nearest_random_vector_before_a_hidden_avp_counts():
    other = avp(36, b"other vector")
    body = octets("8008 0000 0000 000a") + other + RANDOM_VECTOR + hidden(14, octets("0002 002a 99"))
    late = avp(15, encipher(15, octets("0004 00000007"), SECRET, b"other vector"), bits=HIDDEN)
    assert decode(body + other + late, SECRET) == PLAIN_ICRQ


@pytest.mark.parametrize("plain", ["", "00", "0003 002a", "ffff 002a", "0015 002a" + 18 * "00"])
def test_a_hidden_length_beyond_what_was_enciphered_is_refused(plain):
    body = octets("8008 0000 0000 000b") + RANDOM_VECTOR + hidden(14, octets(plain))
    with pytest.raises(BadAVP):
        decode(body, SECRET)


def test_a_hidden_avp_needs_a_secret():
    body = octets("8008 0000 0000 000b") + RANDOM_VECTOR + hidden(14, octets("0002 002a"))
    with pytest.raises(BadAVP):
        decode(body)


def test_a_hidden_avp_needs_a_random_vector_before_it():
    body = octets("8008 0000 0000 000b") + hidden(14, octets("0002 002a"))
    with pytest.raises(BadAVP):
        decode(body + RANDOM_VECTOR, SECRET)


def test_a_hidden_avp_without_the_m_bit_that_cannot_be_read_is_ignored():
    body = ICRQ_MUSTS + hidden(25, octets("0004 00000001"), False)
    assert decode(body) == PLAIN_ICRQ


def test_hiding_hides_all_that_may_be_hidden_and_nothing_else():
    _, message = vectors.MESSAGES["SCCRQ"]
    body = encode(message, SECRET, counting, hide=True)
    assert decode(body, SECRET) == message
    assert b"lac" in body and b"prol2tp" not in body
    found = attributes(body)
    assert [attribute for attribute, _ in found][:2] == [0, 36]
    assert {attribute for attribute, bits in found if bits & HIDDEN} == {3, 4, 6, 8, 9, 11}


def attributes(body):
    found, position = [], 0
    while position < len(body):
        bits, _, attribute = HEADER.unpack_from(body, position)
        found.append((attribute, bits))
        position += bits & 0x3FF
    return found


def test_hidden_values_of_different_length_look_alike():
    short = encode(ICRQ(1, 2, calling_number="1"), SECRET, counting, hide=True)
    longer = encode(ICRQ(1, 2, calling_number="1234567890"), SECRET, counting, hide=True)
    assert len(short) == len(longer)


def test_a_hidden_value_may_fill_the_avp_and_no_more():
    for size in (1015, 1001, 1000):
        message = ICRQ(1, 2, calling_number="1" * size)
        assert decode(encode(message, SECRET, counting, hide=True), SECRET) == message
    with pytest.raises(ValueError):
        encode(ICRQ(1, 2, calling_number="1" * 1016), SECRET, counting, hide=True)


def test_hiding_without_a_secret_is_the_caller_s_mistake():
    with pytest.raises(ValueError):
        encode(PLAIN_ICRQ, b"", counting, hide=True)
    with pytest.raises(ValueError):
        encode(PLAIN_ICRQ, SECRET, None, hide=True)


# writing


@pytest.mark.parametrize("message", [
    ICRP(65536), ICRP(-1), ICRQ(1, 1 << 32), ICRQ(1, 2, calling_number="1" * 1018),
    ICRQ(1, 2, calling_number="\ud800"), SCCRP(256, 3, "lns", 1, challenge_response=b"short"),
])
def test_a_value_that_does_not_fit_its_avp_is_the_caller_s_mistake(message):
    with pytest.raises((ValueError, WireError)):
        encode(message)


def test_secrets_stay_out_of_the_text_of_a_message():
    message = ICCN(1, 1, proxy_authen_type=3, proxy_authen_name=b"u1", proxy_authen_response=b"password1")
    assert "password1" not in repr(message)
    assert "u1" in repr(message)


def test_optional_avps_that_are_absent_read_as_none_or_false():
    message = decode(octets("8008 0000 0000 000c 800a 0000 0018 00000001 800a 0000 0013 00000001"))
    assert message == ICCN(tx_connect_speed=1, framing_type=1)
    assert message.sequencing_required is False
    assert message.rx_connect_speed is None


def test_every_error_of_a_message_is_a_wire_error():
    for error in (BadAVP, UnknownMandatoryAVP, MissingAVP, UnknownMessageType):
        assert issubclass(error, MessageError) and issubclass(error, WireError)


def test_protocol_version_is_version_1_revision_0():
    body = encode(SCCRQ(0x0100, "lac", 3, 1))
    assert octets("8008 0000 0002 0100") in body
