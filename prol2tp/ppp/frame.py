"""PPP frames without HDLC framing (RFC 1661 section 2, RFC 1662 section 3), and the packet inside (section 5).

    [FF 03] protocol(1 or 2) information        information of control protocols: code(1) identifier(1) length(2) data
"""

from __future__ import annotations

from struct import Struct

from prol2tp.common.wire import WireError

IP = 0x0021
IPV6 = 0x0057
IPCP = 0x8021
IPV6CP = 0x8057
CCP = 0x80FD
LCP = 0xC021
PAP = 0xC023
CHAP = 0xC223
EAP = 0xC227

PROTOCOL_NAMES = {
    IP: "IP",
    0x002B: "IPX",
    0x002D: "VJ compressed",
    0x002F: "VJ uncompressed",
    0x003D: "MP",
    IPV6: "IPv6",
    0x00FD: "compressed",
    0x0281: "MPLS",
    IPCP: "IPCP",
    0x8023: "OSINLCP",
    0x8029: "ATALKCP",
    0x802B: "IPXCP",
    0x8031: "BCP",
    0x803F: "NBFCP",
    0x8053: "ECP",
    IPV6CP: "IPV6CP",
    0x80FB: "CCP of one link",
    CCP: "CCP",
    0x8281: "MPLSCP",
    LCP: "LCP",
    PAP: "PAP",
    0xC025: "LQR",
    0xC029: "CBCP",
    0xC02B: "BACP",
    0xC02D: "BAP",
    CHAP: "CHAP",
    EAP: "EAP",
}

CONFIGURE_REQUEST = 1
CONFIGURE_ACK = 2
CONFIGURE_NAK = 3
CONFIGURE_REJECT = 4
TERMINATE_REQUEST = 5
TERMINATE_ACK = 6
CODE_REJECT = 7
PROTOCOL_REJECT = 8
ECHO_REQUEST = 9
ECHO_REPLY = 10
DISCARD_REQUEST = 11
IDENTIFICATION = 12
TIME_REMAINING = 13

CODE_NAMES = {
    CONFIGURE_REQUEST: "Configure-Request",
    CONFIGURE_ACK: "Configure-Ack",
    CONFIGURE_NAK: "Configure-Nak",
    CONFIGURE_REJECT: "Configure-Reject",
    TERMINATE_REQUEST: "Terminate-Request",
    TERMINATE_ACK: "Terminate-Ack",
    CODE_REJECT: "Code-Reject",
    PROTOCOL_REJECT: "Protocol-Reject",
    ECHO_REQUEST: "Echo-Request",
    ECHO_REPLY: "Echo-Reply",
    DISCARD_REQUEST: "Discard-Request",
    IDENTIFICATION: "Identification",
    TIME_REMAINING: "Time-Remaining",
}

DEFAULT_MRU = 1500
_ALL_STATIONS = b"\xff\x03"
_PACKET = Struct("!BBH")
_U16 = Struct("!H")


def header(protocol: int, accomp: bool = False, pcomp: bool = False) -> bytes:
    """The octets before the information. LCP is never compressed (RFC 1661 sections 6.5 and 6.6).

    :param accomp: the peer takes frames without address and control field.
    :param pcomp: the peer takes a protocol field of one octet.
    """
    if protocol == LCP:
        return b"\xff\x03\xc0\x21"
    field = bytes((protocol,)) if pcomp and protocol < 0x100 else _U16.pack(protocol)
    return field if accomp else _ALL_STATIONS + field


def read_header(frame: bytes) -> tuple[int, int]:
    """Protocol number and where the information starts. Both compressions are taken whether negotiated or not:
    peers leave FF 03 out without asking. Raises `WireError` for a frame that ends before that."""
    start = 2 if frame[:2] == _ALL_STATIONS else 0
    left = len(frame) - start
    if left < 1:
        raise WireError("frame without a protocol field")
    first = frame[start]
    if first & 1:
        return first, start + 1
    if left < 2:
        raise WireError("frame ends within the protocol field")
    return first << 8 | frame[start + 1], start + 2


def packet(code: int, identifier: int, data: bytes = b"") -> bytes:
    """A control packet: code, identifier, length of all, data."""
    return _PACKET.pack(code, identifier, len(data) + 4) + data


def read_packet(information: bytes) -> tuple[int, int, bytes]:
    """Code, identifier and data; octets after Length are padding (RFC 1661 section 5). Raises `WireError`."""
    if len(information) < 4:
        raise WireError(f"packet of {len(information)} octets")
    code, identifier, length = _PACKET.unpack_from(information)
    if not 4 <= length <= len(information):
        raise WireError(f"packet length {length} in {len(information)} octets")
    return code, identifier, information[4:length]


def protocol_name(protocol: int) -> str:
    return PROTOCOL_NAMES.get(protocol) or f"protocol 0x{protocol:04x}"


def name(data: bytes) -> str:
    """A name as the peer means it (UTF-8). One that no person could have typed comes as `text` has it."""
    if len(data) <= 255:
        decoded = data.decode("utf-8", "replace")
        if decoded.isprintable():
            return decoded
    return text(data)


def text(data: bytes) -> str:
    """The peer's octets as one line of printable text, for people."""
    return data[:255].decode("utf-8", "replace").encode("unicode_escape").decode("ascii")
