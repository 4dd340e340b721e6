"""RADIUS packets (RFC 2865 section 3): from a datagram to attributes and back, authenticators signed and verified.

    Code (8)  Identifier (8)  Length (16)  Authenticator (16 octets)  { Type (8)  Length (8)  Value }

Hiding, salts and verification are pyrad's. Requests and replies are laid out and signed here, once each and not by an
object for each packet: half of what a request costs would be that. What is received is taken apart here, strictly and
in one walk, so that no two readers of a packet can differ.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import md5
from hmac import digest as hmac_digest
from struct import Struct
from typing import Any

from pyrad.packet import AuthPacket, CoAPacket, Packet, PacketError

from prol2tp.common.wire import WireError
from prol2tp.radius.dictionary import VENDORS, Key
from prol2tp.radius.values import LARGEST, LARGEST_VENDOR

ACCESS_REQUEST = 1
ACCESS_ACCEPT = 2
ACCESS_REJECT = 3
ACCOUNTING_REQUEST = 4
ACCOUNTING_RESPONSE = 5
ACCESS_CHALLENGE = 11
STATUS_SERVER = 12
DISCONNECT_REQUEST = 40
DISCONNECT_ACK = 41
DISCONNECT_NAK = 42
COA_REQUEST = 43
COA_ACK = 44
COA_NAK = 45

HEADER = 20
LARGEST_PACKET = 4096
USER_PASSWORD = 2
VENDOR_SPECIFIC = 26
PROXY_STATE = 33
MESSAGE_AUTHENTICATOR = 80

Attributes = list[tuple[Key, bytes]]

_HEADER = Struct("!BBH")
_VENDOR_HEADER = Struct("!BBIBB")
_NO_AUTHENTICATOR = bytes(16)
_UNSIGNED = bytearray((MESSAGE_AUTHENTICATOR, 18)) + _NO_AUTHENTICATOR


def decode(data: bytes, secret: bytes) -> Packet:
    """A received packet, not verified yet. Padding is dropped; raises `WireError` unless all lengths fit exactly."""
    if len(data) < HEADER:
        raise WireError("shorter than a header")
    length = int.from_bytes(data[2:4], "big")
    if not HEADER <= length <= min(len(data), LARGEST_PACKET):
        raise WireError("bad length")
    found: dict[int, list[bytes]] = {}
    position = HEADER
    while position < length:
        end = position + data[position + 1] if position + 2 <= length else 0
        if not position + 2 <= end <= length:
            raise WireError("an attribute runs past the end")
        found.setdefault(data[position], []).append(data[position + 2 : end])
        position = end
    signatures = found.get(MESSAGE_AUTHENTICATOR)
    if signatures is not None and (len(signatures) > 1 or len(signatures[0]) != 16):
        raise WireError("bad Message-Authenticator")
    packet = Packet(data[0], data[1], secret, data[4:HEADER])
    packet.raw_packet = data[:length]
    packet.message_authenticator = signatures is not None or None
    _put(packet, found)
    return packet


def _put(packet: Packet, found: Mapping[Any, list[bytes]]) -> None:
    """Raw values by number: pyrad's own mapping would look each up by name first."""
    for key, values in found.items():
        OrderedDict.__setitem__(packet, key, values)


def attributes(packet: Packet) -> Iterator[tuple[Key, bytes]]:
    """All attributes, those of a known vendor each by its own key. A Vendor-Specific attribute that is not laid out as
    RFC 2865 section 5.26 suggests is given whole."""
    for key, values in OrderedDict.items(packet):
        if key != VENDOR_SPECIFIC:
            for value in values:
                yield key, value
            continue
        for value in values:
            inner = _vendor_attributes(value)
            if inner is None:
                yield VENDOR_SPECIFIC, value
            else:
                yield from inner


def _vendor_attributes(value: bytes) -> Attributes | None:
    vendor = int.from_bytes(value[:4], "big")
    if len(value) < 6 or vendor not in VENDORS:
        return None
    found: Attributes = []
    position, end = 4, len(value)
    while position < end:
        if position + 2 > end or not 2 <= value[position + 1] <= end - position:
            return None
        found.append(((vendor, value[position]), value[position + 2 : position + value[position + 1]]))
        position += value[position + 1]
    return found


def attribute(key: Key, value: bytes) -> bytes:
    """One attribute on the wire. Raises `ValueError` for a value that is too long."""
    length = len(value)
    if isinstance(key, int):
        if length > LARGEST:
            raise ValueError("value too long for an attribute")
        return bytes((key, length + 2)) + value
    if length > LARGEST_VENDOR:
        raise ValueError("value too long for an attribute")
    return _VENDOR_HEADER.pack(VENDOR_SPECIFIC, length + 8, key[0], key[1], length + 2) + value


def laid_out(rows: Iterable[tuple[Key, bytes]]) -> bytearray:
    """Attributes on the wire, in their order. Raises `ValueError` for a value that is too long."""
    return bytearray().join([attribute(key, value) for key, value in rows])


def _header(code: int, identifier: int, attributes: bytes | bytearray) -> bytes:
    """Code, Identifier and Length. Raises `ValueError` for a packet that is too long."""
    length = HEADER + len(attributes)
    if length > LARGEST_PACKET:
        raise ValueError("too many attributes for a packet")
    return _HEADER.pack(code, identifier, length)


def _sign(header: bytes, authenticator: bytes, attributes: bytearray, secret: bytes) -> None:
    """Fill in the Message-Authenticator that is first (RFC 3579 section 3.2)."""
    attributes[2:18] = hmac_digest(secret, header + authenticator + attributes, "md5")


def access_request(
    identifier: int, authenticator: bytes, secret: bytes, attributes: bytearray, password: bytes | None
) -> bytes:
    """An Access-Request, Message-Authenticator first. `password` is hidden as RFC 2865 section 5.2 says. Raises
    `ValueError` for what does not fit."""
    attributes = _UNSIGNED + attributes
    if password is not None:
        hidden = AuthPacket(ACCESS_REQUEST, identifier, secret, authenticator).PwCrypt(password)
        attributes += bytes((USER_PASSWORD, len(hidden) + 2)) + hidden
    header = _header(ACCESS_REQUEST, identifier, attributes)
    _sign(header, authenticator, attributes, secret)
    return header + authenticator + attributes


def status_server(identifier: int, authenticator: bytes, secret: bytes, attributes: bytearray) -> bytes:
    """A Status-Server (RFC 5997 section 3)."""
    attributes = _UNSIGNED + attributes
    header = _header(STATUS_SERVER, identifier, attributes)
    _sign(header, authenticator, attributes, secret)
    return header + authenticator + attributes


def accounting_request(identifier: int, secret: bytes, attributes: bytearray) -> tuple[bytes, bytes]:
    """An Accounting-Request and its authenticator (RFC 2866 section 3). Raises `ValueError` for what does not fit."""
    header = _header(ACCOUNTING_REQUEST, identifier, attributes)
    authenticator = md5(header + _NO_AUTHENTICATOR + attributes + secret, usedforsecurity=False).digest()
    return header + authenticator + attributes, authenticator


def reply_verified(
    reply: Packet, code: int, identifier: int, authenticator: bytes, secret: bytes, require_message_authenticator: bool
) -> bool:
    """Whether `reply` answers the request with that code, identifier and authenticator. Sets what its salted attributes
    are decrypted with."""
    request = Packet(code, identifier, secret, authenticator)
    reply.request_authenticator = authenticator
    return bool(request.VerifyReply(reply, enforce_ma=require_message_authenticator))


def salted(packet: Packet, value: bytes) -> bytes:
    """The plain text of a salted attribute (RFC 2868 section 3.5), tag taken off. Raises `WireError`."""
    try:
        return packet.SaltDecrypt(value)
    except PacketError as error:
        raise WireError(str(error)) from None


def hidden(packet: Packet, value: bytes) -> bytes:
    """The plain octets of an attribute of an answer that is hidden as User-Password is (RFC 2865 section 5.2), padding
    included. Raises `WireError`."""
    if not value or len(value) % 16 or packet.request_authenticator is None:
        raise WireError(f"{len(value)} octets are not hidden as a password is")
    plain, before = b"", packet.request_authenticator
    for at in range(0, len(value), 16):
        block = value[at : at + 16]
        mask = md5(packet.secret + before, usedforsecurity=False).digest()
        plain += bytes(one ^ other for one, other in zip(block, mask, strict=True))
        before = block
    return plain


def request_verified(packet: Packet) -> bool:
    """Whether a Disconnect-Request or CoA-Request has the authenticator of RFC 5176 section 2.3, and a right
    Message-Authenticator if it has one."""
    request = CoAPacket(packet.code, packet.id, packet.secret, packet=packet.raw_packet)
    if not request.VerifyCoARequest():
        return False
    return not request.message_authenticator or bool(request.verify_message_authenticator())


def reply(
    code: int, identifier: int, request_authenticator: bytes, secret: bytes, rows: Iterable[tuple[Key, bytes]],
    sign: bool,
) -> bytes:
    """A reply to the request that has this authenticator; `sign` adds a Message-Authenticator, first. Raises
    `ValueError` for what does not fit."""
    attributes = laid_out(rows)
    if sign:
        attributes = _UNSIGNED + attributes
    header = _header(code, identifier, attributes)
    if sign:
        _sign(header, request_authenticator, attributes, secret)
    authenticator = md5(header + request_authenticator + attributes + secret, usedforsecurity=False).digest()
    return header + authenticator + attributes


def digest(data: bytes) -> bytes:
    """Names a packet in a table of those already seen; not a proof of anything."""
    return md5(data, usedforsecurity=False).digest()
