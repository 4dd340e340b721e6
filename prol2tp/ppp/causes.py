"""Why a link ended: one table for status texts, RADIUS and pppd's exit codes."""

from __future__ import annotations

from typing import NamedTuple


class Cause(NamedTuple):
    word: str
    acct_terminate_cause: int
    """RFC 2866 section 5.10."""
    exit_code: str
    """pppd's name, as `proac_info` counts them."""
    text: str
    """For people, when nothing more exact is known."""


CAUSES = {
    cause.word: cause
    for cause in (
        #     word                   acct  pppd's exit code                     text
        Cause("User Request", 1, "User request", "closed on request"),
        Cause("Lost Carrier", 2, "Hangup", "the lower layer is gone"),
        Cause("Idle Timeout", 4, "Idle timeout", "no traffic for too long"),
        Cause("Session Timeout", 5, "Connect time exceeded", "the time allowed is over"),
        Cause("Admin Reset", 6, "User request", "closed by the administrator"),
        Cause("Admin Reboot", 7, "User request", "the daemon stops"),
        Cause("NAS Error", 9, "Fatal error", "the session could not be set up here"),
        Cause("NAS Reboot", 11, "Fatal error", "the daemon was killed, or has crashed"),
        Cause("NAS Request", 10, "User request", "closed by this end"),
        Cause("Port Preempted", 13, "User request", "another session takes its place"),
        Cause("Peer Request", 1, "Hangup", "closed by the peer"),
        Cause("Peer Dead", 2, "Peer dead", "the peer does not answer echo requests"),
        Cause("Authentication Failed", 17, "Peer failed to authenticate", "the peer could not prove who it is"),
        Cause(
            "Authentication To Peer Failed", 17, "Failed to authenticate with peer", "the peer does not accept us"
        ),
        Cause("Negotiation Failed", 9, "Negotiation failed", "the two ends did not agree"),
        Cause("Loopback", 9, "Other", "the line is looped back"),
        Cause("Port Error", 8, "Other", "the line is at fault"),
        Cause("Service Unavailable", 15, "Other", "what the user asks for is not to be had now"),
    )
}


def acct_terminate_cause(word: str) -> int:
    """The number of accounting and history; NAS Error for a word that is not in the table: no record is lost for it."""
    return CAUSES.get(word, CAUSES["NAS Error"]).acct_terminate_cause
