"""Control packets as one line of text, for a traced link. Secrets are never shown."""

from __future__ import annotations

from prol2tp.common.wire import WireError
from prol2tp.ppp import ccp, chap, eappacket, frame, ipcp, ipv6cp, lcp, options, pap

_TABLES = {frame.LCP: lcp.OPTIONS, frame.CCP: ccp.OPTIONS, frame.IPCP: ipcp.OPTIONS, frame.IPV6CP: ipv6cp.OPTIONS}

_RESETS = {ccp.RESET_REQUEST: "Reset-Request", ccp.RESET_ACK: "Reset-Ack"}


def describe(protocol: int, information: bytes) -> str:
    """`LCP Configure-Request id 1 <MRU 1492>`. Never raises."""
    name = frame.protocol_name(protocol)
    if protocol not in _TABLES and protocol not in (frame.PAP, frame.CHAP, frame.EAP):
        return f"{name} {len(information)} octets"
    try:
        code, identifier, data = frame.read_packet(information)
        if protocol == frame.PAP:
            title = pap.CODE_NAMES.get(code)
            shown = _pap(code, data)
        elif protocol == frame.CHAP:
            title = chap.CODE_NAMES.get(code)
            shown = _chap(code, data)
        elif protocol == frame.EAP:
            title = eappacket.CODE_NAMES.get(code)
            shown = _eap(code, data)
        else:
            title = _RESETS.get(code) if protocol == frame.CCP and code in _RESETS else frame.CODE_NAMES.get(code)
            shown = _control(protocol, code, data)
    except WireError as error:
        return f"{name} malformed: {error}"
    return f"{name} {title or f'code {code}'} id {identifier} {shown}".rstrip()


def masked(whole: bytes) -> bytes:
    """A PPP frame with asterisks for the password of PAP. Frames without HDLC framing, fields perhaps compressed."""
    start = 2 if whole[:2] == b"\xff\x03" else 0
    if whole[start:start + 2] != b"\xc0\x23" or whole[start + 2:start + 3] != b"\x01":
        return whole
    at = start + 6
    at += 1 + whole[at] if at < len(whole) else 0
    return whole[:at + 1] + b"*" * len(whole[at + 1:])


def _pap(code: int, data: bytes) -> str:
    if code == pap.AUTHENTICATE_REQUEST:
        user, _password = pap.read_request(data)
        return f'user "{frame.text(user)}" password hidden'
    return f'"{pap.read_message(data)}"'


def _chap(code: int, data: bytes) -> str:
    if code in (chap.CHALLENGE, chap.RESPONSE):
        value, name = chap.read_value(data)
        return f'value {len(value)} octets, name "{frame.text(name)}"'
    if code in chap.CHANGE_PASSWORD:
        return f"{len(data)} octets"
    return f'"{frame.text(data)}"'


def _eap(code: int, data: bytes) -> str:
    if code not in (eappacket.REQUEST, eappacket.RESPONSE) or not data:
        return ""
    kind = data[0]
    name = eappacket.TYPE_NAMES.get(kind, f"type {kind}")
    if kind in (eappacket.IDENTITY, eappacket.NOTIFICATION):
        return f'{name} "{frame.text(data[1:])}"'
    if kind == eappacket.NAK:
        wanted = [eappacket.TYPE_NAMES.get(one, f"type {one}") for one in data[1:17]]
        return " ".join([name, "for", *wanted])
    return f"{name} {len(data) - 1} octets"


def _control(protocol: int, code: int, data: bytes) -> str:
    if code <= frame.CONFIGURE_REJECT:
        return options.describe(_TABLES[protocol], data)
    if code in (frame.TERMINATE_REQUEST, frame.TERMINATE_ACK):
        return f'"{frame.text(data)}"' if data else ""
    if code == frame.PROTOCOL_REJECT and len(data) >= 2:
        return frame.protocol_name(int.from_bytes(data[:2], "big"))
    if code == frame.CODE_REJECT and data:
        return f"code {data[0]}"
    if code in (frame.ECHO_REQUEST, frame.ECHO_REPLY, frame.DISCARD_REQUEST):
        return f"magic 0x{data[:4].hex()}"
    if code == frame.IDENTIFICATION:
        return f'magic 0x{data[:4].hex()} "{frame.text(data[4:])}"'
    if code == frame.TIME_REMAINING:
        seconds = int.from_bytes(data[4:8], "big")
        return f'magic 0x{data[:4].hex()} {seconds} s "{frame.text(data[8:])}"'
    return f"{len(data)} octets"
