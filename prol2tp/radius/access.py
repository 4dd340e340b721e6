"""What is asked in an Access-Request (RFC 2865 section 4.1; RFC 2548 for MS-CHAP, RFC 3579 for EAP)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from prol2tp.radius import packets
from prol2tp.radius.attributes import ADDRESSES, Addresses, Nas, Port, rows, write, write_port
from prol2tp.radius.dictionary import key
from prol2tp.radius.packets import attribute, laid_out
from prol2tp.radius.values import LARGEST

Method = Literal["pap", "chap", "mschapv1", "mschapv2", "eap"]

_LONGEST_PASSWORD = 128
_CHAP_PASSWORD = key("CHAP-Password")
_CHAP_CHALLENGE = key("CHAP-Challenge")
_EAP_MESSAGE = key("EAP-Message")
_MS_CHAP_RESPONSE = key("MS-CHAP-Response")
_MS_CHAP_CHALLENGE = key("MS-CHAP-Challenge")
_MS_CHAP2_RESPONSE = key("MS-CHAP2-Response")
_LENGTHS = {"chap": 16, "mschapv1": 24, "mschapv2": 24}
"""Octets of a digest: RFC 1994, and the NT-Response of RFC 2433 and RFC 2759."""


@dataclass(slots=True)
class AccessRequest:
    """One question. The fields of `method` are those of the PPP protocol as its peer sent them."""

    user: bytes
    method: Method
    identifier: int = 0
    """Of the CHAP exchange."""
    password: bytes = field(default=b"", repr=False)
    challenge: bytes = b""
    """CHAP: at most 253 octets. MS-CHAP: 8 octets, version 2: 16."""
    response: bytes = b""
    """The digest: 16 octets; MS-CHAP: the NT-Response, 24 octets."""
    peer_challenge: bytes = b""
    """MS-CHAPv2 only: 16 octets."""
    flags: int = 0
    """Last octet of an MS-CHAP Response."""
    eap_message: bytes = b""
    """A whole EAP packet, of any length."""
    state: bytes = b""
    """Of the Challenge that this goes on from."""
    acct_session_id: str = ""
    nas: Nas = field(default_factory=Nas)
    port: Port = field(default_factory=Port)
    hints: Addresses | None = None
    framed_mtu: int | None = None
    """RFC 3579 section 2.4: what an EAP packet may have on the link."""
    classes: tuple[bytes, ...] = ()
    extra: tuple[tuple[packets.Key, bytes], ...] = ()
    """More attributes, as they go on the wire."""

    def problem(self) -> str:
        """Why this cannot be asked; empty: it can. What a peer sends can be longer than RADIUS carries."""
        if len(self.user) > LARGEST:
            return "the user name is too long"
        if self.method == "pap":
            return "the password is too long" if len(self.password) > _LONGEST_PASSWORD else ""
        if self.method == "eap":
            return "" if 4 <= len(self.eap_message) <= 3500 else "bad length of the EAP packet"
        if self.method not in _LENGTHS:
            return "unknown method"
        if len(self.response) != _LENGTHS[self.method]:
            return "bad length of the response"
        if not 1 <= len(self.challenge) <= LARGEST:
            return "bad length of the challenge"
        if self.method == "mschapv2" and not len(self.challenge) == len(self.peer_challenge) == 16:
            return "bad length of the challenge"
        return ""


_REQUEST = rows(
    ("user", "User-Name"),
    ("framed_mtu", "Framed-MTU"),
    ("state", "State"),
    ("classes*", "Class"),
    ("acct_session_id", "Acct-Session-Id"),
)


def encode(record: AccessRequest, identifier: int, authenticator: bytes, secret: bytes) -> bytes:
    """The Access-Request packet. Raises `ValueError` for what does not fit; never for a record without `problem`."""
    attributes = bytearray()
    write(record, _REQUEST, attributes)
    _credentials(record, attributes)
    write_port(record.nas, record.port, attributes)
    if record.hints is not None:
        write(record.hints, ADDRESSES, attributes)
    attributes += laid_out(record.extra)
    password = record.password if record.method == "pap" else None
    return packets.access_request(identifier, authenticator, secret, attributes, password)


def _credentials(record: AccessRequest, attributes: bytearray) -> None:
    method, response = record.method, record.response
    if method == "chap":
        attributes += attribute(_CHAP_PASSWORD, bytes((record.identifier & 0xFF,)) + response)
        attributes += attribute(_CHAP_CHALLENGE, record.challenge)
    elif method == "mschapv1":
        # without LM-Response; the flags say that the NT-Response counts (RFC 2548 section 2.1.3)
        before = bytes((record.identifier & 0xFF, record.flags & 0xFF)) + bytes(24)
        attributes += attribute(_MS_CHAP_CHALLENGE, record.challenge)
        attributes += attribute(_MS_CHAP_RESPONSE, before + response)
    elif method == "mschapv2":
        before = bytes((record.identifier & 0xFF, record.flags & 0xFF)) + record.peer_challenge + bytes(8)
        attributes += attribute(_MS_CHAP_CHALLENGE, record.challenge)
        attributes += attribute(_MS_CHAP2_RESPONSE, before + response)
    elif method == "eap":
        message = record.eap_message
        attributes += laid_out((_EAP_MESSAGE, message[at : at + LARGEST]) for at in range(0, len(message), LARGEST))
