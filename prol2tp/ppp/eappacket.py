"""EAP packets (RFC 3748 section 4) and what the method MSCHAPv2 puts into them (draft-kamath-pppext-eap-mschapv2).

    Request, Response  code 1, 2: type(1) type-data
    Success, Failure   code 3, 4: nothing
    MSCHAPv2           opcode(1), then unless alone: MS-CHAPv2-ID(1) length(2) of all from the opcode, and
                       Challenge, Response  opcode 1, 2: length(1) Value, Name
                       Success, Failure     opcode 3, 4: Message
"""

from __future__ import annotations

from prol2tp.common.wire import Reader, WireError

REQUEST = 1
RESPONSE = 2
SUCCESS = 3
FAILURE = 4

CODE_NAMES = {REQUEST: "Request", RESPONSE: "Response", SUCCESS: "Success", FAILURE: "Failure"}

IDENTITY = 1
NOTIFICATION = 2
NAK = 3
MD5_CHALLENGE = 4
TLS = 13
MSCHAPV2 = 26

TYPE_NAMES = {
    IDENTITY: "Identity",
    NOTIFICATION: "Notification",
    NAK: "Nak",
    MD5_CHALLENGE: "MD5-Challenge",
    5: "One-Time Password",
    6: "Generic Token Card",
    TLS: "TLS",
    21: "TTLS",
    25: "PEAP",
    MSCHAPV2: "MSCHAPv2",
    254: "Expanded",
}

EAP_METHODS = {"md5": MD5_CHALLENGE, "mschapv2": MSCHAPV2, "tls": TLS}
"""Methods that can run here, by the word that settings use."""

OP_CHALLENGE = 1
OP_RESPONSE = 2
OP_SUCCESS = 3
OP_FAILURE = 4


def read_mschapv2(data: bytes) -> tuple[int, bytes]:
    """Opcode and what follows the header. Raises `WireError`. Octets after the length are not looked at."""
    reader = Reader(data)
    opcode = reader.u8()
    if not len(reader):
        return opcode, b""
    reader.u8()
    length = reader.u16()
    if length < 4:
        raise WireError(f"MSCHAPv2 length {length}")
    return opcode, reader.take(length - 4)


def mschapv2_data(opcode: int, identifier: int, data: bytes) -> bytes:
    return bytes((opcode, identifier)) + (len(data) + 4).to_bytes(2, "big") + data
