"""How the authentication protocols take part in the phases of a link: who is asked for what, the questions to the shell
and its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prol2tp.ppp import frame, proxy
from prol2tp.ppp.auth import PEER_FAILED, WE_FAILED, Authentication, Method, Refusal
from prol2tp.ppp.eap import EAP
from prol2tp.ppp.lower import Signal
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.phase import Phase
from prol2tp.ppp.proxy import ProxyRecord
from prol2tp.ppp.settings import Grant

if TYPE_CHECKING:
    from prol2tp.ppp.link import Link


def start(link: Link, record: ProxyRecord | None, now: float) -> None:
    """LCP is open: begin what was agreed on.

    :param record: what the peer has done already, where LCP was proxied.
    """
    if link._demanded is not None or link._promised is not None:
        link._limits.authenticating(now)
    if link._demanded is not None:
        _demand(link, link._demanded, record, now)
    if link._promised is not None:
        _protocol(link, link._promised).comply(link._promised.name, now)


def _demand(link: Link, method: Method, record: ProxyRecord | None, now: float) -> None:
    protocol = _protocol(link, method)
    if record is not None:
        # the peer may repeat its answer to the other end's question, which must not look like one to ours
        last = record.authen_id
        protocol.count_from(0x80 | link._lower.random_bytes(1)[0] if last is None else last ^ 0x80)
        proof = proxy.proof(record, method)
        if proof is not None and protocol.proxied(method.name, proof, now):
            link.proxied = (True, True)
            return
    protocol.demand(method.name, now)


def _protocol(link: Link, method: Method) -> Authentication:
    if method.protocol == frame.EAP:
        return with_eap(link)
    return link.chap if method.protocol == frame.CHAP else link.pap


def with_eap(link: Link) -> EAP:
    """Few links speak it: it is made when it is needed."""
    if link.eap is None:
        link.eap = EAP(link._lower, link.settings)
        link._proofs = (link.pap, link.chap, link.eap)
    return link.eap


def signal(link: Link, source: Authentication, what: Signal, value: Any, now: float) -> None:
    if what is Signal.ASK:
        question = link._asking.ask(value)
        if question is not None:
            link._lower.queue.append(question)
    elif what is Signal.TEXT:
        link.peer_message = value
    elif what is Signal.ACCEPTED and link._demanded is not None:
        link.auth_done = (link._demanded.name, link.auth_done[1])
        link._network_phase(now)
    elif what is Signal.PROVED and link._promised is not None:
        link.auth_done = (link.auth_done[0], link._promised.name)
        if link._demanded is None and link.phase is Phase.AUTHENTICATE:
            link.mppe_keys = source.keys()
        link._network_phase(now)


def rejected(link: Link, protocol: int, now: float) -> None:
    """By a Protocol-Reject."""
    if link.phase is Phase.AUTHENTICATE:
        ours = link._demanded is not None and link._demanded.protocol == protocol
        message = f"the peer rejects {frame.protocol_name(protocol)}, which it had agreed to"
        link._terminate(PEER_FAILED if ours else WE_FAILED, message, True, now)


# the shell's answers; False: the answer does not matter any more


def _answered(link: Link) -> AskAuthentication | None:
    """The question that the answer is for; None when it does not matter any more."""
    question, following = link._asking.answered()
    if following is not None:
        link._lower.queue.append(following)
    return question if link.phase in (Phase.AUTHENTICATE, Phase.NETWORK) else None


def _authenticator(link: Link) -> Authentication:
    """The protocol in which we are the authenticator: all questions are its."""
    assert link._demanded is not None
    return _protocol(link, link._demanded)


def accepted(link: Link, grant: Grant, now: float) -> bool:
    if link.settings.access:
        raise ValueError("an access concentrator lets nobody in: hand_over, or refused")
    ask = _answered(link)
    if ask is None:
        return False
    if not ask.renewal:
        link._assign(grant)
        link.mppe_keys = _authenticator(link).keys_as_authenticator() or link.mppe_keys
        link.user = grant.user or frame.name(ask.user)
    link._refused = ""
    _authenticator(link).accepted(grant, now)
    return True


def refused(link: Link, refusal: Refusal, now: float) -> bool:
    ask = _answered(link)
    if ask is None:
        return False
    reason = refusal.message or f"{frame.text(ask.user)} was refused"
    if _authenticator(link).refused(refusal, now):
        link._refused = reason
    else:
        link._terminate(PEER_FAILED, reason, False, now)
    return True


def unanswered(link: Link, now: float) -> bool:
    question = link._asking.question
    if question is not None and not question.renewal:
        raise ValueError("who is not in yet needs an answer")
    if _answered(link) is None:
        return False
    _authenticator(link).unanswered(now)
    return True


def relayed(link: Link, packet: bytes, now: float, wait: float | None) -> bool:
    if not _asked_about_eap(link):
        return False
    with_eap(link).relay(packet, now, wait)
    return True


def local(link: Link, now: float) -> bool:
    if not _asked_about_eap(link):
        return False
    with_eap(link).local(now)
    return True


def _asked_about_eap(link: Link) -> bool:
    question = link._asking.question
    if link.settings.access:
        raise ValueError("an access concentrator runs no EAP method")
    if question is not None and question.method != "eap":
        raise ValueError(f"that does not answer a question of method {question.method}")
    return _answered(link) is not None
