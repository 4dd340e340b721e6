"""AVPs on the wire (RFC 2661 section 4.1) and hidden AVPs (section 4.3), by the table; RFC 3931 sections 5.1 to 5.3 are
the same but for the reserved bits and the key of what is hidden.

    | M | H | reserved (4) | length (10) | vendor id (16) | attribute type (16) | value ...

The length counts these six octets too: 6 to 1023.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from struct import Struct
from struct import error as struct_error
from typing import Any, NamedTuple

from prol2tp.common.wire import WireError
from prol2tp.l2tp.auth import hide, reveal
from prol2tp.l2tp.avptable import AVP, IETF, TABLE, OutOfRange, avp_name

MANDATORY = 0x8000
HIDDEN = 0x4000
RESERVED = 0x3C00
LENGTH = 0x03FF
HEADER = Struct("!HHH")
HEADER_LENGTH = 6
LONGEST_VALUE = LENGTH - HEADER_LENGTH
RANDOM_VECTOR = 36
CONNECT_SPEED_UPDATE = 97
_SEVERAL = (RANDOM_VECTOR, CONNECT_SPEED_UPDATE)

RandomBytes = Callable[[int], bytes]

_U16 = Struct("!H")
_BLOCK = 16


class Recognized(NamedTuple):
    """The AVPs that a reader knows: field name and function that reads the value, by number. An AVP with one of the
    header bits `reserved` set is not among them."""

    ietf: dict[int, tuple[str, Callable[[bytes], Any]]]
    vendors: dict[tuple[int, int], tuple[str, Callable[[bytes], Any]]]
    reserved: int


def recognized(table: Iterable[AVP], reserved: int = RESERVED) -> Recognized:
    """The AVPs of the table that have a format.

    :param reserved: RFC 2661 section 4.1 has the reserved bits make an AVP unrecognized, RFC 3931 section 5.1 has them
        ignored: 0.
    """
    rows = {(avp.vendor, avp.type): (avp.field, avp.format.read) for avp in table if avp.format is not None}
    ietf = {attribute: row for (vendor, attribute), row in rows.items() if vendor == IETF}
    return Recognized(ietf, rows, reserved)


_ALL = recognized(TABLE)


class MessageError(WireError):
    """A control message that cannot be accepted.

    The owner answers with `result` and `error` of section 4.4.2 and the text: CDN for the call when
    `for_call`, StopCCN for the tunnel otherwise (section 4.1). What the message said before it broke is in
    `message_type`, `assigned_tunnel_id` and `assigned_session_id` (in version 3 the Assigned Control Connection ID and
    the Local Session ID) and `remote_session_id` (version 3 only), None where unknown.
    """

    result = 2
    error = 3
    message_type: int | None = None
    assigned_tunnel_id: int | None = None
    assigned_session_id: int | None = None
    remote_session_id: int | None = None
    for_call = False


class BadAVP(MessageError):
    """An AVP whose length (error code 2) or value (error code 3) is wrong."""

    def __init__(self, text: str, error: int = 2) -> None:
        super().__init__(text)
        self.error = error


class UnknownMandatoryAVP(MessageError):
    """An AVP with the M bit that we do not recognize (error code 8)."""

    error = 8

    def __init__(self, vendor: int, attribute: int) -> None:
        super().__init__(f"unrecognized mandatory {avp_name(vendor, attribute)}")
        self.vendor = vendor
        self.attribute = attribute


def read_avps(
    body: bytes,
    position: int,
    secret: bytes,
    values: dict[str, Any],
    ignored: list[str] | None = None,
    known: Recognized = _ALL,
) -> None:
    """Read the AVPs of `body[position:]` into `values` by field name; of doubles the first counts, but for those of
    which a message may have several.

    What is unrecognized or malformed without the M bit is left out (sections 4.1 and 7) and noted in
    `ignored`. The first fault with the M bit is raised when all AVPs are read, so that `values` holds what
    identifies the call; a fault in the lengths ends the reading. Raises `BadAVP` and `UnknownMandatoryAVP`.
    """
    fault: MessageError | None = None
    random_vector: bytes | None = None
    ietf, vendors, reserved = known
    end = len(body)
    while position < end:
        if end - position < HEADER_LENGTH:
            raise fault or BadAVP(f"{end - position} octets are left, no AVP")
        bits, vendor, attribute = HEADER.unpack_from(body, position)
        start = position + HEADER_LENGTH
        position += bits & LENGTH
        if not start <= position <= end:
            raise fault or BadAVP(f"{avp_name(vendor, attribute)} has the length {bits & LENGTH}")
        row = ietf.get(attribute) if vendor == IETF else vendors.get((vendor, attribute))
        if row is None or bits & reserved:
            if bits & MANDATORY:
                fault = fault or UnknownMandatoryAVP(vendor, attribute)
            elif ignored is not None:
                ignored.append(f"{avp_name(vendor, attribute)}: not recognized")
            continue
        name, read = row
        earlier = values.get(name)
        if earlier is not None and attribute not in _SEVERAL:
            continue
        value = body[start:position]
        try:
            if bits & HIDDEN:
                value = unhidden(attribute, value, secret, random_vector)
            values[name] = read(value) if earlier is None or attribute == RANDOM_VECTOR else earlier + read(value)
        except (WireError, struct_error) as error:
            if bits & MANDATORY:
                fault = fault or _bad(error, vendor, attribute, len(value))
            elif ignored is not None:
                ignored.append(str(_bad(error, vendor, attribute, len(value))))
            continue
        if attribute == RANDOM_VECTOR and vendor == IETF:
            random_vector = value
    if fault is not None:
        raise fault


def _bad(error: Exception, vendor: int, attribute: int, length: int) -> BadAVP:
    if isinstance(error, OutOfRange):
        return BadAVP(f"{avp_name(vendor, attribute)}: {error}", 3)
    what = str(error) if isinstance(error, WireError) else f"a value of {length} octets"
    return BadAVP(f"{avp_name(vendor, attribute)}: {what}")


def unhidden(attribute: int, value: bytes, secret: bytes, random_vector: bytes | None) -> bytes:
    """The original value of a hidden AVP. Raises `WireError` when that cannot be."""
    if not secret:
        raise WireError("hidden, and there is no secret")
    if random_vector is None:
        raise WireError("hidden, and no Random Vector came before it")
    plain = reveal(attribute, value, secret, random_vector)
    if len(plain) < 2:
        raise WireError("hidden, and too short for a length")
    length = _U16.unpack_from(plain)[0]
    if length > len(plain) - 2:
        raise WireError(f"hidden length {length} in {len(plain)} octets: a wrong secret?")
    return plain[2:2 + length]


def write_avp(avp: AVP, value: bytes) -> bytes:
    """One AVP in clear. Raises `ValueError` when the value is too long."""
    return _framed(avp, MANDATORY if avp.mandatory else 0, value)


def write_hidden_avp(
    avp: AVP, value: bytes, secret: bytes, random_vector: bytes, random_bytes: RandomBytes
) -> bytes:
    """One hidden AVP, padded to whole blocks of 16 octets, so that short values of any length look alike."""
    plain = _U16.pack(len(value)) + value
    padding = min(-len(plain) % _BLOCK, max(0, LONGEST_VALUE - len(plain)))
    bits = (MANDATORY if avp.mandatory else 0) | HIDDEN
    return _framed(avp, bits, hide(avp.type, plain + random_bytes(padding), secret, random_vector))


def _framed(avp: AVP, bits: int, value: bytes) -> bytes:
    if len(value) > LONGEST_VALUE:
        raise ValueError(f"{avp.name}: {len(value)} octets do not fit an AVP")
    return HEADER.pack(bits | len(value) + HEADER_LENGTH, avp.vendor, avp.type) + value


def writer(avp: AVP) -> Callable[[Any], bytes]:
    """A function that writes this AVP in clear from its value in a message, the quickest for its format."""
    assert avp.format is not None
    write = avp.format.write
    if avp.format.each:
        return lambda values: b"".join(write_avp(avp, write(value)) for value in values)
    bits = MANDATORY if avp.mandatory else 0
    if avp.format.fixed is not None:
        whole = Struct("!HHH" + avp.format.fixed.format[1:])
        return partial(whole.pack, bits | whole.size, avp.vendor, avp.type)
    pack, vendor, attribute = HEADER.pack, avp.vendor, avp.type
    bits += HEADER_LENGTH

    def text(value: Any) -> bytes:
        octets = write(value)
        length = len(octets)
        if length > LONGEST_VALUE:
            return _framed(avp, bits, octets)
        return pack(bits + length, vendor, attribute) + octets

    return text
