"""Why a PPP session ended, in the words of RADIUS and in those of L2TP: Acct-Terminate-Cause on one side, the result
code of CDN and the PPP Disconnect Cause Code (RFC 3145) on the other.
"""

from __future__ import annotations

from prol2tp.l2tp.avptable import DisconnectCause

NO_CARRIER, GENERAL_ERROR, ADMINISTRATIVE = 1, 2, 3
VENDOR_ERROR = 6
_RESULTS = {
    "Admin Reset": (ADMINISTRATIVE, 0), "Admin Reboot": (ADMINISTRATIVE, 0), "NAS Request": (ADMINISTRATIVE, 0),
    "NAS Error": (GENERAL_ERROR, VENDOR_ERROR), "Port Error": (GENERAL_ERROR, VENDOR_ERROR),
    "Service Unavailable": (GENERAL_ERROR, VENDOR_ERROR),
}
"""CDN result and error code (RFC 2661 section 4.4.2); of all others loss of carrier."""

_NEITHER, _PEER, _OURS = 0, 1, 2
_TOLD = {
    "Admin Reset": (1, _NEITHER), "Admin Reboot": (1, _NEITHER),
    "Peer Request": (3, _PEER),
    "User Request": (3, _OURS), "NAS Request": (3, _OURS), "Idle Timeout": (3, _OURS), "Session Timeout": (3, _OURS),
    "Port Preempted": (3, _OURS),
    "Loopback": (7, _NEITHER),
    "Peer Dead": (8, _NEITHER),
    "Authentication Failed": (16, _NEITHER),
}
"""Code and direction (RFC 3145 sections 2 and 3) that we send; nothing for other causes."""
_HEARD = {
    1: "Admin Reset",
    5: "Negotiation Failed", 6: "Negotiation Failed", 17: "Negotiation Failed", 18: "Negotiation Failed",
    19: "Negotiation Failed", 20: "Negotiation Failed",
    7: "Loopback",
    8: "Peer Dead",
    13: "Authentication Failed", 15: "Authentication Failed", 16: "Authentication Failed",
}
"""The cause that a code means."""
_BY_DIRECTION = {(3, _PEER): "Peer Request", (3, _OURS): "NAS Request"}


def result_of(cause: str) -> tuple[int, int]:
    """Result and error code of the CDN for a session whose PPP ended so."""
    return _RESULTS.get(cause, (NO_CARRIER, 0))


def disconnect_of(cause: str) -> DisconnectCause | None:
    """The AVP for that CDN, whose result code has the text."""
    told = _TOLD.get(cause)
    return DisconnectCause(told[0], 0, told[1]) if told is not None else None


def cause_of(disconnect: DisconnectCause | None, lost: bool) -> str:
    """The cause for PPP when the L2TP session ended. `lost`: by the peer or a fault, not by us on purpose."""
    heard = None
    if disconnect is not None:
        heard = _BY_DIRECTION.get((disconnect.code, disconnect.direction)) or _HEARD.get(disconnect.code)
    return heard or ("Lost Carrier" if lost else "Admin Reset")
