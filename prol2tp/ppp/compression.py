"""How CCP takes part in the phases of a link. Where encryption is required the network protocols wait for it, go down
with it, and the link ends when it cannot be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prol2tp.ppp import networks
from prol2tp.ppp.ccp import CCP, OPTIONS
from prol2tp.ppp.lower import Signal
from prol2tp.ppp.outputs import CompressionDown, CompressionUp
from prol2tp.ppp.phase import Phase
from prol2tp.ppp.settings import LinkSettings

if TYPE_CHECKING:
    from prol2tp.ppp.link import Link

FAILED = "Negotiation Failed"
NO_PATH = "encryption (MPPE) is required, and the data path has none"


def impossible(settings: LinkSettings) -> str:
    """Why a link with these settings can never come up; empty: it can."""
    if settings.mppe_required and "mppe" not in settings.codecs:
        return NO_PATH
    return ""


def start(link: Link, now: float) -> bool:
    """Phase NETWORK begins. Whether the network protocols may start at once."""
    ccp = link.ccp
    if link._mppe_required and "mppe" not in link.settings.codecs:
        # the grant asks for it: where the settings do, LCP has not come up
        link._terminate(FAILED, NO_PATH, False, now)
        return False
    if ccp is None:
        return True
    ccp.keyed = link.mppe_keys is not None
    ccp.required, ccp.strengths = link._mppe_required, link._mppe_strengths
    if ccp.required and not (ccp.keyed and ccp.strengths):
        why = "authentication gave no keys" if not ccp.keyed else "no strength of its keys is allowed"
        link._terminate(FAILED, f"encryption (MPPE) is required, and {why}", False, now)
        return False
    ccp.open(now)
    ccp.lower_up(now)
    return not ccp.required


def signal(link: Link, ccp: CCP, what: Signal, now: float) -> None:
    required = ccp.required
    if what is Signal.UP:
        if required and not ccp.encrypts:
            link._terminate(FAILED, "encryption (MPPE) is required, and the peer does not agree", True, now)
        elif ccp.sending is None and ccp.receiving is None:
            ccp.close(now)
        else:
            _announce(link, ccp)
            if required:
                networks.start(link, now)
    elif what is Signal.DOWN:
        if ccp.announced:
            ccp.announced = False
            link._lower.queue.append(CompressionDown())
        if required:
            for ncp in link._network:
                ncp.lower_down(now)
    elif required and link.phase is Phase.NETWORK:
        reason = f"encryption (MPPE) is required: {ccp.failure or 'the peer ends it'}"
        link._terminate(FAILED, reason, True, now)


def _announce(link: Link, ccp: CCP) -> None:
    ccp.announced = True
    send, send_option = ccp.sending or (0, b"")
    receive, receive_option = ccp.receiving or (0, b"")
    keys = link.mppe_keys
    words = [OPTIONS[kind].flag if kind else "" for kind in (send, receive)]
    link._lower.queue.append(
        CompressionUp(
            words[0],
            words[1],
            send_option,
            receive_option,
            keys.send if keys is not None and words[0] == "mppe" else b"",
            keys.receive if keys is not None and words[1] == "mppe" else b"",
        )
    )
