"""Result and error codes (RFC 2661 section 4.4.2, RFC 3931 section 5.4.2), disconnect causes (RFC 3145 section 3)."""

from __future__ import annotations

GENERAL_ERROR = 2
"""The result code, in StopCCN and in CDN, that says: look at the error code."""

LOST_TIE = 13
UNSUPPORTED_PSEUDOWIRE_TYPE = 14
SEQUENCING_WITHOUT_SUBLAYER = 15
FSM_ERROR = 16
MISMATCHING_MTU = 23
"""Result codes in CDN of version 3."""

STOPCCN = {
    0: "reserved",
    1: "general request to clear control connection",
    2: "general error",
    3: "control channel already exists",
    4: "requester is not authorized to establish a control channel",
    5: "protocol version of the requester is not supported",
    6: "requester is being shut down",
    7: "finite state machine error",
    8: "mismatching CCDS value",
}
"""With 5 the error code is the highest version that the sender supports; 8 is of RFC 3308."""

CDN = {
    0: "reserved",
    1: "loss of carrier",
    2: "general error",
    3: "administrative reasons",
    4: "lack of facilities, temporary",
    5: "lack of facilities, permanent",
    6: "invalid destination",
    7: "no carrier detected",
    8: "busy signal detected",
    9: "lack of a dial tone",
    10: "not established within the time allotted by the LAC",
    11: "connected, but no appropriate framing was detected",
    12: "mismatching SDS value",
    LOST_TIE: "losing tie breaker",
    UNSUPPORTED_PSEUDOWIRE_TYPE: "unsupported pseudowire type",
    SEQUENCING_WITHOUT_SUBLAYER: "sequencing required without a valid L2-specific sublayer",
    FSM_ERROR: "finite state machine error or timeout",
    17: "Frame Relay PVC was deleted permanently",
    18: "Frame Relay PVC has been inactive for an extended time",
    19: "mismatching Frame Relay header length",
    20: "HDLC link was deleted permanently",
    21: "HDLC link has been inactive for an extended time",
    22: "OAM cell emulation is not supported",
    MISMATCHING_MTU: "mismatching interface MTU",
    24: "attempt to connect to a forwarder that does not exist",
    25: "attempt to connect to an unauthorized forwarder",
    26: "loop detected",
}
"""12 is of RFC 3308, 17 to 19 of RFC 4591, 20 and 21 of RFC 4349, 22 of RFC 4454, 23 to 25 of RFC 4667; from 13 on in
version 3 only."""

ERROR = {
    0: "no general error",
    1: "no control connection exists yet for this LAC-LNS pair",
    2: "length is wrong",
    3: "a field value was out of range or a reserved field was non-zero",
    4: "insufficient resources to handle this operation now",
    5: "the session id is invalid in this context",
    6: "a generic vendor-specific error occurred in the LAC",
    7: "try another",
    8: "unknown AVP with the M bit set",
    9: "try another directed",
}

DISCONNECT_CAUSE = {
    # global
    0: "no information available",
    1: "administrative disconnect",
    2: "LCP renegotiation at the LNS is disabled, and the LAC sent no proxy LCP",
    # LCP
    3: "normal disconnection, LCP Terminate-Request sent",
    4: "compulsory encryption was refused",
    5: "LCP timeout",
    6: "no recognizable LCP packets were received",
    7: "magic number error, the link may be looped back",
    8: "LCP echo timeout",
    9: "unexpected endpoint discriminator for an existing multilink bundle",
    10: "unexpected MRRU for an existing multilink bundle",
    11: "unexpected short sequence number option for an existing multilink bundle",
    12: "compulsory call-back was refused",
    # authentication
    13: "authentication timeout",
    14: "unexpected authenticated name for an existing multilink bundle",
    15: "authentication protocol unacceptable",
    16: "authentication failed",
    # NCP
    17: "NCP timeout",
    18: "no NCPs available",
    19: "no acceptable addresses",
    20: "user is not permitted to use any address",
}
"""For 3, 4, 12, 15 and 19 the direction says whose side it was: 1 the peer's, 2 the sender's own."""

_RESULTS = {"StopCCN": STOPCCN, "CDN": CDN}


def result_text(message_name: str, result: int, error: int = 0, message: str = "") -> str:
    """One line for status and log: `general error, try another: "no room"`.

    :param message_name: `StopCCN` or `CDN`.
    :param message: the sender's own text; what cannot be printed is escaped.
    """
    text = _RESULTS[message_name].get(result, f"result {result}")
    if message_name == "StopCCN" and result == 5 and error:
        text += f", version {error} is"
    elif error:
        text += ", " + ERROR.get(error, f"error {error}")
    if message:
        text += ": " + printable(message)
    return text


def printable(text: str) -> str:
    """The peer's text in quotes, on one line, without control characters or bytes that are no UTF-8."""
    shown = "".join(character if character.isprintable() else _escaped(character) for character in text)
    return f'"{shown}"'


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
